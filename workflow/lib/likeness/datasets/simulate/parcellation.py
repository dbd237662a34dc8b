"""Labels of small, localised regions; the overlap of whole tissues cannot distinguish good from bad registrations.

Rohlfing, Image similarity and tissue overlaps as surrogates for image registration accuracy, IEEE TMI 2012,
doi:10.1109/TMI.2011.2163944.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree

SEED = 0
"""Fixed, because the regions belong to the template rather than to a simulated dataset."""


def voronoi_parcels(points: np.ndarray, count: int) -> np.ndarray:
    """Split points into the cells of a centroidal Voronoi tessellation, numbered along the second coordinate.

    Args:
        points: ``(n, dims)``.
        count: number of parcels.

    Returns:
        ``(n,)``, 0 to ``count - 1``; the centre of parcel 0 has the largest second coordinate.
    """
    sparse = points[:: max(1, len(points) // 20_000)]
    centres, _ = kmeans2(sparse, count, iter=50, minit="++", rng=np.random.default_rng(SEED))
    centres = centres[np.argsort(-centres[:, 1], kind="stable")]
    return cKDTree(centres).query(points)[1]


def hemispheric_parcels(region: np.ndarray, points: np.ndarray, count: int) -> np.ndarray:
    """Parcellate a region: ``1 .. count`` on the left, and mirrored ``count + 1 .. 2 count`` on the right.

    Args:
        region: bool, any shape.
        points: coordinates ``(*region.shape, dims)``; the first one is negative on the left and positive on the right.
        count: number of parcels on each side.

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
