"""Target registration error: how far landmarks are taken from where they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from likeness.metrics.base import Registered, given, mean

CARD = {
    "title": "Landmark error",
    "short": "TRE",
    "order": 80,
    "unit": "distance",
    "range": [0, None],
    "doi": "10.48550/arXiv.2112.04489",
    "better": "lower",
    "needs": ["landmarks"],
    "rank": 30,
    "primary": True,
}


def score(registered: Registered) -> float:
    """Give the mean over the landmarks that are known in both images, NaN where there is none."""
    moving, fixed = registered.pair.moving, registered.pair.fixed
    points = given(fixed.landmarks), given(moving.landmarks)
    error = target_registration_error(registered.displacement, *points, registered.pair.spacing)
    return mean(error[np.isfinite(error)])


def target_registration_error(
    displacement: np.ndarray, fixed: np.ndarray, moving: np.ndarray, spacing: Sequence[float]
) -> np.ndarray:
    """Distance between where landmarks of the fixed image are taken and where they are in the moving image.

    The displacement is interpolated by cubic splines, as in Learn2Reg (Hering et al., IEEE TMI 2022,
    doi:10.48550/arXiv.2112.04489); beyond the grid it repeats its border.

    Args:
        displacement: ``(*spatial, dims)`` in voxels, on the fixed grid, finite.
        fixed: ``(points, dims)``, voxel coordinates.
        moving: ``(points, dims)``, voxel coordinates of the same points in the moving image.
        spacing: size of a voxel of the moving image along each axis.

    Returns:
        ``(points)`` in the unit of ``spacing``; NaN where either coordinate is.

    Raises:
        ValueError: if the images have different numbers of points.
    """
    if fixed.shape != moving.shape:
        msg = f"target_registration_error: {len(fixed)} fixed but {len(moving)} moving landmarks; rows must correspond"
        raise ValueError(msg)
    known = np.isfinite(fixed).all(axis=1) & np.isfinite(moving).all(axis=1)
    at = np.clip(fixed[known], 0, np.array(displacement.shape[:-1]) - 1).T
    components = np.moveaxis(displacement, -1, 0).astype(np.float64)
    shift = np.stack([ndimage.map_coordinates(u, at, order=3) for u in components], axis=-1)
    error = np.full(len(fixed), np.nan)
    error[known] = np.linalg.norm((fixed[known] + shift - moving[known]) * np.asarray(spacing), axis=-1)
    return error
