"""All scores of a displacement, whatever produced it: every metric that the images of the pair allow.

A displacement that is not finite, of a training that diverged, scores NaN throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypedDict

import numpy as np

from likeness import metrics
from likeness.data.store import Dataset, Sample
from likeness.evaluation.pair import PrimaryScorer
from likeness.metrics.base import Registered


class Score(TypedDict):
    """One row of the table of scores; ``label`` is a label's name, ``mean`` or ``all``."""

    metric: str
    label: str
    value: float
    unit: str


def score_pair(
    dataset: Dataset, moving: Sample, fixed: Sample, displacement: np.ndarray | None, costly: bool = True
) -> list[Score]:
    """Score one displacement of a pair; see :class:`PairScorer`, which scores many at less cost."""
    return PairScorer(dataset, moving, fixed).score(displacement, costly)


class PairScorer(PrimaryScorer):
    """Scores displacements of one pair; what does not depend on the displacement is computed once, when first needed.

    What is scored follows from what both images have: labels, instances, landmarks, true fields into a common space
    (the same ``group``), content without counterpart.
    """

    def __init__(self, dataset: Dataset, moving: Sample, fixed: Sample) -> None:
        super().__init__(dataset, moving, fixed)
        cards = {name: (metrics.card(name), metrics.scorer(name)) for name in metrics.names()}
        able = {name: both for name, both in cards.items() if dataset.spatial_dims in both[0]["dimensions"]}
        self._metrics = {name: both for name, both in able.items() if self.has(both[0]["needs"])}

    def score(self, displacement: np.ndarray | None, costly: bool = True) -> list[Score]:
        """Score a displacement.

        Args:
            displacement: ``(*spatial, dims)`` in voxels, on the fixed grid, into the moving image; ``None`` scores the
                pair as it is, unregistered.
            costly: whether to compute the metrics whose cards say that they are.

        Returns:
            One row per metric and label.

        Raises:
            ValueError: if the displacement is not on the fixed grid.
        """
        if displacement is None:
            displacement = np.zeros(self.grid, np.float32)
        if displacement.shape != self.grid:
            msg = (
                f"displacement of {self.name}: shape {displacement.shape}, but the fixed "
                f"image needs {self.grid}; give it in voxels of the fixed grid with the component as last axis"
            )
            raise ValueError(msg)
        diverged = not np.isfinite(displacement).all()
        rows = list(self._rows(self.at(np.zeros_like(displacement) if diverged else displacement), costly))
        return [{**row, "value": float("nan")} for row in rows] if diverged else rows

    def _rows(self, registered: Registered, costly: bool) -> Iterator[Score]:
        for name, (card, score) in self._metrics.items():
            value = score(registered) if costly or not card["costly"] else None
            unit = self.unit if card["unit"] == "distance" else card["unit"]
            if isinstance(value, Mapping):
                for label, of_label in value.items():
                    yield {"metric": name, "label": self.dataset.labels[label], "value": float(of_label), "unit": unit}
            elif value is not None:
                summed = "all" if card["per"] is None else "mean"
                yield {"metric": name, "label": summed, "value": float(value), "unit": unit}
