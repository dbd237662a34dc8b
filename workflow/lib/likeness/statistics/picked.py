"""What the loss that is best on validation pairs gains on test pairs.

The loss with the best mean on test pairs owes that in part to chance: its mean is too good, the more so the more losses
there are. So the best one is picked on validation pairs, on which its λ was chosen too, and its ``gain`` is that on
test pairs: over the unregistered pairs, over the loss that came second on validation pairs, and over normalised
cross-correlation. ``a`` is the loss picked, ``b`` what it is compared with; a positive gain means that ``a`` is better.
The interval is that of :mod:`likeness.statistics.inference`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pandas as pd

from likeness import metrics as cards
from likeness.methods.kinds import UNREGISTERED, Methods
from likeness.statistics.aggregate import overall
from likeness.statistics.comparisons import Marks, compared, described
from likeness.statistics.inference import ONE_SPECIMEN, Table
from likeness.statistics.ranks import groups, leading
from likeness.statistics.resampling import Contest, Tables
from likeness.statistics.selection import primary_metric

OVER = ("unregistered", "runner-up", "baseline")
BASELINES = ("ncc_masked", "ncc")
"""The loss that others are to surpass: the first that a dataset has, which without masks is the second."""
COLUMNS = ["dataset", "method", "group", "metric", "over", "a", "b", "n_pairs", "n_subjects", "gain", "low", "high"]
COLUMNS += ["note"]


def pick(
    metrics: pd.DataFrame, methods: Methods, marks: Marks, specimens: Collection[str], confidence: float = 0.95
) -> pd.DataFrame:
    """Pick the best loss of every method and group on validation pairs, and give its gain on test pairs.

    Args:
        metrics: metrics table, with ``chosen`` filled; metrics per label are averaged over labels.
        methods: methods of the study.
        marks: what is known of runs, see :func:`likeness.statistics.selection.marks`.
        specimens: names of datasets whose images are all of one specimen.
        confidence: confidence level of the intervals.

    Returns:
        The columns :data:`COLUMNS`, three rows for every group, one for each of :data:`OVER`. Oracles are never picked.
    """
    rows, found = overall(metrics[metrics.chosen & metrics.metric.isin(cards.primaries())]), []
    for name, part in rows.groupby("dataset", sort=True):
        metric = primary_metric(part, str(name))
        scored = part[part.metric == metric]
        validation, test = (scored[scored.split == split] for split in ("val", "test"))
        if not len(validation) or not len(test):
            continue
        tables, table = Tables(validation), Table(test)
        for among in leading(part, methods):
            if among is None:
                continue
            contest, names = (
                Contest(tables, methods, among, metric, others=False),
                compared(table, methods, among, metric),
            )
            places = {name: place for place, name in names.items()}
            for group, ordered in _ordered(contest):
                who = {"dataset": name, "method": among, "group": group, "metric": metric}
                for over, reference in zip(OVER, _references(contest, ordered), strict=True):
                    gain = _gain(table, places, str(name), ordered[0], reference, contest.sign, marks, confidence)
                    note = "; ".join(filter(None, [gain["note"], ONE_SPECIMEN * (name in specimens)]))
                    found.append({**who, "over": over, "a": ordered[0], "b": reference, **gain, "note": note})
    return pd.DataFrame(found, columns=COLUMNS)


def _ordered(contest: Contest) -> Iterator[tuple[str, list[str]]]:
    """Yield every group with the names of its losses, the best on these pairs first."""
    means = contest.means()[0] if len(contest.costs) else np.empty(0)
    for group, places in groups(contest.contestants) if len(means) else ():
        yield group, [contest.contestants[place].name for place in sorted(places, key=lambda place: means[place])]


def _references(contest: Contest, ordered: list[str]) -> list[str | None]:
    known = {one.name for one in contest.contestants}
    baseline = next((name for name in BASELINES if name in known), None)
    return [UNREGISTERED, ordered[1] if len(ordered) > 1 else None, baseline]


def _gain(
    table: Table,
    places: dict[str, int],
    dataset: str,
    picked: str,
    reference: str | None,
    sign: int,
    marks: Marks,
    confidence: float,
) -> dict[str, Any]:
    nothing = {"n_pairs": 0, "n_subjects": 0, "gain": np.nan, "low": np.nan, "high": np.nan}
    if reference is None:
        return {**nothing, "note": "there is none"}
    if reference == picked:
        return {**nothing, "note": "it is the loss that was picked"}
    absent = [side for side, name in zip("ab", (picked, reference), strict=True) if name not in places]
    if absent:
        return {**nothing, "note": f"not compared: {' and '.join(absent)} was not scored"}
    pair = places[picked], places[reference]
    [estimate] = table.differences([pair])
    low, high = sorted(-sign * limit for limit in estimate.interval(confidence))
    numbers = {"n_pairs": estimate.pairs, "n_subjects": estimate.subjects, "gain": -sign * estimate.mean}
    return {**numbers, "low": low, "high": high, "note": described(table, dataset, pair, estimate, marks)}
