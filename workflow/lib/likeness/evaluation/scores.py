"""All scores of a displacement, whatever produced it.

=====================  ================================================================================================
``dice``               per label; NaN where the fixed or the moving image lacks the label before warping
``dice_untaught``      ``dice`` of those labels that the extractor ``segmentation_half`` is not taught
``dice_instance``      of the same instance, mean over the instances that both images have
``hd95``               per label, in the dataset's unit; infinite where warping lost the label, NaN as for ``dice``
``epe``                end-point error where content has a counterpart, in the dataset's unit
``epe_near_unmatched`` the same within 10 mm of content without counterpart (10 voxels where the unit is not mm)
``abslogj_unmatched``  mean |log max(J, 0.01)| inside content without counterpart
``tre``                mean over landmarks, in the dataset's unit
``folding``            share of voxels with J <= 0, in %
``sdlogj``             standard deviation of log max(J, 0.01)
``ndv``, ``nda``       non-diffeomorphic volume (3D) or area (2D), in %
``l2r_sdlogj``         3D only: the smoothness that Learn2Reg publishes
=====================  ================================================================================================

``folding``, ``sdlogj``, ``ndv`` and ``nda`` are over the fixed image's mask, where it has one. A displacement that is
not finite, of a training that diverged, scores NaN throughout.
"""

from __future__ import annotations

from functools import cached_property
from typing import TypedDict

import numpy as np
from scipy import ndimage

from likeness.data.store import Dataset, Sample
from likeness.evaluation.pair import OUTSIDE, PairJudge, mean
from likeness.geometry import warp_labels
from likeness.metrics import regularity, surface

NEAR_MM = 10.0
NEAR_VOXELS = 10.0
"""How near to content without counterpart an end-point error counts as near, in mm or, for other units, voxels."""


class Score(TypedDict):
    """One row of the table of scores; ``label`` is a label's name, ``mean`` or ``all``."""

    metric: str
    label: str
    value: float
    unit: str


def score_pair(
    dataset: Dataset, moving: Sample, fixed: Sample, displacement: np.ndarray | None, hd95: bool = True
) -> list[Score]:
    """Score one displacement of a pair; see :class:`PairScorer`, which scores many at less cost."""
    return PairScorer(dataset, moving, fixed).score(displacement, hd95)


