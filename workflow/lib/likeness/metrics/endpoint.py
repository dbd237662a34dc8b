"""End-point error against a true displacement, and where an image has texture to find it by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from likeness.geometry import identity_grid, preimage, sample, to_array, to_tensor

RESOLVED = 0.01
"""Maximum residual, in voxels, at which the inverted true field counts as known."""
MARGIN = 1.0
"""Minimum distance from the moving image's border, in voxels, at which a true displacement must end to count as
known."""

WINDOW = 5
"""Edge of the cube, in the plane the square, in voxels, within which intensities vary where there is texture."""
CONSTANT = 1e-12
"""Variance of intensities in [0, 1] that is rounding."""


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


def textured(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Find where an image has texture: where its local standard deviation exceeds the median of that over the mask.

    The rule sees intensities alone, so that it is the same for all losses and all fields. The standard deviation is
    that of the :data:`WINDOW` voxels along every axis around a voxel, with the image mirrored at its border. In what
    remains of the mask, flat regions, a field is determined by the regulariser rather than by the images.

    Args:
        image: ``(*spatial)``, intensities in [0, 1].
        mask: ``(*spatial)``, bool.

    Returns:
        ``(*spatial)``, bool, within the mask; at most half of it, and nothing of it where the image is constant.
    """
    if not mask.any():
        return mask
    intensities = image.astype(np.float64)
    squares, means = (ndimage.uniform_filter(one, WINDOW) for one in (intensities**2, intensities))
    variance = squares - means**2
    variance[variance < CONSTANT] = 0
    return mask & (variance > np.median(variance[mask]))
