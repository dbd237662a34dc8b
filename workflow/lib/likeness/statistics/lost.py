"""Structures that vanish by warping, so that the distance to their surface is infinite.

One such distance would make every mean infinite that it enters. For means and differences the diagonal of the fixed
grid takes its place, which no distance within an image exceeds, and the pairs concerned are counted. Medians, which
depend on ranks alone, are of the distances as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from likeness import metrics as cards
from likeness.data.store import Dataset
from likeness.statistics.aggregate import COMPARED, observations, overall
from likeness.statistics.inference import names_of


def diagonals(folders: Iterable[str | Path]) -> dict[str, float]:
    """Return the diagonal of the grid of prepared datasets by name, in the unit of their spacing."""
    opened = [Dataset.open(folder) for folder in folders]
    return {one.name: float(np.linalg.norm(np.multiply(one.shape, one.spacing))) for one in opened}


def bounded(metrics: pd.DataFrame, diagonals: Mapping[str, float]) -> pd.DataFrame:
    """Return the metrics table with the diagonal in place of infinite distances.

    Args:
        metrics: metrics table.
        diagonals: diagonal by dataset; infinite distances on other datasets remain.
    """
    far = _infinite(metrics)
    return metrics.assign(value=metrics.value.mask(far, metrics.dataset.map(diagonals).fillna(np.inf)))


def lost(metrics: pd.DataFrame) -> dict[tuple[str | None, ...], str]:
    """Return how many test pairs lost a structure, by dataset, method, loss, variant and metric, for notes in tables.

    Args:
        metrics: metrics table, with ``chosen`` filled and infinite distances as they are.
    """
    test = metrics[(metrics.split == "test") & metrics.chosen]
    concerned = set(test.metric[_infinite(test)])
    merged = observations(overall(test[test.metric.isin(concerned)]))
    counts = merged[np.isinf(merged.value)].groupby([*COMPARED, "metric"], dropna=False, observed=True).size()
    said = {1: "1 pair lost a structure"}
    return {
        name: said.get(count, f"{count} pairs lost a structure")
        for name, count in zip(names_of(counts.index), counts, strict=True)
    }


def _infinite(metrics: pd.DataFrame) -> pd.Series:
    distances = [name for name in cards.names() if cards.card(name)["unit"] == "distance"]
    return metrics.metric.isin(distances) & np.isposinf(metrics.value)