class PairScorer(PairJudge):
    """Scores displacements of one pair; what does not depend on the displacement is computed once, when first needed.

    What is scored follows from what both images have: labels, instances, landmarks, true fields into a common space
    (the same ``group``), content without counterpart.
    """

    def score(self, displacement: np.ndarray | None, hd95: bool = True) -> list[Score]:
        """Score a displacement.

        Args:
            displacement: ``(*spatial, dims)`` in voxels, on the fixed grid, into the moving image; ``None`` scores the
                pair as it is, unregistered.
            hd95: whether to compute the surface distance, the costliest of the scores.

        Returns:
            One row per metric and label.

        Raises:
            ValueError: if the displacement is not on the fixed grid.
        """
        if displacement is None:
            displacement = np.zeros(self.grid, np.float32)
        if displacement.shape != self.grid:
            msg = (
                f"displacement of {self.moving.name}>{self.fixed.name}: shape {displacement.shape}, but the fixed "
                f"image needs {self.grid}; give it in voxels of the fixed grid with the component as last axis"
            )
            raise ValueError(msg)
        diverged = not np.isfinite(displacement).all()
        rows = self._rows(np.zeros_like(displacement) if diverged else displacement, hd95)
        return [{**row, "value": float("nan")} for row in rows] if diverged else rows

    def _rows(self, displacement: np.ndarray, hd95: bool) -> list[Score]:
        determinants = regularity.jacobian(displacement)
        return [
            *self._overlap(displacement, hd95),
            *self._instances(displacement),
            *self._end_point_error(displacement),
            *self._unmatched(determinants),
            *self._landmarks(displacement),
            *self._regularity(displacement, determinants),
        ]

    def _overlap(self, displacement: np.ndarray, hd95: bool) -> list[Score]:
        if self.moving.label is None or self.fixed.label is None:
            return []
        ids = self.dataset.evaluate
        names = [self.dataset.labels[i] for i in ids]
        moved = warp_labels(self.moving.label, displacement, OUTSIDE)
        values = self.dice(moved)
        rows = [_row("dice", value, "1", name) for name, value in zip(names, values, strict=True)]
        scored = dict(zip(ids, rows, strict=True))
        rows += [{**scored[label], "metric": "dice_untaught"} for label in self.dataset.untaught]
        if hd95:
            surfaces = self._surfaces(moved)
            pairs = zip(self._fixed_surfaces, surfaces, strict=True)
            distances = [np.nan if a is None or b is None else surface.hausdorff(a, b) for a, b in pairs]
            rows += [_row("hd95", value, self.unit, name) for name, value in zip(names, distances, strict=True)]
        return rows

    @cached_property
    def _fixed_surfaces(self) -> list[surface.Surface | None]:
        assert self.fixed.label is not None
        return self._surfaces(self.fixed.label)

    def _surfaces(self, labels: np.ndarray) -> list[surface.Surface | None]:
        """Give the surface of every label that both images have, ``None`` for the others."""
        ids, spacing = self.dataset.evaluate, self.dataset.spacing
        boxes = ndimage.find_objects(labels.astype(np.int32) + 1, max(ids) + 1)  # counts labels from 1
        nowhere = (slice(0, 0),) * labels.ndim
        found: list[surface.Surface | None] = []
        for label, scored in zip(ids, self._common, strict=True):
            box = boxes[label] or nowhere
            region = labels[box] == label
            found.append(surface.surface(region, spacing, [s.start for s in box]) if scored else None)
        return found

    def _instances(self, displacement: np.ndarray) -> list[Score]:
        value = self.dice_instance(displacement)
        return [] if value is None else [_row("dice_instance", value, "1", "mean")]

    @cached_property
    def unmatched(self) -> np.ndarray | None:
        """Content that one image lacks, ``(*spatial)``, bool, or ``None`` where the pair marks none.

        The moving image's is taken to the fixed grid by the truth; without a truth only the fixed image's is known.
        """
        moved = None if self.truth is None else self._moved_unmatched(self.truth.displacement)
        masks = [m for m in (self.fixed.unmatched, moved) if m is not None]
        return np.logical_or.reduce(masks) if masks else None

    @cached_property
    def _near(self) -> np.ndarray:
        """Voxels with a counterpart near content without one, ``(*spatial)``, bool."""
        assert self.truth is not None
        assert self.unmatched is not None
        if not self.unmatched.any():
            return np.zeros_like(self.unmatched)
        sampling, limit = (self.dataset.spacing, NEAR_MM) if self.unit == "mm" else (None, NEAR_VOXELS)
        return self.truth.counterpart & (ndimage.distance_transform_edt(~self.unmatched, sampling) <= limit)

    def _end_point_error(self, displacement: np.ndarray) -> list[Score]:
        if self.truth is None:
            return []
        error = self.error(displacement)
        rows = [_row("epe", mean(error[self.truth.counterpart]), self.unit)]
        if self.unmatched is not None:
            rows.append(_row("epe_near_unmatched", mean(error[self._near]), self.unit))
        return rows

    def _unmatched(self, determinants: np.ndarray) -> list[Score]:
        if self.unmatched is None:
            return []
        return [_row("abslogj_unmatched", regularity.abslogj(determinants, self.unmatched), "1")]

    def _landmarks(self, displacement: np.ndarray) -> list[Score]:
        value = self.tre(displacement)
        return [] if value is None else [_row("tre", value, self.unit)]

    def _regularity(self, displacement: np.ndarray, determinants: np.ndarray) -> list[Score]:
        mask = self.fixed.mask
        volume = self.dataset.spatial_dims == 3
        share = regularity.non_diffeomorphic_share(displacement, mask)
        rows = [
            _row("folding", regularity.folding(determinants, mask), "%"),
            _row("sdlogj", regularity.sdlogj(determinants, mask), "1"),
            _row("ndv" if volume else "nda", share, "%"),
        ]
        return [*rows, _row("l2r_sdlogj", regularity.l2r_sdlogj(determinants), "1")] if volume else rows


def _row(metric: str, value: float, unit: str, label: str = "all") -> Score:
    return {"metric": metric, "label": label, "value": float(value), "unit": unit}
