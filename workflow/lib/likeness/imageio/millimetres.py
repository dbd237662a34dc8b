"""Displacements in ITK's convention, see :mod:`.itk`, from files that are read without ITK.

Apart, so that what reads datasets does not need ITK.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from likeness.imageio.formats import AGREE, VECTOR, Stored, opened
from likeness.imageio.placement import Placement, applied, in_millimetres, points, turn
from likeness.imageio.stored import finite
from likeness.userinput.errors import DatasetError

OUT_OF_PLANE = 0.5
"""Maximum component of a field perpendicular to the moving image's slice, in voxels."""
_OTHERS = {"NREG_TRANS": "NiftyReg", "Mapping": "SPM"}
"""Programs that write the same kind of file with other content, by the header's intent name: their x leads to the
right, and some write places instead of displacements."""


def read(
    path: Path,
    moving: Placement,
    fixed: Placement,
    opener: Callable[[Path], AbstractContextManager[Stored]] | None = None,
) -> np.ndarray:
    """Read a field.

    Args:
        path: NIfTI file, or one that ``opener`` opens.
        moving, fixed: placements of the images.
        opener: function that opens other formats in the form of a NIfTI file.

    Returns:
        ``(*spatial, dims)``, float32, in voxels of the prepared grids.

    Raises:
        DatasetError: if the file is unreadable, not in this convention, on another grid than the fixed image's, not
            finite, or points out of the plane of a slice.
    """
    physical = fixed.dims if fixed.affine is None else len(fixed.affine) - 1
    with opened(path, opener=opener) as file:
        if len(file.shape) != 5 or file.shape[3] != 1 or file.intent != VECTOR or file.dtype.kind != "f":
            msg = f"{path}: has {file.dtype} of shape {file.shape} and intent {file.intent}, but ITK expects "
            raise DatasetError(msg + f"floats of shape (x, y, z, 1, components) and intent {VECTOR}; save it like that")
        if program := _OTHERS.get(file.intent_name):
            msg = f"{path}: is a transformation of {program} (intent name {file.intent_name}), whose vectors are not "
            raise DatasetError(msg + "those of ITK; convert it to a displacement of ITK")
        if file.shape[4] != physical:
            msg = f"{path}: has vectors of {file.shape[4]} components, but its fixed image has {physical} axes in ITK; "
            raise DatasetError(msg + "save one component for each")
        assert file.affine is not None
        kept = [i for i, size in enumerate(file.shape[:3]) if size > 1]
        if len(kept) != fixed.dims:
            msg = f"{path}: is a field of {file.shape[:3]} voxels, but its fixed image has {fixed.shape}; resample it"
            raise DatasetError(msg)
        grid = left_posterior(in_millimetres(file.affine, file.unit))[np.ix_([*range(physical), 3], [*kept, 3])]
        of_fixed, of_moving = places(path, moving, fixed, grid)
        matrix = _to_prepared(path, grid, tuple(file.shape[i] for i in kept), of_fixed, fixed.shape)
        file.check_size(path, parts=physical)
        values = finite(path, file.values()).reshape(*(file.shape[i] for i in kept), physical)
    return _from_physical(path, turn(values, matrix), of_moving, of_fixed)


def left_posterior(affine: np.ndarray) -> np.ndarray:
    """Reverse the world's x and y axes."""
    signs = np.ones(len(affine))
    signs[:2] = -1
    return signs[:, None] * affine


def places(path: Path, moving: Placement, fixed: Placement, grid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return affines of the fixed and the moving image in ITK's coordinates, ``(physical + 1, dims + 1)`` each.

    Args:
        path: file of the field, for messages.
        moving, fixed: placements of the images.
        grid: affine of the field's file; used for pictures, which have no affine.
    """
    if (moving.affine is None) != (fixed.affine is None):
        msg = f"{path}: only one image of its pair is NIfTI, so their relative location is unknown; convert one"
        raise DatasetError(msg)
    if moving.affine is None or fixed.affine is None:
        place = np.eye(fixed.dims + 1) if grid is None else grid
        sizes = np.diag(place)[:-1]
        if place.shape != (fixed.dims + 1, fixed.dims + 1) or not (
            (sizes > 0).all() and np.allclose(place[:-1, :-1], np.diag(sizes), atol=1e-4 * sizes.max())
        ):
            msg = f"{path}: its axes are not those of a picture in ITK, column and row, in this order and direction; "
            raise DatasetError(msg + "save it with the direction that ITK reads from the picture")
        order = [*range(fixed.dims)[::-1], fixed.dims]
        return place[:, order], place[:, order]
    both = left_posterior(fixed.affine), left_posterior(moving.affine)
    if both[0].shape != both[1].shape or any(np.linalg.matrix_rank(one[:-1, :-1]) < fixed.dims for one in both):
        msg = f"{path}: ITK reads an image of its pair as 2D and drops an axis along which the image extends; "
        raise DatasetError(msg + "save the images as volumes of one slice, or use another convention")
    return both


def _to_prepared(
    path: Path, grid: np.ndarray, shape: tuple[int, ...], fixed: np.ndarray, wanted: tuple[int, ...]
) -> np.ndarray:
    """Find the signed permutation from voxels of a file to those of the fixed image's prepared grid.

    Raises:
        DatasetError: if the grids do not match.
    """
    dims = len(shape)
    linear = np.rint(np.linalg.pinv(fixed[:-1, :-1]) @ grid[:-1, :-1])
    matrix = np.eye(dims + 1)
    matrix[:-1, :-1] = linear
    matrix[:-1, -1] = [size - 1 if row.min() < 0 else 0 for size, row in zip(wanted, linear, strict=True)]
    one_each = (np.abs(linear).sum(0) == 1).all() and (np.abs(linear).sum(1) == 1).all()
    apart = np.inf
    if one_each and tuple(shape[int(np.argmax(np.abs(row)))] for row in linear) == wanted:
        corners = np.stack(np.meshgrid(*[[0, size - 1] for size in shape], indexing="ij"), -1).reshape(-1, dims)
        difference = applied(grid, corners) - applied(fixed, applied(matrix, corners))
        apart = float(np.linalg.norm(difference, axis=1).max())
    if apart > AGREE * np.linalg.norm(fixed[:-1, :-1], axis=0).min():
        far = "" if np.isinf(apart) else f", up to {apart:.3g} mm away"
        msg = f"{path}: its header places its {shape} voxels elsewhere than the {wanted} of its fixed image{far}; "
        raise DatasetError(msg + "resample the field to the image's grid")
    return matrix


def _from_physical(path: Path, field: np.ndarray, moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Convert ``(*spatial, physical)`` in millimetres to ``(*spatial, dims)``, float32, in voxels."""
    x = points(field.shape[:-1])
    # relative to the moving image's first voxel
    there = field + applied(fixed, x) - moving[:-1, -1]
    linear = moving[:-1, :-1]
    found = there @ np.linalg.pinv(linear).T
    astray = float(np.abs(there - found @ linear.T).max())
    if astray > OUT_OF_PLANE * np.linalg.norm(linear, axis=0).min():
        msg = f"{path}: points up to {astray:.3g} mm out of the plane of its moving image's slice; "
        raise DatasetError(msg + "keep displacements in the plane")
    return (found - x).astype(np.float32)
