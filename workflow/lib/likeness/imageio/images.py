"""Read arrays from PNG, TIFF and NIfTI in a common orientation.

Pictures keep the order of their file: row, column (TIFF stack: slice, row, column). NIfTI volumes are reoriented to the
closest canonical orientation, x to the right, y anterior, z superior, together with displacements and points on their
grid. Heavy libraries are imported on demand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from likeness.imageio import millimetres
from likeness.imageio.formats import AGREE, VECTOR, Contradiction, Stored, opened
from likeness.imageio.placement import METRES, Placement, furthest, in_millimetres, reorder
from likeness.userinput.errors import DatasetError, plain


@dataclass(frozen=True)
class Grid:
    """Orientation of the voxels of a file; entries per axis, without singleton axes that the dataset does not have.

    ``axes[i]`` is the new position of stored axis ``i``, ``flips[i]`` whether it is reversed.
    """

    shape: tuple[int, ...]
    """Shape as stored."""
    axes: tuple[int, ...]
    flips: tuple[bool, ...]
    spacing: tuple[float, ...] | None = None
    """Voxel size in the new order from the file's header; ``None`` for formats without."""
    unit: str = "unknown"
    """Unit of the spacing from the header."""
    affine: np.ndarray | None = None
    """Affine of the reoriented volume, ``(4, 4)``, for all axes."""
    placed: np.ndarray | None = None
    """See :attr:`Placement.affine`."""
    contradiction: Contradiction | None = None
    """Between the two affines of a NIfTI header."""

    @property
    def placement(self) -> Placement:
        """Location of the reoriented voxels in space and in the file."""
        dims = len(self.axes)
        stored = np.zeros((dims + 1, dims + 1))
        stored[dims, dims] = 1
        for i, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            stored[axis, i] = -1 if flip else 1
            stored[axis, dims] = self.shape[i] - 1 if flip else 0
        return Placement(tuple(self.shape[i] for i in np.argsort(self.axes)), stored, self.placed)

    def turn(self, array: np.ndarray) -> np.ndarray:
        """Reorient ``(*stored, …)`` to ``(*spatial, …)``; further axes stay last."""
        return reorder(array, self.axes, self.flips)

    def turn_field(self, field: np.ndarray) -> np.ndarray:
        """Reorient a displacement ``(*stored, dims)`` in voxels of the stored grid, including its components."""
        signs = np.where(self.flips, -1, 1)
        return self.turn(field * signs)[..., np.argsort(self.axes)]

    def turn_points(self, points: np.ndarray) -> np.ndarray:
        """Reorient points ``(points, dims)`` in voxels of the stored grid."""
        last = np.array(self.shape) - 1
        return np.where(self.flips, last - points, points)[:, np.argsort(self.axes)]

    def spacing_in(self, unit: str) -> tuple[float, ...] | None:
        """Convert the spacing to another unit; unchanged if either unit is not a known unit of length."""
        if self.spacing is None or self.unit not in METRES or unit not in METRES:
            return self.spacing
        return tuple(s * METRES[self.unit] / METRES[unit] for s in self.spacing)


def read(path: Path, dims: int, *, palette: bool = False) -> tuple[np.ndarray, Grid]:
    """Read a grey-scale image or a label map.

    Args:
        path: PNG, TIFF or NIfTI file.
        dims: number of spatial axes; a volume with one singleton axis is read as 2D.
        palette: whether the values are numbers, as of a label map, which PNG or TIFF may show as palette colours.

    Returns:
        The reoriented array, in the type of the file, and its grid.

    Raises:
        DatasetError: if the file is unreadable, truncated, in another format than its suffix, coloured, too large,
            or has another number of axes.
    """
    with opened(path, palette) as stored:
        if stored.dtype.kind not in "buif":
            msg = f"{path}: has values of type {plain(stored.dtype)} (colour or complex); save one grey value per voxel"
            raise DatasetError(msg)
        grid = _grid(path, stored, dims)
        stored.check_size(path)
        return grid.turn(stored.values().reshape(grid.shape)), grid


def read_grid(path: Path, dims: int) -> Grid:
    """Read the grid of an image from its header alone, see :func:`read`."""
    with opened(path) as stored:
        return _grid(path, stored, dims)


