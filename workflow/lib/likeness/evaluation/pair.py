"""What judges a training while it runs: the primary score of a pair, and the truth behind it.

It stands apart from the other scores, so that these can change without a training being repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from likeness.data.store import Dataset, Sample
from likeness.geometry import warp_labels
from likeness.metrics import endpoint, landmarks, overlap

OUTSIDE = -1
"""The label of what lies outside the moving image; not 0, which may be a structure."""


@dataclass(frozen=True)
class Truth:
    """The true displacement of a pair, ``(*spatial, dims)``, voxels, and, ``(*spatial)``, bool, where it counts."""

    displacement: np.ndarray
    counterpart: np.ndarray
    """Voxels of the fixed image whose content the moving image has too."""


class PairJudge:
    """Judges displacements of one pair; what does not depend on the displacement is computed once, when needed."""

    def __init__(self, dataset: Dataset, moving: Sample, fixed: Sample) -> None:
        self.dataset = dataset
        self.moving = moving
        self.fixed = fixed
        self.unit = dataset.spacing_unit
        self.grid = (*fixed.image.shape, fixed.image.ndim)
        """The shape of a displacement of this pair."""

    def primary(self, displacement: np.ndarray) -> float:
        """Give the primary score of the dataset, for labels their mean, of a displacement ``(*spatial, dims)``."""
        value: float | None
        match self.dataset.primary:
            case "epe":
                value = None if self.truth is None else mean(self.error(displacement)[self.truth.counterpart])
            case "dice":
                value = self._mean_dice(displacement)
            case "tre":
                value = self.tre(displacement)
            case _:
                value = self.dice_instance(displacement)
        return float("nan") if value is None else value

    @cached_property
    def truth(self) -> Truth | None:
        """The true displacement, or ``None`` where the pair has none."""
        group = self.dataset.images.group
        if self.moving.field is None or self.fixed.field is None or group[self.moving.name] != group[self.fixed.name]:
            return None
        displacement, counterpart = endpoint.true_displacement(self.moving.field, self.fixed.field)
        if self.fixed.mask is not None:
            counterpart &= self.fixed.mask
        if self.moving.mask is not None:
            counterpart &= warp_labels(self.moving.mask, displacement)
        for unmatched in (self.fixed.unmatched, self._moved_unmatched(displacement)):
            if unmatched is not None:
                counterpart &= ~unmatched
        return Truth(displacement, counterpart)

    @property
    def true_field(self) -> np.ndarray | None:
        """The true displacement as methods give theirs, ``(*spatial, dims)`` float32; ``None`` where there is none."""
        return None if self.truth is None else self.truth.displacement.astype(np.float32)

    def _moved_unmatched(self, displacement: np.ndarray) -> np.ndarray | None:
        return None if self.moving.unmatched is None else warp_labels(self.moving.unmatched, displacement)

    def error(self, displacement: np.ndarray) -> np.ndarray:
        """Give the end-point error ``(*spatial)`` in the dataset's unit, of a pair that has a truth."""
        assert self.truth is not None
        return endpoint.end_point_error(displacement, self.truth.displacement, self.dataset.spacing)

    def dice(self, moved: np.ndarray) -> np.ndarray:
        """Give the Dice ``(labels,)`` of a moved label map; NaN where an image lacks the label before warping."""
        assert self.fixed.label is not None
        return np.where(self._common, overlap.dice(self.fixed.label, moved, self.dataset.evaluate), np.nan)

    def _mean_dice(self, displacement: np.ndarray) -> float | None:
        if self.moving.label is None or self.fixed.label is None:
            return None
        values = self.dice(warp_labels(self.moving.label, displacement, OUTSIDE))
        return mean(values[np.isfinite(values)])

    @cached_property
    def _common(self) -> np.ndarray:
        """Whether both images have a label, ``(labels)``, before warping."""
        assert self.fixed.label is not None
        assert self.moving.label is not None
        return overlap.common(self.fixed.label, self.moving.label, self.dataset.evaluate)

    def dice_instance(self, displacement: np.ndarray) -> float | None:
        """Give the mean Dice of the same instance, or ``None`` where an image has no instances."""
        if self.moving.instances is None or self.fixed.instances is None:
            return None
        moved = warp_labels(self.moving.instances, displacement)
        return overlap.dice_instance(self.fixed.instances, moved, self.moving.instances)

    def tre(self, displacement: np.ndarray) -> float | None:
        """Give the mean error at the landmarks in the dataset's unit, or ``None`` where an image has none."""
        if self.moving.landmarks is None or self.fixed.landmarks is None:
            return None
        error = landmarks.target_registration_error(
            displacement, self.fixed.landmarks, self.moving.landmarks, self.dataset.spacing
        )
        return mean(error[np.isfinite(error)])


def mean(values: np.ndarray) -> float:
    """Give the mean of values, NaN of none."""
    return float(values.mean()) if values.size else float("nan")
