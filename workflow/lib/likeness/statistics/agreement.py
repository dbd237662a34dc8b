"""Do rankings of the losses agree? Kendall's τ between every two that differ in one respect.

``between`` says in which: ``datasets``, ``metrics`` of a dataset, ``methods``, ``seeds``, ``limits`` of roughness in
``matched.csv``, or ``measures`` of roughness at one ``limit`` there; ``a`` and ``b`` are the two. Rankings are by the
mean over test pairs, of the primary score unless metrics are compared, of the losses that both have: of all (``group``
is ``all``), and of those of one kind of supervision. τ is 1 for the same order, 0 for orders that have nothing to do
with each other, and -1 for reversed ones; ties count as in τ_b (Kendall, Biometrika 1945,
doi:10.1093/biomet/33.3.239).

``low`` and ``high`` are limits of τ over samples of subjects, see :mod:`likeness.statistics.resampling`: the same
sample for both rankings of one dataset, independent ones for two datasets. Samples add noise to rankings, so that
limits around a high τ are too low rather than too high.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from likeness import losses
from likeness import metrics as cards
from likeness.methods.kinds import Methods
from likeness.statistics.aggregate import name_of, overall
from likeness.statistics.matched import ROUGHNESS
from likeness.statistics.mixed_model import FEWEST_SUBJECTS
from likeness.statistics.resampling import Contest, Draws, Tables
from likeness.statistics.selection import primary_metric

BETWEEN = ("datasets", "metrics", "methods", "seeds", "limits", "measures")
COLUMNS = ["between", "dataset", "method", "metric", "limit", "group", "a", "b", "n_losses", "tau", "low", "high"]
COLUMNS += ["note"]
SHARED = ("dataset", "method", "metric", "limit")
"""Columns that are null where the two rankings differ in them, or where they do not apply."""
ALL = "all"
"""The group of all losses."""
FEWEST_LOSSES = 3
"""With two losses τ is 1 or -1 whatever they are."""
SAME = 0.9
"""τ between two measures of roughness below which :data:`DEPENDS` is noted."""
DEPENDS = "the ranking depends on how roughness is measured"


class Place(NamedTuple):
    """What a ranking is of."""

    dataset: str
    method: str
    metric: str
    seed: str = ""
    measure: str = ""
    limit: str = ""


class Ranking(NamedTuple):
    """Mean scores of losses, the lower the better."""

    names: list[str]
    supervision: list[str | None]
    means: np.ndarray
    """``(losses,)``."""
    drawn: np.ndarray | None
    """The same in draws of subjects, ``(draws, losses)``."""


Rankings = dict[Place, Ranking]


def agree(metrics: pd.DataFrame, matched: pd.DataFrame, methods: Methods, confidence: float = 0.95) -> pd.DataFrame:
    """Compare the rankings of the losses of a study.

    Args:
        metrics: metrics table, with ``chosen`` filled; metrics per label are averaged over labels.
        matched: table of :func:`likeness.statistics.matched.match`.
        methods: methods of the study.
        confidence: confidence level of the limits.

    Returns:
        The columns :data:`COLUMNS`; those of :data:`SHARED` are null where the two rankings differ in them.
    """
    rows = overall(metrics[(metrics.split == "test") & metrics.chosen & metrics.metric.isin(cards.ranked())])
    leading = [name for name, method in methods.items() if method.uses_loss and name in set(rows.method)]
    of_scores: Rankings = {}
    of_seeds: Rankings = {}
    primary = {str(name): primary_metric(part, str(name)) for name, part in rows.groupby("dataset", sort=True)}
    for name, part in rows.groupby("dataset", sort=True):
        draws = Draws(str(name), part)
        of_scores |= _of_metrics(str(name), part, leading, methods, draws)
        seeded = part[(part.metric == primary[str(name)]) & part.seed.notna()]
        for seed, own in seeded.groupby("seed", sort=True):
            of_seeds |= _of(Place(str(name), "", primary[str(name)], str(seed)), Tables(own), leading, methods, draws)
    led = {place: ranking for place, ranking in of_scores.items() if place.metric == primary[place.dataset]}
    found = [*_compared("datasets", led, "dataset", confidence), *_compared("metrics", of_scores, "metric", confidence)]
    found += [*_compared("methods", led, "method", confidence), *_compared("seeds", of_seeds, "seed", confidence)]
    of_limits = _of_limits(matched, methods)
    by_roughness = {place: ranking for place, ranking in of_limits.items() if place.measure == ROUGHNESS}
    found += _compared("limits", by_roughness, "limit", confidence)
    found += _compared("measures", of_limits, "measure", confidence)
    return pd.DataFrame(found, columns=COLUMNS)


def _of_metrics(name: str, rows: pd.DataFrame, leading: list[str], methods: Methods, draws: Draws) -> Rankings:
    measured = cards.comparable(set(rows.metric))
    tables = Tables(rows[rows.metric.isin(measured)])
    found: Rankings = {}
    for metric in measured:
        found |= _of(Place(name, "", metric), tables, leading, methods, draws)
    return found


def _of(place: Place, tables: Tables, leading: list[str], methods: Methods, draws: Draws) -> Rankings:
    """Rank the losses of every method in a metric."""
    found: Rankings = {}
    for method in leading:
        contest = Contest(tables, methods, method, place.metric, others=False)
        if len(contest.costs):
            names = [one.name for one in contest.contestants]
            supervision = [one.supervision for one in contest.contestants]
            drawn = contest.means(draws) if contest.resampled else None
            found[place._replace(method=method)] = Ranking(names, supervision, contest.means()[0], drawn)
    return found


def _of_limits(matched: pd.DataFrame, methods: Methods) -> Rankings:
    """Rank the losses of every method at every limit of every measure of roughness."""
    found = {}
    scored = matched[matched.loss.notna() & matched["mean"].notna()]
    for key, rows in scored.groupby(["dataset", "method", "metric", "measure", "limit"], sort=False):
        dataset, method, metric, measure, limit = map(str, key)
        named = zip(rows.loss, rows.variant, strict=True)
        names = [name_of(methods[method], str(loss), variant) for loss, variant in named]
        sign = -1 if cards.card(metric)["better"] == "higher" else 1
        supervision = [losses.card(str(loss))["supervision"] for loss in rows.loss]
        ranking = Ranking(names, supervision, sign * rows["mean"].to_numpy(), None)
        found[Place(dataset, method, metric, measure=measure, limit=limit)] = ranking
    return found


def _compared(between: str, rankings: Rankings, respect: str, confidence: float) -> Iterator[dict[str, Any]]:
    """Yield the agreement of every two rankings that differ in one respect only; metrics differ with datasets."""
    free = {respect} | ({"metric"} if respect == "dataset" else set())
    for one, other in combinations(rankings, 2):
        differ = {key for key, a, b in zip(Place._fields, one, other, strict=True) if a != b}
        if respect in differ and differ <= free:
            shared = {key: getattr(one, key) or None for key in SHARED if key not in differ}
            who = {"between": between, **shared, "a": getattr(one, respect), "b": getattr(other, respect)}
            for group, names in _groups(rankings[one], rankings[other]):
                agreement = _agreement(names, rankings[one], rankings[other], confidence)
                if between == "measures" and agreement["tau"] < SAME:
                    agreement["note"] = DEPENDS
                yield {**who, "group": group, **agreement}


def _groups(a: Ranking, b: Ranking) -> Iterator[tuple[str, list[str]]]:
    """Yield what two rankings have in common: all losses, and those of every supervision of which there are enough."""
    known = dict(zip(a.names, a.supervision, strict=True))
    common = [name for name in a.names if name in set(b.names)]
    yield ALL, common
    for group in losses.GROUPS:
        members = [name for name in common if known[name] == group]
        if FEWEST_LOSSES <= len(members) < len(common):
            yield group, members


def _agreement(common: list[str], a: Ranking, b: Ranking, confidence: float) -> dict[str, Any]:
    found: dict[str, Any] = {"n_losses": len(common), "tau": np.nan, "low": np.nan, "high": np.nan, "note": ""}
    if len(common) < FEWEST_LOSSES:
        return {**found, "note": f"fewer than {FEWEST_LOSSES} losses in common"}
    one, other = ([ranking.names.index(name) for name in common] for ranking in (a, b))
    found["tau"] = float(tau(a.means[one], b.means[other]))
    if np.isnan(found["tau"]):
        return {**found, "note": "all losses are equal"}
    if a.drawn is None or b.drawn is None:
        return {**found, "note": f"no interval: fewer than {FEWEST_SUBJECTS} subjects, or means alone"}
    drawn = tau(a.drawn[:, one], b.drawn[:, other])
    limits = np.nanquantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    found["low"], found["high"] = map(float, limits)
    return found


def tau(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Kendall's τ_b along the last axis, for all draws at once.

    Args:
        a: one score of each loss, ``(..., losses)``.
        b: another, of the same shape.

    Returns:
        τ_b of the shape ``(...)``, -1 … 1; NaN where all losses are equal in ``a`` or in ``b``, or not known.
    """
    first, second = np.triu_indices(a.shape[-1], 1)
    x, y = ((each[..., first] > each[..., second]) * 1 - (each[..., first] < each[..., second]) for each in (a, b))
    with np.errstate(invalid="ignore"):
        return (x * y).sum(axis=-1) / np.sqrt(np.abs(x).sum(axis=-1) * np.abs(y).sum(axis=-1))
