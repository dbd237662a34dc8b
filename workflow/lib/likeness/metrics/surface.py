"""Distance between label surfaces: the 95th percentile of the Hausdorff distance, and the average.

Surfaces are defined as in Nikolov et al., Clinically Applicable Segmentation of Head and Neck Anatomy, JMIR 2021,
doi:10.2196/26151 (https://github.com/google-deepmind/surface-distance): a point at every corner between voxels inside
and outside, weighted by the area (in 2D the length) of the surface element for the pattern of its 8 (4) voxels, so that
the percentile is one of area rather than of voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.spatial import KDTree


@dataclass(frozen=True)
class Surface:
    """Surface of a region: ``points`` ``(n, dims)`` and their ``areas`` ``(n,)``, in physical units.

    Reuse it to compare many regions with the same one, because the search tree is cached.
    """

    points: np.ndarray
    areas: np.ndarray

    @cached_property
    def tree(self) -> KDTree:
        """Search tree over the points."""
        return KDTree(self.points, leafsize=32, balanced_tree=False)


def surface(region: np.ndarray, spacing: Sequence[float], origin: Sequence[int] | None = None) -> Surface:
    """Compute the surface of a region; at the border of the array it runs along the border.

    Args:
        region: ``(*spatial)``, bool, 2D or 3D; cropping to the region saves time without changing the result.
        spacing: voxel size along each axis.
        origin: index of the first voxel of a cropped ``region`` in the whole image.

    Returns:
        The surface; without points if the region is empty.

    Raises:
        ValueError: if the numbers of axes of region and spacing differ, or are neither 2 nor 3.
    """
    dims = region.ndim
    if dims != len(spacing) or dims not in (2, 3):
        msg = f"surface: a region of {dims} axes with a spacing of {len(spacing)}; both must be 2, or both 3"
        raise ValueError(msg)
    padded = np.pad(region.astype(np.uint8), 1)
    pattern = np.zeros([n + 1 for n in region.shape], dtype=np.uint8)
    for bit, corner in enumerate(reversed(list(np.ndindex(*[2] * dims)))):
        pattern += padded[tuple(slice(o, o + n + 1) for o, n in zip(corner, region.shape, strict=True))] << bit
    index = np.nonzero((pattern != 0) & (pattern != 2 ** (2**dims) - 1))
    first = np.zeros(dims) if origin is None else np.asarray(origin)
    points = (np.stack(index, axis=-1) + first) * np.asarray(spacing, dtype=float)
    return Surface(points, _areas(tuple(float(s) for s in spacing))[pattern[index]])


@lru_cache
def _areas(spacing: tuple[float, ...]) -> np.ndarray:
    """Area of the surface element for each pattern of inside and outside voxels around a corner.

    Bit 0 of a pattern is the voxel after the corner along all axes, the highest bit the voxel before it.
    """
    if len(spacing) == 2:
        # not from MONAI, whose import takes longer than scoring a 2D dataset
        first, second = spacing
        half = 0.5 * float(np.hypot(first, second))
        lengths = [0, half, half, second, half, first, 2 * half, half]
        return np.array(lengths + lengths[::-1])  # complementary patterns have the same contour
    from monai.metrics.utils import get_code_to_measure_table

    return get_code_to_measure_table(spacing)[0].double().numpy()


@dataclass(frozen=True)
class Distances:
    """Distances between two surfaces: from each point of one to the nearest point of the other, in both directions."""

    there: np.ndarray
    """``(n,)``, from the first surface."""
    there_areas: np.ndarray
    back: np.ndarray
    """``(m,)``, from the second surface."""
    back_areas: np.ndarray

    @classmethod
    def between(cls, a: Surface, b: Surface) -> Distances:
        """Measure two surfaces in the same unit; infinite distances to an empty one."""
        there, back = (
            one.tree.query(points)[0] if len(one.points) else np.full(len(points), np.inf)
            for one, points in ((b, a.points), (a, b.points))
        )
        return cls(there, a.areas, back, b.areas)

    def percentile(self, percent: float = 95.0) -> float:
        """Return the percentile of the Hausdorff distance: the maximum of the two directed percentiles.

        Args:
            percent: percentile by area, in (0, 100].

        Returns:
            The distance in the unit of the surfaces; infinity if one is empty, NaN if both are.
        """
        directed = ((self.there, self.there_areas), (self.back, self.back_areas))
        found = [_percentile(*each, percent) for each in directed if len(each[0])]
        return max(found) if found else float("nan")

    def average(self) -> float:
        """Return the mean over the area of both surfaces, as :meth:`percentile` does; symmetric.

        Heimann et al., Comparison and evaluation of methods for liver segmentation from CT datasets, IEEE TMI 2009,
        doi:10.1109/TMI.2009.2013851, with points weighted by area.
        """
        distances = np.concatenate([self.there, self.back])
        areas = np.concatenate([self.there_areas, self.back_areas])
        return float(np.average(distances, weights=areas)) if len(distances) else float("nan")


def hausdorff(a: Surface, b: Surface, percent: float = 95.0) -> float:
    """Percentile of the symmetric distance between two surfaces, see :meth:`Distances.percentile`."""
    return Distances.between(a, b).percentile(percent)


def _percentile(distances: np.ndarray, areas: np.ndarray, percent: float) -> float:
    """Smallest distance that covers ``percent`` of the area."""
    order = np.argsort(distances)
    reached = np.cumsum(areas[order])
    # slightly reduced, so that exact ties do not depend on the order of summation
    share = percent / 100 * (1 - 1e-9) * reached[-1]
    return float(distances[order[np.searchsorted(reached, share)]])


def hd95(a: np.ndarray, b: np.ndarray, spacing: Sequence[float]) -> float:
    """95th percentile of the Hausdorff distance between two regions, ``(*spatial)``, bool, on the same grid.

    Returns:
        The distance in the unit of ``spacing``; infinity if one region is empty, NaN if both are.
    """
    return hausdorff(surface(a, spacing), surface(b, spacing))
