"""ITK's displacements: millimetres, x to the left, y posterior, z superior, on the grid of the fixed image.

NIfTI of five axes, ``(x, y, z, 1, components)``, intent 1007, or ``.mha`` and ``.nrrd``, which SimpleITK reads. A file
may store its axes in any order and direction: where its voxels lie is what counts. Both images may lie apart:
``p_moving = A_fixed x + d``. An image of two axes has two components; a volume of one slice, which is 2D here, is a
volume to ITK and has three. A picture lies nowhere; ITK takes column and row for x and y, in pixels unless told
otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from likeness.imageio.formats import DEFLATED, VECTOR, Stored, opened
from likeness.imageio.placement import Placement, applied, in_millimetres, points, turn
from likeness.imageio.stored import finite
from likeness.userinput.errors import DatasetError

APART = 0.1
"""Largest distance, in voxels, between the grid of a field and that of its fixed image."""
OUT_OF_PLANE = 0.5
"""Largest distance, in voxels, that a field may point out of the moving image's slice."""
_VECTORS = {"vector of 32-bit float": np.float32, "vector of 64-bit float": np.float64}
"""What SimpleITK calls the vectors that are read."""
ORTHOGONAL = 1e-4
"""Cosine between two axes that still passes for 0."""


def read(path: Path, moving: Placement, fixed: Placement) -> np.ndarray:
    """Read a field.

    Returns:
        ``(*spatial, dims)`` float32, voxels of the prepared grids.

    Raises:
        DatasetError: if the file is unreadable, not of this convention, on another grid than the fixed image's, not
            finite, or points out of the plane of a slice.
    """
    physical = fixed.dims if fixed.affine is None else len(fixed.affine) - 1
    with opened(path, opener=_vectors if path.suffix in (".mha", ".nrrd") else None) as file:
        if len(file.shape) != 5 or file.shape[3] != 1 or file.intent != VECTOR or file.dtype.kind != "f":
            msg = (
                f"{path}: has {file.dtype} of shape {file.shape} and intent {file.intent}, but ITK's displacements are "
            )
            raise DatasetError(msg + f"floats of shape (x, y, z, 1, components) and intent {VECTOR}; save it so")
        if file.shape[4] != physical:
            msg = f"{path}: has vectors of {file.shape[4]} components, but its fixed image has {physical} axes to ITK; "
            raise DatasetError(msg + "save one component for each")
        assert file.affine is not None
        kept = [i for i, size in enumerate(file.shape[:3]) if size > 1]
        if len(kept) != fixed.dims:
            msg = f"{path}: is a field of {file.shape[:3]} voxels, but its fixed image has {fixed.shape}; resample it"
            raise DatasetError(msg)
        grid = _left_posterior(in_millimetres(file.affine, file.unit))[np.ix_([*range(physical), 3], [*kept, 3])]
        of_fixed, of_moving = _places(path, moving, fixed, grid)
        matrix = _to_prepared(path, grid, tuple(file.shape[i] for i in kept), of_fixed, fixed.shape)
        file.check_size(path, parts=physical)
        values = finite(path, file.values()).reshape(*(file.shape[i] for i in kept), physical)
    return _from_physical(path, turn(values, matrix), of_moving, of_fixed)


def suffix(fixed: Placement) -> str:
    """Choose how a field is written: one slice of a volume in a format whose reader keeps its third axis."""
    return ".mha" if fixed.affine is not None and fixed.affine.shape[0] > fixed.affine.shape[1] else ".nii.gz"


def write(path: Path, field: np.ndarray, moving: Placement, fixed: Placement) -> None:
    """Write a field that :func:`read` reads; the suffix is that of :func:`suffix`.

    Raises:
        DatasetError: if ITK cannot have such a grid, because its axes are not orthogonal.
    """
    of_fixed, of_moving = _places(path, moving, fixed, None)
    x = points(fixed.shape)
    physical = (applied(of_moving, x + field) - applied(of_fixed, x)).astype(np.float32)
    linear = of_fixed[:-1, :-1]
    sizes = np.linalg.norm(linear, axis=0)
    angles = (linear / sizes).T @ (linear / sizes) - np.eye(fixed.dims)
    if not np.abs(angles).max() < ORTHOGONAL:
        msg = f"{path}: the axes of the fixed image are not orthogonal, and ITK knows no others; "
        raise DatasetError(msg + "resample the images to a grid without shear, or take another convention")
    if fixed.affine is None:
        # its axes come last to first
        physical, linear = np.swapaxes(physical, 0, fixed.dims - 1), linear[:, ::-1]
    if path.name.endswith(".mha"):
        _write_slice(path, physical, linear, of_fixed[:-1, -1])
    else:
        _write_nifti(path, physical, linear, of_fixed[:-1, -1])


