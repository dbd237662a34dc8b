"""The choice of the regularisation weight λ, on validation pairs alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from likeness import metrics as cards
from likeness.methods.kinds import Methods
from likeness.results import KEYS
from likeness.statistics.aggregate import overall

COLUMNS = [*KEYS, "lam", "score", "metric", "ndv", "feasible"]
CHOSEN = [*COLUMNS, "end"]
ENDS = ("smoothest", "roughest")
"""Of a grid: a chosen λ at the smooth one may not be smooth enough."""
FOLDING = ("ndv", "nda")
"""What tells how much a field folds, of volumes and of pictures."""
MAX_FOLDING = 0.1
"""Highest non-diffeomorphic volume (area in 2D), in percent, that a chosen λ may cause."""


def primary_metric(metrics: pd.DataFrame, dataset: str) -> str:
    """Name the score that decides on a dataset: the first that λ may be chosen by of those that it has."""
    known = set(metrics.metric[metrics.dataset == dataset])
    return next((name for name in cards.primaries() if name in known), cards.primaries()[0])


def primary_unit(metrics: pd.DataFrame, dataset: str) -> tuple[str, str]:
    """Name the score that decides on a dataset, and its unit."""
    name = primary_metric(metrics, dataset)
    return name, metrics.unit[(metrics.dataset == dataset) & (metrics.metric == name)].iloc[0]


def candidates(metrics: pd.DataFrame, methods: Methods, max_folding: float = MAX_FOLDING) -> pd.DataFrame:
    """Score every λ of every run on validation.

    Args:
        metrics: the metrics table.
        methods: of the study; those without λ are left out.
        max_folding: highest mean non-diffeomorphic volume (3D) or area (2D) in percent.

    Returns:
        One row per run and λ with the columns :data:`COLUMNS`: ``score`` is the mean over validation pairs of
        ``metric``, the primary score; ``ndv`` is the mean of NDV, in 2D of NDA. A λ whose field is not finite for some
        pair has diverged: its ``score`` is NaN and it is not feasible.
    """
    found = metrics[(metrics.split == "val") & with_lam(metrics, methods)]
    primary = {name: primary_metric(found, name) for name in found.dataset.unique()}
    keys = [*KEYS, "lam"]
    rows = overall(found[found.metric.isin(FOLDING) | (found.metric == found.dataset.map(primary))])
    folding = _mean(rows[rows.metric.isin(FOLDING)], keys, skipna=False).rename("ndv")
    score = _mean(rows[rows.metric == rows.dataset.map(primary)], keys, skipna=True).rename("score")
    table = pd.concat([score, folding], axis=1).reset_index().sort_values(keys, ignore_index=True)
    table["score"] = table.score.where(table.ndv.notna())
    table["metric"] = table.dataset.map(primary)
    table["feasible"] = table.score.notna() & (table.ndv <= max_folding)
    return table[COLUMNS]


def rougher(scored: pd.DataFrame, methods: Methods) -> pd.Series:
    """Rank the λ of every row by how rough fields they allow: on the scale of roughness large ones, otherwise small."""
    rising = scored.method.isin([name for name, method in methods.items() if method.scale == "roughness"])
    return scored.lam.where(rising, -scored.lam)


def with_lam(table: pd.DataFrame, methods: Methods) -> pd.Series:
    """Tell of every row whether its method has a regularisation weight."""
    return table.method.isin([name for name, method in methods.items() if method.has_lam])


def _mean(rows: pd.DataFrame, keys: list[str], skipna: bool) -> pd.Series:
    finite = rows.assign(value=rows.value.where(rows.value.abs() != float("inf")))
    return finite.groupby(keys, dropna=False, observed=True)["value"].mean(skipna=skipna)


def choose(scored: pd.DataFrame, methods: Methods) -> pd.DataFrame:
    """Choose one λ per run.

    The best score among the feasible λ wins. Where none is feasible, the one that folds least is taken and
    ``feasible`` is false; where every λ diverged, the strongest regularisation stands for the run, its ``score``
    empty. Ties go to the stronger regularisation.

    Args:
        scored: what :func:`candidates` gives.
        methods: of the study.

    Returns:
        One row per run, the columns :data:`CHOSEN`: ``end`` tells which end of several λ that left scores the chosen
        one is, of :data:`ENDS`, and is empty between them.
    """
    cost = scored.score.where(scored.metric.isin(cards.lower_is_better()), -scored.score)
    ranked = scored.assign(
        _diverged=scored.score.isna(),
        _infeasible=~scored.feasible,
        _folding=scored.ndv.where(~scored.feasible, 0.0),
        _cost=cost,
        _weakness=rougher(scored, methods),
    ).sort_values([*KEYS, "_diverged", "_infeasible", "_folding", "_cost", "_weakness"])
    reached = ranked[~ranked["_diverged"]].groupby(list(KEYS), dropna=False)["_weakness"].agg(["min", "max"])
    chosen = ranked.drop_duplicates(list(KEYS)).merge(reached.reset_index(), how="left", on=list(KEYS))
    several = chosen["min"] < chosen["max"]
    smooth, rough = ENDS
    chosen["end"] = np.select(
        [several & (chosen["_weakness"] == chosen["min"]), several & (chosen["_weakness"] == chosen["max"])],
        [smooth, rough],
        default="",
    )
    return chosen[CHOSEN].reset_index(drop=True)


def chosen_lam(validation: pd.DataFrame, methods: Methods) -> float:
    """Give the chosen λ of one run from its scores of validation pairs; NaN where it has no λ, or no such pairs."""
    selected = choose(candidates(validation, methods), methods)
    return float(selected.lam.item()) if len(selected) else float("nan")


def mark(metrics: pd.DataFrame, selection: pd.DataFrame, methods: Methods) -> pd.DataFrame:
    """Fill the column ``chosen`` of the metrics table: true at the chosen λ, and for every method without λ.

    Args:
        metrics: the metrics table.
        selection: what :func:`choose` gives.
        methods: of the study.
    """
    keys = [*KEYS, "lam"]
    # a merge takes null for equal to null
    found = metrics[keys].merge(selection[keys].assign(chosen=True), how="left", on=keys)["chosen"]
    return metrics.assign(chosen=found.notna().to_numpy() | ~with_lam(metrics, methods).to_numpy())
