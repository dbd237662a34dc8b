"""The validation score during training: the primary score of a pair.

Separate from the other scores, so that changes to these do not invalidate trainings.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from likeness import metrics
from likeness.data.store import Dataset, Sample
from likeness.metrics.base import Pair, Value, mean


class PrimaryScorer(Pair):
    """Score displacements of one pair; quantities independent of the displacement are computed once on first access."""

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
        """Shape of a displacement of this pair."""

    def primary(self, displacement: np.ndarray) -> float:
        """Return the dataset's primary score of a displacement ``(*spatial, dims)``, averaged over labels.

        NaN if the pair lacks the required parts.
        """
        name = self.dataset.primary
        value = metrics.scorer(name)(self.at(displacement)) if self.has(metrics.card(name)["needs"]) else None
        return float("nan") if value is None else _overall(value)

    @property
    def true_field(self) -> np.ndarray | None:
        """The true displacement in the form of methods' results, ``(*spatial, dims)``, float32; ``None`` if unknown."""
        return None if self.truth is None else self.truth.displacement.astype(np.float32)


def _overall(value: Value) -> float:
    if not isinstance(value, Mapping):
        return value
    values = np.array(list(value.values()))
    return mean(values[np.isfinite(values)])
