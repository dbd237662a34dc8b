"""End-point error against a true displacement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from likeness.geometry import identity_grid, preimage, sample, to_array, to_tensor

RESOLVED = 0.01
"""Maximum residual, in voxels, at which the inverted true field counts as known."""
MARGIN = 1.0
"""Minimum distance from the moving image's border, in voxels, at which a true displacement must end to count as
known."""


def true_displacement(moving: np.ndarray, fixed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derive the true displacement of a pair from the true displacements of its images to a common space.

    With phi(x) = x + field(x) it is ``phi_moving^-1(phi_fixed(x)) - x``.

    Args:
        moving: field of the moving image, ``(*spatial, dims)``, voxels.
        fixed: field of the fixed image, ``(*spatial, dims)``, voxels.

    Returns:
        The displacement ``(*spatial, dims)``, float32, in voxels, and where it is known, ``(*spatial)``, bool: where it
        ends well inside the moving image and the inverse was found.
    """
    field = to_tensor(moving)
    points = to_tensor(fixed)
    points = identity_grid(points) + points
    found = preimage(field, points)
    off = (found + sample(field, found) - points).norm(dim=1)[0].numpy()
    truth = to_array(found - identity_grid(found))
    landing = np.moveaxis(found[0].numpy(), 0, -1)
    inside = (landing >= MARGIN) & (landing <= np.array(moving.shape[:-1]) - 1 - MARGIN)
    return truth, inside.all(axis=-1) & (off < RESOLVED)


def end_point_error(displacement: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Physical distance between the end points of two displacements.

    Args:
        displacement: ``(*spatial, dims)``, voxels.
        truth: ``(*spatial, dims)``, voxels.
        spacing: voxel size of the moving image along each axis.

    Returns:
        ``(*spatial)`` in the unit of ``spacing``.
    """
    return np.linalg.norm((displacement - truth) * np.asarray(spacing, dtype=np.float64), axis=-1)
