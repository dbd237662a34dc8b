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

from likeness.imageio import millimetres
from likeness.imageio.formats import DEFLATED, VECTOR, Stored
from likeness.imageio.placement import Placement, applied, points
from likeness.userinput.errors import DatasetError

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
    return millimetres.read(path, moving, fixed, _vectors if path.suffix in (".mha", ".nrrd") else None)


def suffix(fixed: Placement) -> str:
    """Return the suffix for writing a field; for a slice of a volume, a format whose reader keeps the third axis."""
    return ".mha" if fixed.affine is not None and fixed.affine.shape[0] > fixed.affine.shape[1] else ".nii.gz"


def write(path: Path, field: np.ndarray, moving: Placement, fixed: Placement) -> None:
    """Write a field; the suffix must be that of :func:`suffix`.

    Raises:
        DatasetError: if the axes of the grid are not orthogonal, which ITK does not support.
    """
    of_fixed, of_moving = millimetres.places(path, moving, fixed, None)
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
    image = nib.Nifti1Image(field.reshape(*(*field.shape[:-1], 1)[:3], 1, dims), millimetres.left_posterior(affine))
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
