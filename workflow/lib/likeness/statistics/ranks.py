"""The rank of every loss in the primary score of a dataset, and how certain it is.

Losses of a method are ranked among all (``group`` is ``all``), together with methods that use no loss, and among those
of the same supervision. ``rank`` is that on the test pairs, ties averaged. ``mean_rank``, ``low`` and ``high`` are the
mean and the limits of the rank over other samples of subjects, see :mod:`likeness.statistics.resampling`; ``first`` is
the share of samples in which no other loss is better.

``learn2reg`` is the rank as that challenge computes it, from .1 to 1 for the best, over the metrics that can represent
the dataset and over roughness, of which less is better there, see :mod:`likeness.statistics.learn2reg`.
``average_rank``, ``critical_difference``, ``p_friedman`` and ``alike`` come from ``n_independent`` pairs without a
common subject, see :mod:`likeness.statistics.critical_difference`: losses with a common name in ``alike`` do not
differ. They are empty where there are too few, which ``note`` says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from likeness import losses
from likeness import metrics as cards
from likeness.methods.kinds import Methods
from likeness.statistics import critical_difference, learn2reg
from likeness.statistics.aggregate import overall
from likeness.statistics.comparisons import Marks
from likeness.statistics.inference import ONE_SPECIMEN
from likeness.statistics.mixed_model import FEWEST_SUBJECTS
from likeness.statistics.resampling import Contest, Contestant, Draws, Tables
from likeness.statistics.selection import primary_metric

ALL = "all"
"""The group of all losses and the methods without one; the others are kinds of supervision."""
ROUGHNESS = ("l2r_sdlogj", "sdlogj")
"""Metrics of roughness in Learn2Reg's rank, of which the first that a dataset has is taken."""
WHO = ["dataset", "among", "group", "method", "loss", "variant"]
DISTRIBUTION = ["mean_rank", "low", "high", "first"]
DIFFERENCE = ["n_independent", "average_rank", "critical_difference", "p_friedman", "alike"]
COLUMNS = [*WHO, "metric", "n_pairs", "n_subjects", "mean", "rank", *DISTRIBUTION, "learn2reg", *DIFFERENCE, "note"]


def rank(
    metrics: pd.DataFrame, methods: Methods, marks: Marks, specimens: Collection[str], confidence: float = 0.95
) -> pd.DataFrame:
    """Rank the losses of every method on every dataset.

    Args:
        metrics: metrics table, with ``chosen`` filled; metrics per label are averaged over labels.
        methods: methods of the study.
        marks: what is known of runs, see :func:`likeness.statistics.selection.marks`.
        specimens: names of datasets whose images are all of one specimen.
        confidence: confidence level of the limits of ranks and of the critical difference.

    Returns:
        The columns :data:`COLUMNS`, the best first in every group; ``among`` is the method whose losses are ranked,
        null if no method has a loss. One that diverged comes last, without numbers.
    """
    rows = overall(metrics[(metrics.split == "test") & metrics.chosen])
    found: list[dict[str, Any]] = []
    for name, part in rows.groupby("dataset", sort=True):
        draws, metric = Draws(str(name), part), primary_metric(part, str(name))
        measured = _measured(set(part.metric))
        tables = Tables(part[part.metric.isin([metric, *measured])])
        for among in leading(part, methods):
            contest = Contest(tables, methods, among, metric)
            others = [Contest(tables, methods, among, one) for one in measured]
            won = [_wins(contest, other) for other in others]
            means, drawn = contest.means()[0], contest.means(draws) if contest.resampled else None
            for group, places in groups(contest.contestants) if len(contest.costs) else ():
                numbers = _ranked(contest, means, drawn, places, confidence)
                numbers["learn2reg"] = learn2reg.rank([each[np.ix_(places, places)] for each in won])
                said = _said(contest) + [ONE_SPECIMEN] * (name in specimens)
                said += _differences(contest, places, 1 - confidence, numbers)
                who = {"dataset": name, "among": among, "group": group, "metric": metric}
                found += _rows(who, contest, places, numbers, said, marks)
            found += _lost({"dataset": name, "among": among, "metric": metric}, contest, marks)
    return pd.DataFrame(found, columns=COLUMNS)


def leading(rows: pd.DataFrame, methods: Methods) -> list[str | None]:
    """List the methods whose losses are ranked among each other; ``None`` alone if no method has a loss."""
    return [m.name for m in methods.values() if m.uses_loss and m.name in set(rows.method)] or [None]


def groups(contestants: list[Contestant]) -> Iterator[tuple[str, list[int]]]:
    """Yield the groups in which losses are ranked: name, and places of contestants; none of them is empty."""
    members = {ALL: list(range(len(contestants)))}
    for group in losses.GROUPS:
        members[group] = [place for place, one in enumerate(contestants) if one.supervision == group]
    yield from ((group, places) for group, places in members.items() if places)


