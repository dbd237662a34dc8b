"""Target registration error: distance between transformed and actual landmarks.

Hering et al., IEEE TMI 2022, doi:10.48550/arXiv.2112.04489.
"""

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
    """Return the mean over the landmarks known in both images; NaN if there are none."""
    return mean(errors(registered))


def quantile(registered: Registered, share: float) -> float:
    """Return the error that a share of the landmarks known in both images does not exceed; NaN if there are none."""
    found = errors(registered)
    return float(np.quantile(found, share)) if len(found) else float("nan")


def errors(registered: Registered) -> np.ndarray:
    """Return the error of every landmark known in both images, ``(points)``, in the unit of the spacing."""
    return registered.kept("landmarks", lambda: _errors(registered))


def _errors(registered: Registered) -> np.ndarray:
    moving, fixed = registered.pair.moving, registered.pair.fixed
    points = given(fixed.landmarks), given(moving.landmarks)
    error = target_registration_error(registered.displacement, *points, registered.pair.spacing)
    return error[np.isfinite(error)]


def target_registration_error(
    displacement: np.ndarray, fixed: np.ndarray, moving: np.ndarray, spacing: Sequence[float]
) -> np.ndarray:
    """Distance between the transformed landmarks of the fixed image and those of the moving image.

    The displacement is interpolated by cubic splines, as in Learn2Reg (Hering et al., IEEE TMI 2022,
    doi:10.48550/arXiv.2112.04489); outside the grid the border value is used.

    Args:
        displacement: ``(*spatial, dims)`` in voxels, on the fixed grid, finite.
        fixed: ``(points, dims)``, voxel coordinates.
        moving: ``(points, dims)``, voxel coordinates of the same points in the moving image.
        spacing: voxel size of the moving image along each axis.

    Returns:
        ``(points)`` in the unit of ``spacing``; NaN where a coordinate is NaN.

    Raises:
        ValueError: if the numbers of points differ.
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
