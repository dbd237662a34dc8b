"""The differences that a study has named before it ran, tested.

Every contrast is a difference a − b in one metric on one dataset. ``p`` tests it against zero, ``p_equivalent`` whether
it is smaller than ``smallest``, the smallest effect of interest, in either direction: two one-sided tests (Schuirmann,
J. Pharmacokinet. Biopharm. 1987, doi:10.1007/BF01068419). Both are corrected for all contrasts of the dataset (Holm).
A difference below the smallest effect has no ``p``, however small its variance. ``verdict`` is the conclusion at the
confidence level of the study: ``a better``, ``b better``, ``equivalent`` or ``undecided``, and ``different`` in a
metric of which neither more nor less is better. It is empty if there is no p, or if p is only descriptive; ``note`` has
the reason.

A contrast with ``best_of`` instead of ``b`` compares with the best of several on validation pairs. One with ``over``
compares slopes over an option of datasets, see :mod:`likeness.statistics.slopes`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from likeness import metrics as cards
from likeness.methods.kinds import Methods
from likeness.statistics.aggregate import COMPARED, overall, same
from likeness.statistics.comparisons import Marks, compared, described
from likeness.statistics.inference import ONE_SPECIMEN, Table
from likeness.statistics.selection import best, marks, primary_metric
from likeness.statistics.slopes import sloped
from likeness.statistics.verdicts import smallest

COLUMNS = ["dataset", "method", "metric", "a", "b", "n_pairs", "n_subjects", "effect", "se", "df", "low", "high"]
COLUMNS += ["p", "p_holm", "smallest", "p_equivalent", "p_equivalent_holm", "verdict", "claim", "note"]
NOT_SCORED = "not compared"
UNCALIBRATED = "p is descriptive: the test is not calibrated on these pairs"
DESCRIPTIVE = f"p is descriptive: {ONE_SPECIMEN}"


class Known(NamedTuple):
    """What is known of runs and datasets, besides their scores."""

    selection: pd.DataFrame
    """Choices of λ as returned by :func:`likeness.statistics.selection.choose`."""
    lost: Marks
    """How many pairs lost a structure, see :func:`likeness.statistics.lost.lost`."""
    descriptive: Mapping[str, str]
    """Why p is only descriptive on a dataset, by its name."""
    options: Mapping[str, Mapping[str, float]]
    """Numeric options of every dataset, for contrasts with ``over``."""


def confirm(
    metrics: pd.DataFrame,
    methods: Methods,
    contrasts: Sequence[Mapping[str, Any]],
    known: Known,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Test the contrasts of a study on its test pairs.

    Args:
        metrics: metrics table, with ``chosen`` filled; metrics per label are averaged over labels.
        methods: methods of the study.
        contrasts: entries of the study's ``contrasts``.
        known: what is known of runs and datasets besides.
        confidence: confidence level of intervals and verdicts.

    Returns:
        The columns :data:`COLUMNS`, a row for every contrast, dataset and method. The dataset of a contrast with
        ``over`` is named after the option and the datasets.
    """
    limits: Marks = {**marks(known.selection), **known.lost}
    found: list[dict[str, Any]] = []
    for family in _families(overall(metrics[(metrics.split == "test") & metrics.chosen]), contrasts, known.options):
        table, present = Table(family.rows), set(family.rows.method)
        reason = "; ".join(dict.fromkeys(filter(None, (known.descriptive.get(one, "") for one in family.datasets))))
        marked = _marked(family, limits)
        stated = [one for contrast in family.contrasts for one in _spread(contrast, family, methods, present)]
        for one in stated:
            one["b"] = one["b"] or best(known.selection, methods, family.datasets, one["method"], one["best_of"])
        tested = [_contrast(family, table, methods, one, marked, reason, confidence) for one in stated]
        found += _concluded(tested, confidence)
    return pd.DataFrame(found, columns=COLUMNS)


class Family(NamedTuple):
    """Contrasts that are corrected for each other, and the scores that they are about."""

    name: str
    datasets: list[str]
    rows: pd.DataFrame
    contrasts: list[Mapping[str, Any]]
    primary: str
    scored: pd.DataFrame
    """Scores, of which :attr:`rows` may be slopes."""

    def level(self, name: Sequence[str | None]) -> float:
        """Return the mean finite score of a method, loss, variant and metric."""
        values = self.scored.value[same(self.scored, name[:4], [*COMPARED[1:], "metric"])]
        return float(values[np.isfinite(values)].mean())


def _families(
    rows: pd.DataFrame, contrasts: Sequence[Mapping[str, Any]], options: Mapping[str, Mapping[str, float]]
) -> Iterator[Family]:
    """Yield a family for every dataset, and one for every series of datasets over an option that has run whole."""
    for name, part in rows.groupby("dataset", sort=True):
        here = [one for one in contrasts if not one["over"] and (not one["datasets"] or name in one["datasets"])]
        yield Family(str(name), [str(name)], part, here, primary_metric(rows, str(name)), part)
    for over, *names in dict.fromkeys((one["over"], *one["datasets"]) for one in contrasts if one["over"]):
        there = {name: options[name][over] for name in names if name in set(rows.dataset)}
        here = [one for one in contrasts if (one["over"], *one["datasets"]) == (over, *names)]
        if len(there) == len(names):
            title = f"{over} of {', '.join(names)}"
            scored = rows[rows.dataset.isin(names)]
            yield Family(title, names, sloped(rows, there), here, primary_metric(rows, names[0]), scored)


def _marked(family: Family, limits: Marks) -> Marks:
    """Return what is known of runs by the name of the family, with that of the dataset if the family has several."""
    found: dict[tuple[str | None, ...], list[str]] = {}
    for (dataset, *who), said in limits.items():
        if dataset in family.datasets:
            of = f" ({dataset})" if len(family.datasets) > 1 else ""
            found.setdefault((family.name, *who), []).append(f"{said}{of}")
    return {who: ", ".join(said) for who, said in found.items()}


def _spread(
    contrast: Mapping[str, Any], family: Family, methods: Methods, present: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Yield the contrast for every method that it is stated for."""
    leading = [name for name, method in methods.items() if method.uses_loss and name in present]
    stated = {**contrast, "dataset": family.name, "metric": contrast["metric"] or family.primary}
    for method in [contrast["method"]] if contrast["method"] else leading:
        yield {**stated, "method": method}


def _contrast(
    family: Family,
    table: Table,
    methods: Methods,
    stated: Mapping[str, Any],
    marks: Marks,
    descriptive: str,
    confidence: float,
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
        paired = float(np.nanmean(table.values(*pair)[:, 1])) if estimate.pairs else np.nan
        # of the scores themselves, since 2 % of a slope is nothing where scores hardly change
        least = smallest(stated["metric"], family.level(table.names[pair[1]]) if stated["over"] else paired)
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
        better = cards.card(row["metric"])["better"]
        if better is None:
            return "different"
        return "a better" if (row["effect"] < 0) == (better == "lower") else "b better"
    return "equivalent" if row["p_equivalent_holm"] < level else "undecided"