def _measured(known: Collection[str]) -> list[str]:
    """List the metrics of Learn2Reg's rank that a dataset has."""
    return cards.comparable(known) + [name for name in ROUGHNESS if name in known][:1]


def _wins(contest: Contest, other: Contest) -> np.ndarray:
    """Return who of a contest wins against whom in another metric, ``(contestants, contestants)``."""
    won = np.zeros((len(contest.contestants),) * 2, bool)
    place = {one.name: number for number, one in enumerate(contest.contestants)}
    inside = [number for number, one in enumerate(other.contestants) if one.name in place]
    if len(other.costs) and inside:
        there = [place[other.contestants[number].name] for number in inside]
        won[np.ix_(np.array(there), np.array(there))] = learn2reg.wins(other.costs[:, inside])
    return won


def _ranked(
    contest: Contest, means: np.ndarray, drawn: np.ndarray | None, places: list[int], confidence: float
) -> dict[str, Any]:
    """Return ranks and their distribution, an array ``(places,)`` for each column."""
    found: dict[str, Any] = {"mean": contest.sign * means[places], "rank": stats.rankdata(means[places])}
    found |= dict.fromkeys(DISTRIBUTION, np.full(len(places), np.nan))
    if drawn is not None:
        # without draws in which there is none of the pairs
        drawn = drawn[~np.isnan(drawn).any(axis=1)][:, places]
        ranks = stats.rankdata(drawn, axis=1)
        limits = [(1 - confidence) / 2, (1 + confidence) / 2]
        found["mean_rank"] = ranks.mean(axis=0)
        # ranks that occur, not means of two
        found["low"], found["high"] = np.quantile(ranks, limits, axis=0, method="inverted_cdf")
        found["first"] = (drawn == drawn.min(axis=1, keepdims=True)).mean(axis=0)
    return found


def _differences(contest: Contest, places: list[int], level: float, numbers: dict[str, Any]) -> list[str]:
    """Add the columns :data:`DIFFERENCE`; return why there is no critical difference."""
    apart = critical_difference.independent(contest.first, contest.second)
    numbers |= {**dict.fromkeys(DIFFERENCE, [np.nan] * len(places)), "n_independent": [len(apart)] * len(places)}
    if len(places) < critical_difference.FEWEST_LOSSES:
        return [f"no critical difference: fewer than {critical_difference.FEWEST_LOSSES} losses"]
    if len(apart) < critical_difference.FEWEST_PAIRS:
        fewest = critical_difference.FEWEST_PAIRS
        return [f"no critical difference: fewer than {fewest} pairs without a common subject"]
    found = critical_difference.compare(contest.costs[np.ix_(np.array(apart), np.array(places))], level)
    numbers["average_rank"] = found.average
    numbers["critical_difference"], numbers["p_friedman"] = ([x] * len(places) for x in (found.difference, found.p))
    named = [(f"g{number}", group) for number, group in enumerate(found.groups, 1)]
    numbers["alike"] = [" ".join(name for name, group in named if place in group) for place in range(len(places))]
    return []


def _said(contest: Contest) -> list[str]:
    said = ["on the pairs that all have"] * contest.restricted
    return said + [f"no distribution: fewer than {FEWEST_SUBJECTS} subjects"] * (not contest.resampled)


def _rows(
    who: dict[str, Any],
    contest: Contest,
    places: list[int],
    numbers: dict[str, Any],
    said: list[str],
    marks: Marks,
) -> list[dict[str, Any]]:
    counts = {"n_pairs": len(contest.costs), "n_subjects": contest.subjects}
    rows = []
    for number in np.argsort(numbers["rank"], kind="stable"):
        one = contest.contestants[places[number]]
        row = {**who, **counts, **{column: values[number] for column, values in numbers.items()}}
        rows.append({**row, **_named(one, who["dataset"], said, marks)})
    return rows


def _lost(who: dict[str, Any], contest: Contest, marks: Marks) -> list[dict[str, Any]]:
    """Return rows for those that diverged, or that cannot be ranked as no pair is common to all."""
    lost = [(one, "diverged") for one in contest.diverged]
    lost += [(one, "no pair that all have") for one in contest.contestants if not len(contest.costs)]
    rows = []
    for one, why in lost:
        row = {**who, "n_pairs": 0, "n_subjects": 0, **_named(one, who["dataset"], [f"not ranked: {why}"], marks)}
        rows += [{**row, "group": group} for group in (ALL, one.supervision) if group]
    return rows


def _named(one: Contestant, dataset: str, said: list[str], marks: Marks) -> dict[str, Any]:
    notes = [one.note, *said, marks.get((dataset, one.method, one.loss, one.variant), "")]
    who = {"method": one.method, "loss": one.loss, "variant": one.variant}
    return {**who, "note": "; ".join(filter(None, notes))}