def read_field(path: Path, image: Grid, space: Placement | None = None) -> np.ndarray:
    """Read a true displacement and reorient it like its image.

    Args:
        path: ``.npz`` with ``displacement``, ``(*stored, dims)``, in voxels of the image's stored grid; NIfTI of the
            same shape, whose own orientation is then used; or NIfTI of five axes in ITK's convention (:mod:`.itk`), in
            millimetres.
        image: grid of the image that the displacement belongs to.
        space: voxels that locate the space into which a displacement in millimetres points; those of the image by
            default.

    Returns:
        ``(*spatial, dims)``, float32, in voxels.

    Raises:
        DatasetError: if the file is unreadable, has another shape, says nothing of its unit, or is not finite.
    """
    dims = len(image.axes)
    grid = image
    with opened(path, palette=False) as file:
        if len(file.shape) == 5:
            return millimetres.read(path, space or image.placement, image.placement)
        if file.intent:
            msg = (
                f"{path}: has {len(file.shape)} axes and intent {file.intent}, so the unit of its vectors is unknown; "
            )
            raise DatasetError(msg + "save voxels without an intent, or millimetres as ITK does, with five axes")
        if file.affine is not None:
            spatial = file.shape[: dims if len(file.shape) == dims + 1 else 3]
            grid = _grid(path, replace(file, shape=spatial), dims)
            check_same_place(path, grid, image)
        fits = math.prod(file.shape) == math.prod(grid.shape) * dims and file.shape[-1] == dims
        if not fits or file.dtype.kind not in "iuf":
            msg = f"{path}: has the shape {file.shape}, but a displacement of its image has {(*grid.shape, dims)}"
            raise DatasetError(msg)
        file.check_size(path, parts=dims)
        values = file.values()
    field = grid.turn_field(values.reshape(*grid.shape, dims).astype(np.float32))
    if not np.isfinite(field).all():
        msg = f"{path}: the displacement has non-finite values; fill them"
        raise DatasetError(msg)
    return np.ascontiguousarray(field, dtype=np.float32)


def check_same_place(path: Path, grid: Grid, image: Grid) -> None:
    """Check that the header of a map places its voxels where those of its image are.

    Raises:
        DatasetError: if only one of the files has an affine, or they differ by more than a tenth of a voxel.
    """
    if (grid.affine is None) != (image.affine is None):
        msg = f"{path}: only one of this file and its image is NIfTI, so their axes cannot be matched; convert one"
        raise DatasetError(msg)
    if grid.affine is None or image.affine is None or image.spacing is None:
        return
    apart = furthest(grid.affine - image.affine, [max(image.shape)] * 3)
    if apart > AGREE * min(image.spacing):
        msg = f"{path}: its header places it up to {apart:.3g} away from its image; save it with the image's affine"
        raise DatasetError(msg)


def _grid(path: Path, file: Stored, dims: int) -> Grid:
    stored, affine = file.shape, file.affine
    while len(stored) > 3 and stored[-1] == 1:
        stored = stored[:-1]
    kept = [i for i, n in enumerate(stored) if n > 1]
    if len(stored) == dims:
        kept = list(range(dims))
    if len(kept) != dims or len(stored) > max(dims, 3) or (dims == 3 and min(stored) == 1):
        _refuse_shape(path, file, stored, dims)
    shape = tuple(stored[i] for i in kept)
    if affine is None:
        return Grid(shape, tuple(range(dims)), (False,) * dims)
    import nibabel as nib

    ornt = nib.io_orientation(affine)
    turned = affine @ nib.orientations.inv_ornt_aff(ornt, (*stored, 1, 1)[:3])
    targets = [int(ornt[i, 0]) for i in kept]
    sizes = nib.affines.voxel_sizes(turned)
    # a 2D file has a 2D affine
    rows, columns = [*range(len(stored)), 3], [*sorted(targets), 3]
    placed = in_millimetres(turned, file.unit)[np.ix_(rows, columns)]
    return Grid(
        shape,
        axes=tuple(sorted(targets).index(t) for t in targets),
        flips=tuple(bool(ornt[i, 1] < 0) for i in kept),
        spacing=tuple(float(sizes[t]) for t in sorted(targets)),
        unit=file.unit,
        affine=turned,
        placed=placed,
        contradiction=file.contradiction,
    )


def _refuse_shape(path: Path, file: Stored, stored: tuple[int, ...], dims: int) -> NoReturn:
    """Refuse a file whose axes are not those of the dataset's images."""
    msg = f"{path}: has the shape {stored}"
    if len(stored) > 3:
        msg += f" (vectors of {stored[-1]} parts)" if file.intent == VECTOR else f" ({math.prod(stored[3:])} volumes)"
    elif dims == 2 and len(stored) == 3:
        msg += f" ({stored[0] if file.affine is None else stored[-1]} {file.layers})"
    msg += f", but dataset.yaml has 'spatial_dims: {dims}'; "
    raise DatasetError(msg + "save one single-channel image per file, or correct spatial_dims")
