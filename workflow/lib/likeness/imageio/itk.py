"""ITK's convention: displacements in millimetres, x to the left, y posterior, z superior, on the fixed image's grid.

NIfTI with five axes, ``(x, y, z, 1, components)``, and intent 1007, or ``.mha`` and ``.nrrd``, read by SimpleITK. The
order and direction of a file's axes are arbitrary; only the location of the voxels matters. The two images can be far
apart: ``p_moving = A_fixed x + d``. A 2D image has two components. A volume of one slice, which is 2D here, is a volume
in ITK and has three. Pictures have no location; ITK uses column and row as x and y, in pixels by default.
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
"""Maximum distance, in voxels, between the voxels of a field and of its fixed image."""
OUT_OF_PLANE = 0.5
"""Maximum component of a field perpendicular to the moving image's slice, in voxels."""
_VECTORS = {"vector of 32-bit float": np.float32, "vector of 64-bit float": np.float64}
"""SimpleITK's names of supported vector types."""
ORTHOGONAL = 1e-4
"""Maximum cosine between two axes that counts as 0."""


def read(path: Path, moving: Placement, fixed: Placement) -> np.ndarray:
    """Read a field.

    Returns:
        ``(*spatial, dims)``, float32, in voxels of the prepared grids.

    Raises:
        DatasetError: if the file is unreadable, not in this convention, on another grid than the fixed image's, not
            finite, or points out of the plane of a slice.
    """
    physical = fixed.dims if fixed.affine is None else len(fixed.affine) - 1
    with opened(path, opener=_vectors if path.suffix in (".mha", ".nrrd") else None) as file:
        if len(file.shape) != 5 or file.shape[3] != 1 or file.intent != VECTOR or file.dtype.kind != "f":
            msg = f"{path}: has {file.dtype} of shape {file.shape} and intent {file.intent}, but ITK expects "
            raise DatasetError(msg + f"floats of shape (x, y, z, 1, components) and intent {VECTOR}; save it like that")
        if file.shape[4] != physical:
            msg = f"{path}: has vectors of {file.shape[4]} components, but its fixed image has {physical} axes in ITK; "
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
    """Return the suffix for writing a field; for a slice of a volume, a format whose reader keeps the third axis."""
    return ".mha" if fixed.affine is not None and fixed.affine.shape[0] > fixed.affine.shape[1] else ".nii.gz"


def write(path: Path, field: np.ndarray, moving: Placement, fixed: Placement) -> None:
    """Write a field; the suffix must be that of :func:`suffix`.

    Raises:
        DatasetError: if the axes of the grid are not orthogonal, which ITK does not support.
    """
    of_fixed, of_moving = _places(path, moving, fixed, None)
    x = points(fixed.shape)
    physical = (applied(of_moving, x + field) - applied(of_fixed, x)).astype(np.float32)
    linear = of_fixed[:-1, :-1]
    sizes = np.linalg.norm(linear, axis=0)
    angles = (linear / sizes).T @ (linear / sizes) - np.eye(fixed.dims)
    if not np.abs(angles).max() < ORTHOGONAL:
        msg = f"{path}: the axes of the fixed image are not orthogonal, which ITK does not support; "
        raise DatasetError(msg + "resample the images to a grid without shear, or use another convention")
    if fixed.affine is None:
        # ITK has the axes in reverse order
        physical, linear = np.swapaxes(physical, 0, fixed.dims - 1), linear[:, ::-1]
    if path.name.endswith(".mha"):
        _write_slice(path, physical, linear, of_fixed[:-1, -1])
    else:
        _write_nifti(path, physical, linear, of_fixed[:-1, -1])


@contextmanager
def _vectors(path: Path) -> Iterator[Stored]:
    """Open a vector image that only ITK can read, in the form of a NIfTI file."""
    try:
        import SimpleITK as sitk
    except ImportError:
        msg = f"{path}: needs SimpleITK to be read, which is not installed; install it, or save the field as "
        raise DatasetError(msg + ".nii.gz") from None
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    dims, parts = reader.GetDimension(), reader.GetNumberOfComponents()
    shape = (*reader.GetSize(), 1)[:3]
    dtype = _VECTORS.get(sitk.GetPixelIDValueAsString(reader.GetPixelID()))
    if dims not in (2, 3) or dtype is None:
        msg = f"{path}: contains {sitk.GetPixelIDValueAsString(reader.GetPixelID())} in {dims}D; "
        raise DatasetError(msg + "save a displacement, vectors of floats in 2D or 3D")
    affine = np.eye(4)
    affine[:dims, :dims] = np.reshape(reader.GetDirection(), (dims, dims)) * np.array(reader.GetSpacing())
    affine[:dims, 3] = reader.GetOrigin()
    affine[:2] *= -1  # ITK has x to the left, y posterior

    def values() -> np.ndarray:
        # in the array, the axes are in reverse order
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
    """Reverse the world's x and y axes."""
    signs = np.ones(len(affine))
    signs[:2] = -1
    return signs[:, None] * affine


def _places(path: Path, moving: Placement, fixed: Placement, grid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
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
    both = _left_posterior(fixed.affine), _left_posterior(moving.affine)
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
    if apart > APART * np.linalg.norm(fixed[:-1, :-1], axis=0).min():
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
