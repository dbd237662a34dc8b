"""All scores of a displacement, from any method: every metric that the parts of the pair allow.

A non-finite displacement, of a training that diverged, scores NaN throughout.
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
    """One row of the table of scores; ``label`` is the name of a label, ``mean`` or ``all``."""

    metric: str
    label: str
    value: float
    unit: str


def score_pair(
    dataset: Dataset, moving: Sample, fixed: Sample, displacement: np.ndarray | None, costly: bool = True
) -> list[Score]:
    """Score one displacement of a pair; :class:`PairScorer` is more efficient for several."""
    return PairScorer(dataset, moving, fixed).score(displacement, costly)


class PairScorer(PrimaryScorer):
    """Score displacements of one pair; quantities independent of the displacement are computed once on first access.

    The metrics depend on the parts of both images: labels, instances, landmarks, true fields to a common space (the
    same ``group``), unmatched content.
    """

    def __init__(self, dataset: Dataset, moving: Sample, fixed: Sample) -> None:
        super().__init__(dataset, moving, fixed)
        cards = {name: (metrics.card(name), metrics.scorer(name)) for name in metrics.names()}
        able = {name: both for name, both in cards.items() if dataset.spatial_dims in both[0]["dimensions"]}
        self._metrics = {name: both for name, both in able.items() if self.has(both[0]["needs"])}

    def score(
        self, displacement: np.ndarray | None, costly: bool = True, reverse: np.ndarray | None = None
    ) -> list[Score]:
        """Score a displacement.

        Args:
            displacement: ``(*spatial, dims)`` in voxels, from the fixed grid into the moving image; ``None`` scores the
                unregistered pair.
            costly: whether to compute the metrics that are ``costly`` by their cards.
            reverse: displacement of the same images with exchanged roles, if there is one.

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
                f"image needs {self.grid}; give it in voxels of the fixed grid with the components on the last axis"
            )
            raise ValueError(msg)
        diverged = not np.isfinite(displacement).all()
        rows = list(self._rows(self.at(np.zeros_like(displacement) if diverged else displacement, reverse), costly))
        return [{**row, "value": float("nan")} for row in rows] if diverged else rows

    def _rows(self, registered: Registered, costly: bool) -> Iterator[Score]:
        for name, (card, score) in self._metrics.items():
            value = score(registered) if costly or not card["costly"] else None
            unit = card["unit"].replace("distance", self.unit)
            if isinstance(value, Mapping):
                for label, of_label in value.items():
                    yield {"metric": name, "label": self.dataset.labels[label], "value": float(of_label), "unit": unit}
            elif value is not None:
                summed = "all" if card["per"] is None else "mean"
                yield {"metric": name, "label": summed, "value": float(value), "unit": unit}
