"""The accuracy of every method at roughness at most r, so that none gains by rougher fields than the others'.

Roughness is the median over pairs of a ``measure``. For every limit, the λ of a run is the one that scores best on
validation pairs among those with roughness at most the limit and with NDV, in 2D NDA, of at most :data:`MAX_FOLDING`
percent; test pairs are scored at that λ, with the roughness they then have. A loss that is accurate with smoother
fields than allowed is not punished. If no λ is smooth enough the smoothest is taken, which the note says. A run that
diverged at every λ has no numbers.

Limits are :data:`LIMITS` of std(log J), and the roughness on validation pairs of classical methods, such as SyN, at
what is chosen for them in place of λ. For a reader who doubts std(log J) the same is done with the bending energy and
with folding: the limit is then the median over runs of what they have where their std(log J) is at the limit above.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from likeness import metrics as cards
from likeness.methods.kinds import Methods, is_oracle
from likeness.results import KEYS
from likeness.statistics.aggregate import COMPARED, name_of, overall
from likeness.statistics.comparisons import noted
from likeness.statistics.inference import Estimate, Table, names_of
from likeness.statistics.selection import FOLDING, candidates, primary_metric, rougher, with_lam

LIMITS = (0.1, 0.2, 0.3)
MAX_FOLDING = 0.01
"""Highest mean non-diffeomorphic volume (area in 2D), in percent, of a λ that may be taken."""
ROUGHNESS = "sdlogj"
"""The measure of which :data:`LIMITS` are."""
MEASURES = (ROUGHNESS, "bending", *FOLDING)
COLUMNS = ["dataset", "measure", "limit", "at_most", *COMPARED[1:], "metric", "lam", "n_pairs", "n_subjects"]
COLUMNS += ["mean", "ci_low", "ci_high", "roughness", "note"]
TOO_ROUGH, FOLDS, DIVERGED = "rougher than the limit", "every λ folds too much", "diverged at every λ"


def match(
    metrics: pd.DataFrame, methods: Methods, confidence: float = 0.95, specimens: Collection[str] = ()
) -> pd.DataFrame:
    """Score every method at every limit of roughness.

    Args:
        metrics: metrics table, with ``chosen`` filled.
        methods: methods of the study.
        confidence: confidence level of the intervals.
        specimens: names of datasets whose images are all of one specimen, which the notes then say.

    Returns:
        The columns :data:`COLUMNS`, the best first at every limit of a dataset: ``at_most`` is the limit in the unit of
        ``measure``, ``limit`` its name, ``lam`` the λ taken (the median over seeds), ``roughness`` that of the test
        pairs in the measure.
    """
    found: list[dict[str, Any]] = []
    for name, rows in metrics.groupby("dataset", sort=True):
        rated = _rated(rows, methods)
        if not len(rated):
            continue
        for measure in [measure for measure in MEASURES if measure in rated]:
            for limit, at_most in _limits(rated, rows, methods, measure):
                taken = _taken(rated, measure, at_most, methods)
                where = {"dataset": name, "measure": measure, "limit": limit, "at_most": at_most}
                scored = _at(str(name), where, rows, taken, methods, confidence)
                found += [{**where, **row} for row in scored]
    return noted(pd.DataFrame(found, columns=COLUMNS), specimens)


def _rated(rows: pd.DataFrame, methods: Methods) -> pd.DataFrame:
    """Return the candidates for λ of every run, with their roughness on validation pairs, a column for each measure."""
    # its mean folding would be taken for a measure of that name
    rated = candidates(rows, methods, MAX_FOLDING).drop(columns="ndv")
    keys = [*KEYS, "lam"]
    measured = rows[(rows.split == "val") & rows.metric.isin(MEASURES)]
    rough = measured.groupby([*keys, "metric"], dropna=False, observed=True)["value"].median()
    for measure in rough.index.unique("metric"):
        rated = rated.merge(rough.xs(measure, level="metric").rename(measure).reset_index(), how="left", on=keys)
    return rated


def _limits(rated: pd.DataFrame, rows: pd.DataFrame, methods: Methods, measure: str) -> list[tuple[str, float]]:
    """List the limits of a dataset in a measure: names and values."""
    keys = [*KEYS, "lam"]
    chosen = rated.merge(rows.loc[rows.chosen, keys].drop_duplicates(), on=keys)
    found = [(f"{limit:g}", limit if measure == ROUGHNESS else _same(rated, measure, limit)) for limit in LIMITS]
    for (method, variant), part in chosen.groupby(["method", "variant"], dropna=False, sort=True):
        if methods[str(method)].path:
            found.append((name_of(methods[str(method)], "", variant), float(part[measure].median())))
    return [(name, at_most) for name, at_most in found if not np.isnan(at_most)]


def _same(rated: pd.DataFrame, measure: str, limit: float) -> float:
    """Return the median over runs of what they have of a measure, interpolated, where their roughness is at a limit.

    NaN if no run is both smoother and rougher than the limit.
    """
    found = []
    for _, run in rated.groupby(list(KEYS), dropna=False):
        known = run.dropna(subset=[ROUGHNESS, measure]).sort_values([ROUGHNESS, measure])
        if len(known) and known[ROUGHNESS].iloc[0] <= limit <= known[ROUGHNESS].iloc[-1]:
            found.append(np.interp(limit, known[ROUGHNESS], known[measure]))
    return float(np.median(found)) if found else float("nan")


def _taken(rated: pd.DataFrame, measure: str, at_most: float, methods: Methods) -> pd.DataFrame:
    """Take a λ for every run, ``lam``; ``limit`` is why it is not smooth enough, empty if it is."""
    diverged, rough = rated.score.isna(), ~(rated[measure] <= at_most)
    smooth = rated.feasible & ~rough
    cost = rated.score.where(rated.metric.isin(cards.lower_is_better()), -rated.score)
    limits = np.select([diverged, rough, ~rated.feasible], [DIVERGED, TOO_ROUGH, FOLDS], default="")
    ranked = rated.assign(
        limit=limits, _diverged=diverged, _rough=~smooth, _cost=cost.where(smooth), _rougher=rougher(rated, methods)
    )
    return ranked.sort_values(["_diverged", "_rough", "_cost", "_rougher"]).drop_duplicates(list(KEYS))


def _at(
    name: str, where: dict[str, Any], rows: pd.DataFrame, taken: pd.DataFrame, methods: Methods, confidence: float
) -> list[dict[str, Any]]:
    """Score the test pairs of a dataset at the λ taken."""
    measure, at_most = str(where["measure"]), float(where["at_most"])
    metric, test, keys = primary_metric(rows, name), rows[rows.split == "test"], [*KEYS, "lam"]
    found = test[keys].merge(taken[keys].assign(taken=True), how="left", on=keys)["taken"].notna().to_numpy()
    scored = overall(test[(found | ~with_lam(test, methods).to_numpy()) & test.metric.isin([metric, measure])])
    if not len(scored):
        return []
    table = Table(scored)
    values = table.wide.to_numpy()
    estimates = table.means()
    known_lam = taken.assign(lam=taken.lam.where(taken.score.notna()))
    runs = known_lam.groupby(COMPARED[1:], dropna=False).agg(lam=("lam", "median"), limit=("limit", "unique"))
    known = dict(zip(names_of(runs.index), runs.itertuples(index=False, name=None), strict=True))
    places = {series[:4]: place for place, series in enumerate(table.names)}
    result = []
    for (method, loss, variant, scored_in), place in places.items():
        if scored_in != metric or (loss and is_oracle(methods[str(method)], loss)):
            continue
        rough = places.get((method, loss, variant, measure))
        who = dict(zip(COMPARED[1:], (method, loss, variant), strict=True))
        result.append({**who, **_numbers(estimates[place], confidence)})
        result[-1]["roughness"] = float(pd.Series(values[:, rough]).median()) if rough is not None else np.nan
        without = np.nan, [TOO_ROUGH] * (result[-1]["roughness"] > at_most)
        result[-1]["lam"], limits = known.get((method, loss, variant), without)
        result[-1]["note"] = "; ".join([*estimates[place].notes, *filter(None, sorted(limits))])
    sign = 1 if metric in cards.lower_is_better() else -1
    result.sort(key=lambda row: (np.isnan(row["mean"]), sign * row["mean"], str(row["method"]), str(row["loss"])))
    return [{"metric": metric, **row} for row in result]


def _numbers(estimate: Estimate, confidence: float) -> dict[str, Any]:
    low, high = estimate.interval(confidence)
    counts = {"n_pairs": estimate.pairs, "n_subjects": estimate.subjects}
    return {**counts, "mean": estimate.mean, "ci_low": low, "ci_high": high}
