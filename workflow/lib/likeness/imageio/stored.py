"""Displacements in voxels of the arrays in the images' files, as in datasets' true fields and in Learn2Reg.

``v`` is on the fixed image's stored grid and points into the moving image's stored array, ``y + v(y)``; the axes of
both files can differ in order and direction from the prepared arrays and from each other.
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
    """Convert ``(*stored, dims)``, voxels of stored grids, to ``(*spatial, dims)``, float32, of prepared ones."""
    y = points(fixed.stored_shape)
    ours = applied(moving.stored, y + field) - applied(fixed.stored, y)
    return np.ascontiguousarray(turn(ours, fixed.stored), dtype=np.float32)


def to_stored(field: np.ndarray, moving: Placement, fixed: Placement) -> np.ndarray:
    """Convert ``(*spatial, dims)``, voxels of prepared grids, to ``(*stored, dims)``, float32, of stored ones."""
    x = points(fixed.shape)
    theirs = applied(np.linalg.inv(moving.stored), x + field) - applied(np.linalg.inv(fixed.stored), x)
    return np.ascontiguousarray(turn_back(theirs, fixed.stored), dtype=np.float32)


def read(path: Path, moving: Placement, fixed: Placement) -> np.ndarray:
    """Read ``.npz`` with ``displacement``, ``(*stored, dims)``.

    Returns:
        ``(*spatial, dims)``, float32, in voxels of the prepared grids.

    Raises:
        DatasetError: if the file is unreadable, has another shape, or is not finite.
    """
    wanted = (*fixed.stored_shape, fixed.dims)
    with opened(path) as file:
        if file.shape != wanted or file.dtype.kind not in "iuf":
            msg = f"{path}: has {file.dtype} of shape {file.shape}, but a field on the grid of its fixed image's file "
            raise DatasetError(msg + f"has numbers of shape {wanted}; save it like that, component last")
        file.check_size(path, parts=fixed.dims)
        field = file.values()
    return from_stored(finite(path, field), moving, fixed)


def write(path: Path, field: np.ndarray, moving: Placement, fixed: Placement) -> None:
    """Write a field in the format of :func:`read`."""
    displacement.save(path, to_stored(field, moving, fixed))


def finite(path: Path, field: np.ndarray) -> np.ndarray:
    """Check that a field is finite, and convert it to float64.

    Raises:
        DatasetError: if it is not finite.
    """
    values = np.asarray(field, dtype=np.float64)
    if not math.isfinite(values.sum()) and not np.isfinite(values).all():
        msg = f"{path}: the displacement has non-finite values; fill them"
        raise DatasetError(msg)
    return values
