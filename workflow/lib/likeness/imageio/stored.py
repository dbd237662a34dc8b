"""Displacements in voxels of the arrays in the images' files, as a dataset's truth and Learn2Reg have them.

``v`` is on the fixed image's stored grid and points into the moving image's stored array, ``y + v(y)``; both files may
store their axes in another order and direction than the prepared ones, and than each other.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from likeness.imageio import displacement
from likeness.imageio.formats import opened
from likeness.imageio.placement import Placement, applied, points, turn, turn_back
from likeness.userinput.errors import DatasetError


def from_stored(field: np.ndarray, moving: Placement, fixed: Placement) -> np.ndarray:
    """Turn ``(*stored, dims)``, voxels of the stored grids, into ``(*spatial, dims)`` float32 of the prepared ones."""
    y = points(fixed.stored_shape)
    ours = applied(moving.stored, y + field) - applied(fixed.stored, y)
    return np.ascontiguousarray(turn(ours, fixed.stored), dtype=np.float32)


def to_stored(field: np.ndarray, moving: Placement, fixed: Placement) -> np.ndarray:
    """Turn ``(*spatial, dims)``, voxels of the prepared grids, into ``(*stored, dims)`` float32 of the stored ones."""
    x = points(fixed.shape)
    theirs = applied(np.linalg.inv(moving.stored), x + field) - applied(np.linalg.inv(fixed.stored), x)
    return np.ascontiguousarray(turn_back(theirs, fixed.stored), dtype=np.float32)


def read(path: Path, moving: Placement, fixed: Placement) -> np.ndarray:
    """Read ``.npz`` with ``displacement``, ``(*stored, dims)``.

    Returns:
        ``(*spatial, dims)`` float32, voxels of the prepared grids.

    Raises:
        DatasetError: if the file is unreadable, of another shape, or not finite.
    """
    wanted = (*fixed.stored_shape, fixed.dims)
    with opened(path) as file:
        if file.shape != wanted or file.dtype.kind not in "iuf":
            msg = f"{path}: has {file.dtype} of shape {file.shape}, but a field on the grid of its fixed image's file "
            raise DatasetError(msg + f"has numbers of shape {wanted}; save it so, the component last")
        file.check_size(path, parts=fixed.dims)
        field = file.values()
    return from_stored(finite(path, field), moving, fixed)


def write(path: Path, field: np.ndarray, moving: Placement, fixed: Placement) -> None:
    """Write what :func:`read` reads."""
    displacement.save(path, to_stored(field, moving, fixed))


def finite(path: Path, field: np.ndarray) -> np.ndarray:
    """Refuse a field with values that are not finite; give it in float64.

    Raises:
        DatasetError: if it has some.
    """
    values = np.asarray(field, dtype=np.float64)
    if not math.isfinite(values.sum()) and not np.isfinite(values).all():
        msg = f"{path}: the displacement has values that are not finite; fill them"
        raise DatasetError(msg)
    return values
