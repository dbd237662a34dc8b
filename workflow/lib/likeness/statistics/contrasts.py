"""The differences that a study has named before it ran, tested.

Every contrast is a difference a − b in one metric on one dataset. ``p`` tests it against zero, ``p_equivalent`` whether
it is smaller than ``smallest``, the smallest effect of interest, in either direction: two one-sided tests (Schuirmann,
J. Pharmacokinet. Biopharm. 1987, doi:10.1007/BF01068419). Both are corrected for all contrasts of the dataset (Holm).
A difference below the smallest effect has no ``p``, however small its variance. ``verdict`` is the conclusion at the
confidence level of the study: ``a better``, ``b better``, ``equivalent`` or ``undecided``. It is empty if there is no
p, or if p is only descriptive; ``note`` has the reason.

A contrast with ``best_of`` instead of ``b`` compares with the best of several on validation pairs. One with ``over``
compares slopes over an option of datasets, see :mod:`likeness.statistics.slopes`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from likeness import metrics as cards
from likeness.methods.kinds import Methods
from likeness.statistics.aggregate import overall
from likeness.statistics.comparisons import Marks, compared, described
from likeness.statistics.inference import Table
from likeness.statistics.selection import best, marks, primary_metric
from likeness.statistics.slopes import sloped
from likeness.statistics.verdicts import smallest

COLUMNS = ["dataset", "method", "metric", "a", "b", "n_pairs", "n_subjects", "effect", "se", "df", "low", "high"]
COLUMNS += ["p", "p_holm", "smallest", "p_equivalent", "p_equivalent_holm", "verdict", "claim", "note"]
NOT_SCORED = "not compared"
UNCALIBRATED = "p is descriptive: the test is not calibrated on these pairs"
ONE_SPECIMEN = "p is descriptive: within one specimen"


def confirm(
    metrics: pd.DataFrame,
    methods: Methods,
    contrasts: Sequence[Mapping[str, Any]],
    selection: pd.DataFrame,
    descriptive: Mapping[str, str],
    options: Mapping[str, Mapping[str, float]],
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Test the contrasts of a study on its test pairs.

    Args:
        metrics: metrics table, with ``chosen`` filled; metrics per label are averaged over labels.
        methods: methods of the study.
        contrasts: entries of the study's ``contrasts``.
        selection: choices of λ as returned by :func:`likeness.statistics.selection.choose`.
        descriptive: why p is only descriptive on a dataset, by its name.
        options: numeric options of every dataset, for contrasts with ``over``.
        confidence: confidence level of intervals and verdicts.

    Returns:
        The columns :data:`COLUMNS`, a row for every contrast, dataset and method. The dataset of a contrast with
        ``over`` is named after the option and the datasets.
    """
    rows = overall(metrics[(metrics.split == "test") & metrics.chosen])
    here: list[Mapping[str, Any]] = [one for one in contrasts if not one["over"]]
    parts = [(str(name), [str(name)], part, here) for name, part in rows.groupby("dataset", sort=True)]
    for over, *names in dict.fromkeys((one["over"], *one["datasets"]) for one in contrasts if one["over"]):
        there = {name: options[name][over] for name in names if name in set(rows.dataset)}
        same: list[Mapping[str, Any]] = [
            {**one, "datasets": []} for one in contrasts if (one["over"], *one["datasets"]) == (over, *names)
        ]
        if len(there) == len(names):
            parts.append((f"{over} of {', '.join(names)}", names, sloped(rows, there), same))
    limits = marks(selection)
    found: list[dict[str, Any]] = []
    for name, names, part, wanted in parts:
        table, primary = Table(part), primary_metric(rows, names[0])
        reason = "; ".join(dict.fromkeys(filter(None, (descriptive.get(one, "") for one in names))))
        marked: Marks = {(name, *who[1:]): said for who, said in limits.items() if who[0] in names}
        family = [
            _contrast(table, methods, {"dataset": name, **one}, marked, reason, confidence)
            for contrast in wanted
            for one in _spread(contrast, name, primary, methods, set(part.method))
            for one in [{**one, "b": one["b"] or best(selection, methods, names, one["method"], one["best_of"])}]
        ]
        found += _concluded(family, confidence)
    return pd.DataFrame(found, columns=COLUMNS)


def _spread(
    contrast: Mapping[str, Any], dataset: str, primary: str, methods: Methods, present: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Yield the contrast for every method that it is stated for; nothing if it is not stated for the dataset."""
    if contrast["datasets"] and dataset not in contrast["datasets"]:
        return
    leading = [name for name, method in methods.items() if method.uses_loss and name in present]
    for method in [contrast["method"]] if contrast["method"] else leading:
        yield {**contrast, "method": method, "metric": contrast["metric"] or primary}


def _contrast(
    table: Table, methods: Methods, stated: Mapping[str, Any], marks: Marks, descriptive: str, confidence: float
) -> dict[str, Any]:
    names = compared(table, methods, stated["method"], stated["metric"])
    places = {name: place for place, name in names.items()}
    row = {**dict.fromkeys(COLUMNS, np.nan), **stated, "verdict": "", "note": "", "inferential": False}
    absent = [side for side in "ab" if stated[side] not in places]
    if absent:
        return {**row, "n_pairs": 0, "n_subjects": 0, "note": f"{NOT_SCORED}: {' and '.join(absent)} was not scored"}
    pair = places[stated["a"]], places[stated["b"]]
    [estimate] = table.differences([pair])
    row["n_pairs"], row["n_subjects"] = estimate.pairs, estimate.subjects
    row["effect"], row["se"], row["df"] = estimate.mean, estimate.se, estimate.df
    row["low"], row["high"] = estimate.interval(confidence)
    least = stated["smallest"]
    if least is None:
        least = smallest(stated["metric"], float(np.nanmean(table.values(*pair)[:, 1])) if estimate.pairs else np.nan)
    row["smallest"] = least
    if estimate.inferential:
        row["p"] = estimate.p() if abs(estimate.mean) >= least else np.nan
        row["p_equivalent"] = max(estimate.p(-least, "greater"), estimate.p(least, "less"))
    said = [f"b is the best of {', '.join(stated['best_of'])} on validation pairs" if stated["best_of"] else ""]
    said += [described(table, stated["dataset"], pair, estimate, marks), descriptive if estimate.inferential else ""]
    return {**row, "note": "; ".join(filter(None, said)), "inferential": estimate.inferential and not descriptive}


def _concluded(family: list[dict[str, Any]], confidence: float) -> list[dict[str, Any]]:
    """Correct the p values of the contrasts of a dataset, and draw the conclusions."""
    for p in ("p", "p_equivalent"):
        tested = [row for row in family if not np.isnan(row[p])]
        # one without p, for its effect is too small, counts as one of p = 1
        padding = [1.0] * sum(not np.isnan(row["p_equivalent"]) and np.isnan(row[p]) for row in family)
        if tested:
            corrected = multipletests([*(row[p] for row in tested), *padding], method="holm")[1]
            for row, value in zip(tested, corrected, strict=False):
                row[f"{p}_holm"] = float(value)
    for row in family:
        if row["inferential"]:
            row["verdict"] = _verdict(row, 1 - confidence)
    return family


def _verdict(row: Mapping[str, Any], level: float) -> str:
    if row["p_holm"] < level:
        lower = row["metric"] in cards.lower_is_better()
        return "a better" if (row["effect"] < 0) == lower else "b better"
    return "equivalent" if row["p_equivalent_holm"] < level else "undecided"
