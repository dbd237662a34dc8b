"""Local regions as labels: overlap of whole tissues cannot tell an accurate registration from a wrong one.

Rohlfing, Image similarity and tissue overlaps as surrogates for image registration accuracy, IEEE TMI 2012,
doi:10.1109/TMI.2011.2163944.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree

SEED = 0
"""Regions belong to the template, not to a draw of subjects, so their seed is not that of a dataset."""


def voronoi_parcels(points: np.ndarray, count: int) -> np.ndarray:
    """Split points into the cells of a centroidal Voronoi tessellation, numbered along the second coordinate.

    Args:
        points: ``(n, dims)``.
        count: how many parcels.

    Returns:
        ``(n,)``, from 0 to ``count - 1``; parcel 0 has the greatest second coordinate of its centre.
    """
    sparse = points[:: max(1, len(points) // 20_000)]
    centres, _ = kmeans2(sparse, count, iter=50, minit="++", rng=np.random.default_rng(SEED))
    centres = centres[np.argsort(-centres[:, 1], kind="stable")]
    return cKDTree(centres).query(points)[1]


def hemispheric_parcels(region: np.ndarray, points: np.ndarray, count: int) -> np.ndarray:
    """Number the voxels of a region: ``1 .. count`` on the left, ``count + 1 .. 2 count`` mirrored on the right.

    Args:
        region: bool, any shape.
        points: ``(*region.shape, dims)``; the sign of the first coordinate tells left (negative) from right.
        count: parcels on each side.

    Returns:
        int16, the shape of ``region``, 0 outside it.
    """
    inside = points[region]
    right = inside[:, 0] > 0
    folded = inside * np.where(np.arange(inside.shape[1]) == 0, -1.0, 1.0)
    mirrored = np.where(right[:, None], folded, inside)
    parcels = np.zeros(region.shape, np.int16)
    parcels[region] = 1 + voronoi_parcels(mirrored, count) + count * right
    return parcels
