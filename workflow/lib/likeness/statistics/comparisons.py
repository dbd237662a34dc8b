"""Every loss of a method against every other, and against the methods without a loss, on the same pairs.

All differences are shown, so none is tested: a study of thirty losses has 435 of them in every metric. ``effect`` is
the mean difference a − b in the metric's unit, ``wins`` the share of the pairs on which a is better, ties by half
(empty where neither direction is better). ``low`` and ``high`` are the limits of its own confidence interval;
``all_low`` and ``all_high`` hold for all differences of a dataset, method and metric at once (Bonferroni). What a study
wants to test it names beforehand, see :mod:`likeness.statistics.contrasts`.

``note`` tells what limits a comparison. Differences that do not exist, because a training diverged or a distance is
infinite, have a row with a note and no numbers; :func:`likeness.statistics.lost.bounded` makes distances finite. If a
method lacks fields of some pairs, both are compared on the pairs that both have. Oracles, which see the labels of the
pair itself, are not compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from likeness import metrics as cards
from likeness.methods.kinds import Methods, is_oracle
from likeness.statistics.aggregate import name_of, order_of, overall
from likeness.statistics.inference import ONE_SPECIMEN, Estimate, Table

FAMILY = ["dataset", "method", "metric"]
COLUMNS = [
    *FAMILY,
    "a",
    "b",
    "n_pairs",
    "n_subjects",
    "effect",
    "se",
    "df",
    "low",
    "high",
    "all_low",
    "all_high",
    "wins",
    "note",
]
Marks = Mapping[tuple[str | None, ...], str]
"""What is to be known of a method, loss and variant on a dataset, wherever it is compared, or, with a metric as fifth
entry of the key, in that metric."""


def compare(
    metrics: pd.DataFrame, methods: Methods, marks: Marks, confidence: float = 0.95, specimens: Collection[str] = ()
) -> pd.DataFrame:
    """Compare all losses of every method with each other and with the methods without a loss, in every metric.

    Args:
        metrics: metrics table, with ``chosen`` filled; metrics per label are averaged over labels.
        methods: methods of the study.
        marks: what is known of runs, see :func:`likeness.statistics.selection.marks`.
        confidence: confidence level of the intervals.
        specimens: names of datasets whose images are all of one specimen, which the notes then say.

    Returns:
        The columns :data:`COLUMNS`; ``method`` is the one whose losses are compared, null if no method has a loss;
        ``a`` and ``b`` are losses, ``loss/variant``, or methods without a loss, including the unregistered pairs.
    """
    rows = overall(metrics[(metrics.split == "test") & metrics.chosen])
    found: list[dict[str, Any]] = []
    for name, part in rows.groupby("dataset", sort=True):
        table = Table(part)
        leading: list[str | None] = [m.name for m in methods.values() if m.uses_loss and m.name in set(part.method)]
        for method in leading or [None]:
            for metric in sorted(set(part.metric)):
                family = {"dataset": name, "method": method, "metric": metric}
                found += _compare_family(family, methods, table, marks, confidence)
    return noted(pd.DataFrame(found, columns=COLUMNS), specimens)


def noted(table: pd.DataFrame, specimens: Collection[str]) -> pd.DataFrame:
    """Add to the notes of a table that results on some of its datasets are within one specimen."""
    alone = table.dataset.isin(specimens)
    said = table.note.where(~alone, [f"{note}; {ONE_SPECIMEN}" if note else ONE_SPECIMEN for note in table.note])
    return table.assign(note=said)


def compared(table: Table, methods: Methods, method: str | None, metric: str) -> dict[int, str]:
    """List the series that are compared in a metric.

    Args:
        table: test pairs of a dataset.
        methods: methods of the study.
        method: the method whose losses are compared, beside all methods without a loss; ``None`` for these alone.
        metric: name of the metric.

    Returns:
        The name of every series in comparisons by its place in the table, in the order of figures.
    """
    found = {}
    for place, (of, loss, variant, measured, *_) in enumerate(table.names):
        kind = methods[str(of)]
        if measured == metric and (of == method or not kind.uses_loss) and not (loss and is_oracle(kind, loss)):
            found[place] = (kind, str(loss), variant)
    return {place: name_of(*found[place]) for place in sorted(found, key=lambda place: order_of(*found[place]))}


def described(table: Table, dataset: str, pair: tuple[int, int], estimate: Estimate, marks: Marks) -> str:
    """Return all that limits a comparison of two series, as one text."""
    said = list(estimate.notes)
    for side, place in zip("ab", pair, strict=True):
        who = (dataset, *table.names[place][:4])
        said += [f"{side}: {marks[key]}" for key in (who[:-1], who) if key in marks]
    return "; ".join(said)


def _compare_family(
    family: dict[str, Any], methods: Methods, table: Table, marks: Marks, confidence: float
) -> list[dict[str, Any]]:
    names = compared(table, methods, family["method"], family["metric"])
    pairs = list(combinations(names, 2))
    if not pairs:
        return []
    rows = []
    for pair, estimate in zip(pairs, table.differences(pairs), strict=True):
        low, high = estimate.interval(confidence)
        all_low, all_high = estimate.interval(1 - (1 - confidence) / len(pairs))
        numbers = [estimate.pairs, estimate.subjects, estimate.mean, estimate.se, estimate.df, low, high]
        note = described(table, family["dataset"], pair, estimate, marks)
        wins = _wins(table.values(*pair), family["metric"])
        rows.append([*family.values(), *(names[place] for place in pair), *numbers, all_low, all_high, wins, note])
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def _wins(values: np.ndarray, metric: str) -> float:
    """Return the share of pairs, ``(pairs, 2)``, on which the first of two is better."""
    better = cards.card(metric)["better"]
    known = values[~np.isnan(values).any(axis=1)]
    if better is None or not len(known):
        return float("nan")
    first, second = known.T if better == "higher" else -known.T
    return float(((first > second) + (first == second) / 2).mean())
