"""Summary of warp consistency: how far registrations were from changing by a known warp of the moving image."""

from __future__ import annotations

import pandas as pd

from likeness.statistics.aggregate import COMPARED
from likeness.statistics.inference import Table

COLUMNS = [*COMPARED, "metric", "unit", "n_pairs", "n_subjects", "n_seeds", "mean", "median", "ci_low", "ci_high"]
COLUMNS += ["warp", "note"]


def summarise(pairs: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Summarise the pairs of every run.

    Args:
        pairs: rows of :mod:`likeness.methods.consistency` with the columns of the metrics table.
        confidence: confidence level of the intervals.

    Returns:
        One row per dataset, method, loss and variant with the columns :data:`COLUMNS`: ``mean`` and interval as in
        :mod:`likeness.statistics.summary`; ``warp`` is the mean length of the warps, the value of a registration that
        does not react to them.
    """
    rows = []
    for dataset, part in pairs.groupby("dataset", sort=True):
        table, length = Table(part), part.drop_duplicates(["moving", "fixed"]).warp.mean()
        for place, (series, estimate) in enumerate(zip(table.names, table.means(), strict=True)):
            method, loss, variant, metric, _, unit = series
            values = table.wide.iloc[:, place].dropna()
            low, high = estimate.interval(confidence)
            who = dict(zip(COMPARED, (dataset, method, loss, variant), strict=True))
            counts = {"n_pairs": len(values), "n_subjects": table.subjects(place), "n_seeds": table.seeds[place].used}
            numbers = {"mean": values.mean(), "median": values.median(), "ci_low": max(low, 0.0), "ci_high": high}
            said = {"metric": metric, "unit": unit, "warp": length, "note": "; ".join(estimate.notes)}
            rows.append({**who, **counts, **numbers, **said})
    return pd.DataFrame(rows, columns=COLUMNS)
