"""Selection of the regularisation weight λ, on validation pairs only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from likeness import metrics as cards
from likeness.methods.kinds import Methods
from likeness.results import KEYS
from likeness.statistics.aggregate import name_of, overall

COLUMNS = [*KEYS, "lam", "score", "metric", "ndv", "feasible"]
CHOSEN = [*COLUMNS, "end"]
ENDS = ("smoothest", "roughest")
"""Ends of a grid; if λ is chosen at an end, values beyond it might be better."""
FOLDING = ("ndv", "nda")
"""Metrics of folding in 3D and 2D."""
MAX_FOLDING = 0.1
"""Maximum non-diffeomorphic volume (area in 2D) of a feasible λ, in percent."""


def primary_metric(metrics: pd.DataFrame, dataset: str) -> str:
    """Return the score by which λ is chosen on a dataset: the preferred primary metric that it has."""
    known = set(metrics.metric[metrics.dataset == dataset])
    return next((name for name in cards.primaries() if name in known), cards.primaries()[0])


def primary_unit(metrics: pd.DataFrame, dataset: str) -> tuple[str, str]:
    """Return the score by which λ is chosen on a dataset, and its unit."""
    name = primary_metric(metrics, dataset)
    return name, metrics.unit[(metrics.dataset == dataset) & (metrics.metric == name)].iloc[0]


def candidates(metrics: pd.DataFrame, methods: Methods, max_folding: float = MAX_FOLDING) -> pd.DataFrame:
    """Score every λ of every run on validation pairs.

    Args:
        metrics: metrics table.
        methods: methods of the study; those without λ are omitted.
        max_folding: maximum mean non-diffeomorphic volume (3D) or area (2D) in percent.

    Returns:
        One row per run and λ with the columns :data:`COLUMNS`: ``score`` is the mean over validation pairs of
        ``metric``, the primary score; ``ndv`` is the mean of NDV, in 2D of NDA. A λ with a non-finite field for some
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
    """Return a rank of each row's λ that increases with the roughness of fields."""
    rising = scored.method.isin([name for name, method in methods.items() if method.scale == "roughness"])
    return scored.lam.where(rising, -scored.lam)


def with_lam(table: pd.DataFrame, methods: Methods) -> pd.Series:
    """Return for every row whether its method has a regularisation weight."""
    return table.method.isin([name for name, method in methods.items() if method.has_lam])


def marks(selection: pd.DataFrame) -> dict[tuple[str | None, ...], str]:
    """Return what limits the choice of λ of runs, by dataset, method, loss and variant, for notes in tables.

    Args:
        selection: choices as returned by :func:`choose`, one row per run.
    """
    found: dict[tuple[str | None, ...], list[str]] = {}
    for row in selection.astype(object).where(selection.notna(), None).to_dict("records"):
        said = found.setdefault((row["dataset"], row["method"], row["loss"], row["variant"]), [])
        if not row["feasible"]:
            said.append("diverged at every λ" if row["score"] is None else "every λ folds too much")
        if row["end"]:
            said.append(f"λ at the {row['end']} end of its grid")
    return {key: ", ".join(dict.fromkeys(said)) for key, said in found.items() if said}


def _mean(rows: pd.DataFrame, keys: list[str], skipna: bool) -> pd.Series:
    finite = rows.assign(value=rows.value.where(rows.value.abs() != float("inf")))
    return finite.groupby(keys, dropna=False, observed=True)["value"].mean(skipna=skipna)


def choose(scored: pd.DataFrame, methods: Methods) -> pd.DataFrame:
    """Choose one λ per run.

    The feasible λ with the best score is chosen. If none is feasible, it is the one that folds least, and ``feasible``
    is false; if all diverged, it is the strongest regularisation, with an empty ``score``. Ties are resolved in favour
    of stronger regularisation.

    Args:
        scored: result of :func:`candidates`.
        methods: methods of the study.

    Returns:
        One row per run with the columns :data:`CHOSEN`: ``end`` is the end of the grid, of :data:`ENDS`, that was
        chosen among several λ with scores, and empty otherwise.
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


def best(
    selection: pd.DataFrame, methods: Methods, datasets: Sequence[str], method: str, names: Sequence[str]
) -> str | None:
    """Return which of several losses, or methods without a loss, scores best on validation pairs.

    Args:
        selection: result of :func:`choose`.
        methods: methods of the study.
        datasets: names of datasets with one primary score, over which scores are averaged.
        method: the method whose losses are meant.
        names: names as in comparisons, such as ``ncc`` or ``syn/mi``.

    Returns:
        One of ``names``, the first of those that score equally; ``None`` if none has a score on every dataset.
    """
    rows = selection[selection.dataset.isin(datasets)]
    rows = rows[(rows.method == method) | ~rows.method.map(lambda name: methods[name].uses_loss).astype(bool)]
    who = [
        name_of(methods[of], str(loss), variant)
        for of, loss, variant in zip(rows.method, rows.loss, rows.variant, strict=True)
    ]
    scores = rows.assign(who=who).pivot_table(index="who", columns="dataset", values="score")
    there = scores.reindex(index=list(names), columns=list(datasets)).dropna().mean(axis=1)
    if not len(there):
        return None
    lower = set(rows.metric) <= set(cards.lower_is_better())
    return str(there.idxmin() if lower else there.idxmax())


def chosen_lam(validation: pd.DataFrame, methods: Methods) -> float:
    """Choose λ for one run from its scores of validation pairs; NaN if it has no λ or there are no such pairs."""
    selected = choose(candidates(validation, methods), methods)
    return float(selected.lam.item()) if len(selected) else float("nan")


def mark(metrics: pd.DataFrame, selection: pd.DataFrame, methods: Methods) -> pd.DataFrame:
    """Fill the column ``chosen`` of the metrics table: true at the chosen λ, and for every method without λ.

    Args:
        metrics: metrics table.
        selection: result of :func:`choose`.
        methods: methods of the study.
    """
    keys = [*KEYS, "lam"]
    # unlike comparison, a merge treats nulls as equal
    found = metrics[keys].merge(selection[keys].assign(chosen=True), how="left", on=keys)["chosen"]
    return metrics.assign(chosen=found.notna().to_numpy() | ~with_lam(metrics, methods).to_numpy())