@contextmanager
def _vectors(path: Path) -> Iterator[Stored]:
    """Open an image of vectors that ITK alone reads, and show it as NIfTI would."""
    try:
        import SimpleITK as sitk
    except ImportError:
        msg = f"{path}: only SimpleITK reads such a file, and it is not installed; install it, or save the field as "
        raise DatasetError(msg + ".nii.gz") from None
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    dims, parts = reader.GetDimension(), reader.GetNumberOfComponents()
    shape = (*reader.GetSize(), 1)[:3]
    dtype = _VECTORS.get(sitk.GetPixelIDValueAsString(reader.GetPixelID()))
    if dims not in (2, 3) or dtype is None:
        msg = f"{path}: holds {sitk.GetPixelIDValueAsString(reader.GetPixelID())} in {dims}D; "
        raise DatasetError(msg + "save a displacement, vectors of floats in 2D or 3D")
    affine = np.eye(4)
    affine[:dims, :dims] = np.reshape(reader.GetDirection(), (dims, dims)) * np.array(reader.GetSpacing())
    affine[:dims, 3] = reader.GetOrigin()
    affine[:2] *= -1  # ITK has x to the left, y posterior

    def values() -> np.ndarray:
        # the last axis comes first
        array = np.moveaxis(sitk.GetArrayFromImage(reader.Execute()), -1, 0)
        return array.T.reshape(*shape, 1, parts)

    capacity = DEFLATED * path.stat().st_size
    yield Stored((*shape, 1, parts), np.dtype(dtype), capacity, values, affine, "mm", VECTOR)


def _write_nifti(path: Path, field: np.ndarray, linear: np.ndarray, origin: np.ndarray) -> None:
    import nibabel as nib

    dims = linear.shape[1]
    affine = np.eye(4)
    affine[:dims, :dims], affine[:dims, 3] = linear, origin
    image = nib.Nifti1Image(field.reshape(*(*field.shape[:-1], 1)[:3], 1, dims), _left_posterior(affine))
    image.header.set_intent(VECTOR)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def _write_slice(path: Path, field: np.ndarray, linear: np.ndarray, origin: np.ndarray) -> None:
    import SimpleITK as sitk

    sizes = np.linalg.norm(linear, axis=0)
    across = linear / sizes
    image = sitk.GetImageFromArray(np.swapaxes(field, 0, 1)[None], isVector=True)
    image.SetOrigin(origin.tolist())
    image.SetSpacing([*sizes.tolist(), 1.0])
    image.SetDirection(np.column_stack([across, np.cross(*across.T)]).flatten().tolist())
    sitk.WriteImage(image, str(path), useCompression=True)


def _left_posterior(affine: np.ndarray) -> np.ndarray:
    """Turn the x and y of the world round."""
    signs = np.ones(len(affine))
    signs[:2] = -1
    return signs[:, None] * affine


def _places(path: Path, moving: Placement, fixed: Placement, grid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Give where the voxels of the fixed and of the moving image are to ITK, ``(physical + 1, dims + 1)`` each.

    Args:
        path: of the field, for messages.
        moving, fixed: the images.
        grid: where the voxels of the field's file are; for pictures, which have a place only there.
    """
    if (moving.affine is None) != (fixed.affine is None):
        msg = (
            f"{path}: only one image of its pair is NIfTI, so that nobody knows how they lie to each other; convert one"
        )
        raise DatasetError(msg)
    if moving.affine is None or fixed.affine is None:
        place = np.eye(fixed.dims + 1) if grid is None else grid
        sizes = np.diag(place)[:-1]
        if place.shape != (fixed.dims + 1, fixed.dims + 1) or not (
            (sizes > 0).all() and np.allclose(place[:-1, :-1], np.diag(sizes), atol=1e-4 * sizes.max())
        ):
            msg = f"{path}: its axes are not those of a picture to ITK, column and row, in this order and direction; "
            raise DatasetError(msg + "save it with the direction that ITK reads of the picture")
        order = [*range(fixed.dims)[::-1], fixed.dims]
        return place[:, order], place[:, order]
    both = _left_posterior(fixed.affine), _left_posterior(moving.affine)
    if both[0].shape != both[1].shape or any(np.linalg.matrix_rank(one[:-1, :-1]) < fixed.dims for one in both):
        msg = f"{path}: an image of its pair is flat to ITK, which drops an axis that the image extends along; "
        raise DatasetError(msg + "save the images as volumes of one slice, or take another convention")
    return both


def _to_prepared(
    path: Path, grid: np.ndarray, shape: tuple[int, ...], fixed: np.ndarray, wanted: tuple[int, ...]
) -> np.ndarray:
    """Find the signed permutation from voxels of a file to those of the fixed image's prepared grid.

    Raises:
        DatasetError: if the file's voxels are not the image's.
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
    if apart > APART * np.linalg.norm(fixed[:-1, :-1], axis=0).min():
        far = "" if np.isinf(apart) else f", up to {apart:.3g} mm away"
        msg = f"{path}: its header puts its {shape} voxels elsewhere than the {wanted} of its fixed image{far}; "
        raise DatasetError(msg + "resample the field to the image's grid")
    return matrix


def _from_physical(path: Path, field: np.ndarray, moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Turn ``(*spatial, physical)``, millimetres, into ``(*spatial, dims)`` float32, voxels."""
    x = points(field.shape[:-1])
    # with the place of the moving image's first voxel as the origin
    there = field + applied(fixed, x) - moving[:-1, -1]
    linear = moving[:-1, :-1]
    found = there @ np.linalg.pinv(linear).T
    astray = float(np.abs(there - found @ linear.T).max())
    if astray > OUT_OF_PLANE * np.linalg.norm(linear, axis=0).min():
        msg = f"{path}: points up to {astray:.3g} mm out of the slice that its moving image is; "
        raise DatasetError(msg + "keep displacements in the plane")
    return (found - x).astype(np.float32)
