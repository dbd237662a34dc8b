"""The validation score of a training while it runs: the primary score of a pair, and the truth behind it.

It stands apart from the other scores, so that these can change without a training being repeated.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from likeness import metrics
from likeness.data.store import Dataset, Sample
from likeness.metrics.base import Pair, Value, mean


class PrimaryScorer(Pair):
    """Scores displacements of one pair; what does not depend on the displacement is computed once, when needed."""

    def __init__(self, dataset: Dataset, moving: Sample, fixed: Sample) -> None:
        group = dataset.images.group
        super().__init__(
            moving,
            fixed,
            spacing=dataset.spacing,
            unit=dataset.spacing_unit,
            labels=dataset.evaluate,
            held_out=dataset.held_out,
            related=group[moving.name] == group[fixed.name],
        )
        self.dataset = dataset
        self.name = f"{moving.name}>{fixed.name}"
        self.grid = (*fixed.image.shape, fixed.image.ndim)
        """The shape of a displacement of this pair."""

    def primary(self, displacement: np.ndarray) -> float:
        """Give the primary score of the dataset, for labels their mean, of a displacement ``(*spatial, dims)``.

        NaN where the pair lacks what it is computed from.
        """
        name = self.dataset.primary
        value = metrics.scorer(name)(self.at(displacement)) if self.has(metrics.card(name)["needs"]) else None
        return float("nan") if value is None else _overall(value)

    @property
    def true_field(self) -> np.ndarray | None:
        """The true displacement as methods give theirs, ``(*spatial, dims)`` float32; ``None`` where there is none."""
        return None if self.truth is None else self.truth.displacement.astype(np.float32)


def _overall(value: Value) -> float:
    if not isinstance(value, Mapping):
        return value
    values = np.array(list(value.values()))
    return mean(values[np.isfinite(values)])
