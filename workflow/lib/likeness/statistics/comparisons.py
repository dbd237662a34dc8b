"""Pairwise comparisons of the losses of a method, and with methods without a loss, on the same pairs.

``effect`` is the mean difference a − b in the unit of the metric, with a confidence interval; ``p`` tests it against
zero. Both are from the crossed bootstrap over subjects. ``p_holm`` corrects for all comparisons of one dataset, method
and metric. ``note`` states limitations, above all that p is descriptive with fewer than 20 subjects. Comparisons that
are impossible, because a training diverged or a distance is infinite, keep their row, with a note and without p. If a
method has fields of some pairs only, the comparison uses the common pairs. Oracles, which use the labels of the pair
itself, are not compared.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from likeness.methods.kinds import Methods, is_oracle
from likeness.statistics.aggregate import name_of, observations, order_of, overall, pairs_of, wide
from likeness.statistics.bootstrap import (
    CALIBRATED_SUBJECTS,
    FEWEST_SUBJECTS,
    RESAMPLES,
    count_subjects,
    draw,
    interval,
    p_value,
    resampled_means,
)

FAMILY = ["dataset", "method", "metric"]
COLUMNS = [*FAMILY, "a", "b", "n_pairs", "n_subjects", "p", "p_holm", "effect", "effect_low", "effect_high", "note"]


def compare(
    metrics: pd.DataFrame, methods: Methods, resamples: int = RESAMPLES, confidence: float = 0.95
) -> pd.DataFrame:
    """Compare all losses of every method with each other and with methods without a loss, in every metric.

    Args:
        metrics: metrics table, with ``chosen`` filled; metrics per label are averaged over labels.
        methods: methods of the study.
        resamples: number of resamples of the crossed bootstrap.
        confidence: confidence level of the intervals.

    Returns:
        The columns :data:`COLUMNS`; ``method`` is the one whose losses are compared, null if no method uses one; ``a``
        and ``b`` are losses, ``loss/variant``, or methods without a loss, including the unregistered pairs.
    """
    rows = overall(metrics[(metrics.split == "test") & metrics.chosen])
    merged = observations(rows)
    found: list[dict[str, Any]] = []
    for name, part in merged.groupby("dataset", sort=True):
        table = wide(part)
        weights = draw(table, str(name), resamples)
        paired = Paired(rows[rows.dataset == name], table)
        leading: list[str | None] = [m.name for m in methods.values() if m.uses_loss and m.name in set(part.method)]
        for method in leading or [None]:
            for metric in sorted(set(part.metric)):
                family = {"dataset": name, "method": method, "metric": metric}
                found += _compare_family(family, methods, paired, weights, confidence)
    return pd.DataFrame(found, columns=COLUMNS)


class Paired:
    """Values of any two columns of a wide table, on the pairs common to both methods.

    Args:
        rows: rows of the metrics table from which the observations are computed.
        table: wide table of all observations.
    """

    def __init__(self, rows: pd.DataFrame, table: pd.DataFrame) -> None:
        self.rows = rows
        self.table = table
        self._pairs = pairs_of(rows)
        self._methods = list(table.columns.get_level_values("method"))
        self._shared: dict[tuple[str, str], frozenset[tuple[str, str]]] = {}
        self._whole = frozenset[tuple[str, str]]().union(*self._pairs.values())
        self._values = {self._whole: table.to_numpy()}

    def values(self, i: int, j: int) -> np.ndarray:
        """Return the values ``(observations, 2)`` of two columns on their common pairs."""
        pairs = self._common(i, j)
        if pairs not in self._values:
            self._values[pairs] = self._restricted(pairs)
        return self._values[pairs][:, [i, j]]

    def partial(self, i: int, j: int) -> bool:
        """Return whether one of the two columns lacks a pair."""
        return self._common(i, j) != self._whole

    def _common(self, i: int, j: int) -> frozenset[tuple[str, str]]:
        both = self._methods[i], self._methods[j]
        if both not in self._shared:
            self._shared[both] = self._pairs[both[0]] & self._pairs[both[1]]
        return self._shared[both]

    def _restricted(self, pairs: frozenset[tuple[str, str]]) -> np.ndarray:
        """Compute the observations from some pairs only; the reverse of a pair can be missing."""
        full = np.full(self.table.shape, np.nan)
        there = [pair in pairs for pair in zip(self.rows.moving, self.rows.fixed, strict=True)]
        if any(there):
            part = wide(observations(self.rows[there]))
            column = {name: place for place, name in enumerate(_series(self.table))}
            places = np.array([column[name] for name in _series(part)])
            full[np.ix_(self.table.index.get_indexer(part.index), places)] = part.to_numpy()
        return full


def _series(table: pd.DataFrame) -> list[tuple[str | None, ...]]:
    """Return the names of the columns of a wide table, with ``None`` for nulls, which do not compare equal."""
    return [tuple(None if pd.isna(level) else str(level) for level in column) for column in table.columns]


def _compare_family(
    family: dict[str, Any], methods: Methods, paired: Paired, weights: np.ndarray, confidence: float
) -> list[dict[str, Any]]:
    table = paired.table
    levels = table.columns.to_frame(index=False)
    leading = methods[family["method"]] if family["method"] else None
    others = [name for name, method in methods.items() if not method.uses_loss]
    found = levels[(levels.metric == family["metric"]) & levels.method.isin([family["method"], *others])]
    compared = {
        i: (methods[row.method], row.loss, row.variant)
        for i, row in zip(found.index, found.itertuples(), strict=True)
        if row.method != family["method"] or leading is None or not is_oracle(leading, row.loss)
    }
    order = sorted(compared, key=lambda i: order_of(*compared[i]))
    names = [name_of(*compared[i]) for i in order]
    two = list(combinations(range(len(order)), 2))
    if not two:
        return []
    values = [paired.values(order[i], order[j]) for i, j in two]
    with np.errstate(invalid="ignore"):
        differences = np.stack([each[:, 0] - each[:, 1] for each in values], axis=1)
    means = resampled_means(weights, np.where(np.isfinite(differences), differences, np.nan))
    rows = [
        {**family, "a": names[i], "b": names[j], **_compare_two(table, values[k], means[:, k], confidence)}
        for k, (i, j) in enumerate(two)
    ]
    for row, (i, j) in zip(rows, two, strict=True):
        if paired.partial(order[i], order[j]):
            row["note"] = "; ".join(filter(None, [row["note"], "on the pairs that both have"]))
    return _holm(rows)


def _compare_two(table: pd.DataFrame, values: np.ndarray, means: np.ndarray, confidence: float) -> dict[str, Any]:
    """Compare two columns.

    Args:
        table: wide table with the observations as rows.
        values: ``(observations, 2)``.
        means: resampled mean differences, ``(resamples,)``.
        confidence: confidence level of the interval.
    """
    present = ~np.isnan(values).any(axis=1)
    n_subjects = count_subjects(table, present)
    notes = _notes(values, present, n_subjects)
    row: dict[str, Any] = {"n_pairs": int(present.sum()), "n_subjects": n_subjects, "note": "; ".join(notes)}
    row |= dict.fromkeys(["p", "p_holm", "effect", "effect_low", "effect_high"], float("nan"))
    if present.any() and np.isfinite(values[present]).all():
        row["effect"] = float((values[present, 0] - values[present, 1]).mean())
        if n_subjects >= FEWEST_SUBJECTS:
            row["effect_low"], row["effect_high"] = interval(means, confidence)
            row["p"] = p_value(means, row["effect"])
    return row


def _notes(values: np.ndarray, present: np.ndarray, n_subjects: int) -> list[str]:
    if not present.any():
        missing = [name for name, column in zip("ab", values.T, strict=True) if np.isnan(column).all()]
        return [f"not compared: {' and '.join(missing)} diverged" if missing else "not compared: no common pairs"]
    infinite = np.isinf(values[present]).sum(axis=0)
    if infinite.any():
        return [f"not compared: infinite pairs, {infinite[0]} of a, {infinite[1]} of b"]
    if n_subjects < FEWEST_SUBJECTS:
        return [f"not tested: fewer than {FEWEST_SUBJECTS} subjects"]
    return [f"p is descriptive: fewer than {CALIBRATED_SUBJECTS} subjects"] if n_subjects < CALIBRATED_SUBJECTS else []


def _holm(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tested = [row for row in rows if not np.isnan(row["p"])]
    if tested:
        corrected = multipletests([row["p"] for row in tested], method="holm")[1]
        for row, p in zip(tested, corrected, strict=True):
            row["p_holm"] = float(p)
    return rows
