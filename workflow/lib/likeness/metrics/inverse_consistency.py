"""Inverse consistency: how far there and back again, through both registrations of a pair, ends from the start.

Christensen and Johnson, Consistent image registration, IEEE TMI 2001, doi:10.1109/42.932742. An error of 0 does not say
that either registration is right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from likeness.geometry import compose, identity_grid, to_array, to_tensor
from likeness.metrics.base import Registered, mean

CARD = {
    "title": "Inverse consistency error",
    "short": "ICE",
    "order": 130,
    "unit": "distance",
    "range": [0, None],
    "doi": "10.1109/42.932742",
    "better": "lower",
    "costly": True,
}


def score(registered: Registered) -> float | None:
    """Return the mean over the fixed image's mask, or the whole image; ``None`` without the other direction."""
    if registered.reverse is None:
        return None
    error, inside = inconsistency(registered.displacement, registered.reverse, registered.pair.spacing)
    mask = registered.pair.fixed.mask
    return mean(error[inside if mask is None else inside & mask])


def inconsistency(
    displacement: np.ndarray, reverse: np.ndarray, spacing: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Measure ``u(x) + v(x + u(x))``, which is zero if the displacement v is the inverse of u.

    Args:
        displacement: u, ``(*spatial, dims)``, voxels, from the fixed grid into the moving image.
        reverse: v, of the same shape, from the grid of the moving image into the fixed one.
        spacing: voxel size along each axis.

    Returns:
        The distance from the start, ``(*spatial)``, in the unit of ``spacing``, and where the way lies inside the
        moving image, ``(*spatial)``, bool: v is not known elsewhere.
    """
    there, back = to_tensor(displacement), to_tensor(reverse)
    closed = to_array(compose(back, there))
    landing = to_array(identity_grid(there) + there)
    inside = (landing >= 0) & (landing <= np.array(reverse.shape[:-1]) - 1)
    error = np.linalg.norm(closed * np.asarray(spacing, dtype=np.float64), axis=-1)
    return error, np.asarray(inside.all(axis=-1))
