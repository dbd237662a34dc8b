"""Reading arrays from PNG, TIFF and NIfTI into one orientation.

Pictures keep the order of their file: row, column (a TIFF stack: slice, row, column). NIfTI volumes are turned to the
closest canonical orientation, x to the right, y anterior, z superior; a displacement or points on a volume's grid are
turned with it. Heavy libraries are imported where they are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likeness.imageio.formats import opened
from likeness.imageio.placement import METRES, Placement, in_millimetres, reorder
from likeness.userinput.errors import DatasetError, plain


@dataclass(frozen=True)
class Grid:
    """How the voxels of a file lie; all per axis, axes of one voxel that the dataset does not have left out.

    ``axes[i]`` is the axis that stored axis ``i`` becomes, ``flips[i]`` whether it is turned round on the way.
    """

    shape: tuple[int, ...]
    """As stored."""
    axes: tuple[int, ...]
    flips: tuple[bool, ...]
    spacing: tuple[float, ...] | None = None
    """In the new order, as the file's header says; ``None`` where a format has none."""
    unit: str = "unknown"
    """Unit of the spacing, as the header says."""
    affine: np.ndarray | None = None
    """Of the turned volume, ``(4, 4)``, all axes."""
    placed: np.ndarray | None = None
    """See :attr:`Placement.affine`."""

    @property
    def placement(self) -> Placement:
        """Where the turned voxels lie, and where they were stored."""
        dims = len(self.axes)
        stored = np.zeros((dims + 1, dims + 1))
        stored[dims, dims] = 1
        for i, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            stored[axis, i] = -1 if flip else 1
            stored[axis, dims] = self.shape[i] - 1 if flip else 0
        return Placement(tuple(self.shape[i] for i in np.argsort(self.axes)), stored, self.placed)

    def turn(self, array: np.ndarray) -> np.ndarray:
        """Turn ``(*stored, …)`` into ``(*spatial, …)``; further axes stay behind."""
        return reorder(array, self.axes, self.flips)

    def turn_field(self, field: np.ndarray) -> np.ndarray:
        """Turn a displacement ``(*stored, dims)`` in voxels of the stored grid, components included."""
        signs = np.where(self.flips, -1, 1)
        return self.turn(field * signs)[..., np.argsort(self.axes)]

    def turn_points(self, points: np.ndarray) -> np.ndarray:
        """Turn points ``(points, dims)`` in voxels of the stored grid."""
        last = np.array(self.shape) - 1
        return np.where(self.flips, last - points, points)[:, np.argsort(self.axes)]

    def spacing_in(self, unit: str) -> tuple[float, ...] | None:
        """Give the spacing in another unit, unchanged where either unit says nothing about length."""
        if self.spacing is None or self.unit not in METRES or unit not in METRES:
            return self.spacing
        return tuple(s * METRES[self.unit] / METRES[unit] for s in self.spacing)


def read(path: Path, dims: int, *, palette: bool = False) -> tuple[np.ndarray, Grid]:
    """Read a grey image or a map of numbers.

    Args:
        path: PNG, TIFF or NIfTI.
        dims: the number of spatial axes; a volume with one axis of a single voxel is read as 2D.
        palette: whether a PNG or TIFF may store numbers as palette colours, as drawn label maps do.

    Returns:
        The array, turned, in the type of the file, and its grid.

    Raises:
        DatasetError: if the file is unreadable, truncated, of another format than its name says, coloured, too large,
            or has another number of axes.
    """
    with opened(path, palette) as stored:
        if stored.dtype.kind not in "buif":
            msg = f"{path}: has values of type {plain(stored.dtype)} (colour or complex); save one grey value a voxel"
            raise DatasetError(msg)
        grid = _grid(path, stored.shape, dims, stored.affine, stored.unit)
        stored.check_size(path)
        return grid.turn(stored.values().reshape(grid.shape)), grid


def read_field(path: Path, image: Grid) -> np.ndarray:
    """Read a true displacement, in voxels of its image's stored grid, and turn it like the image.

    Args:
        path: ``.npz`` with ``displacement``, ``(*stored, dims)``, or NIfTI, whose own orientation then counts.
        image: the grid of the image that the displacement belongs to.

    Returns:
        ``(*spatial, dims)`` float32.

    Raises:
        DatasetError: if the file is unreadable or of another shape.
    """
    dims = len(image.axes)
    grid = image
    with opened(path, palette=False) as file:
        if file.affine is not None:
            grid = _grid(path, file.shape[: dims if len(file.shape) == dims + 1 else 3], dims, file.affine, file.unit)
            check_same_place(path, grid, image)
        fits = math.prod(file.shape) == math.prod(grid.shape) * dims and file.shape[-1] == dims
        if not fits or file.dtype.kind not in "iuf":
            msg = f"{path}: has the shape {file.shape}; a displacement of its image has {(*grid.shape, dims)}"
            raise DatasetError(msg)
        file.check_size(path, parts=dims)
        values = file.values()
    field = grid.turn_field(values.reshape(*grid.shape, dims).astype(np.float32))
    if not np.isfinite(field).all():
        msg = f"{path}: the displacement has values that are not finite; fill them"
        raise DatasetError(msg)
    return np.ascontiguousarray(field, dtype=np.float32)


def check_same_place(path: Path, grid: Grid, image: Grid) -> None:
    """Refuse a map whose header puts its voxels elsewhere than those of its image.

    Raises:
        DatasetError: if only one of both files says where it lies, or if they disagree by more than a tenth of a voxel.
    """
    if (grid.affine is None) != (image.affine is None):
        msg = f"{path}: only one of this file and its image is NIfTI, so that their axes cannot be matched; convert one"
        raise DatasetError(msg)
    if grid.affine is None or image.affine is None or image.spacing is None:
        return
    reach = max(image.shape) - 1
    corners = np.array(np.meshgrid(*[[0, reach]] * 3)).reshape(3, -1)
    difference = grid.affine - image.affine
    apart = np.linalg.norm(difference[:3, :3] @ corners + difference[:3, 3:], axis=0).max()
    if apart > 0.1 * min(image.spacing):
        msg = f"{path}: its header puts it up to {apart:.3g} away from its image; save it with the image's affine"
        raise DatasetError(msg)


def _grid(path: Path, stored: tuple[int, ...], dims: int, affine: np.ndarray | None, unit: str) -> Grid:
    kept = [i for i, n in enumerate(stored) if n > 1]
    if len(stored) == dims:
        kept = list(range(dims))
    if len(kept) != dims or (len(stored) > dims and len(stored) != 3) or (dims == 3 and min(stored) == 1):
        msg = f"{path}: has the shape {stored}, but dataset.yaml says 'spatial_dims: {dims}'; "
        raise DatasetError(msg + "save one image of one channel a file, or correct spatial_dims")
    shape = tuple(stored[i] for i in kept)
    if affine is None:
        return Grid(shape, tuple(range(dims)), (False,) * dims)
    import nibabel as nib

    ornt = nib.io_orientation(affine)
    turned = affine @ nib.orientations.inv_ornt_aff(ornt, (*stored, 1, 1)[:3])
    targets = [int(ornt[i, 0]) for i in kept]
    sizes = nib.affines.voxel_sizes(turned)
    # a file of two axes has a place in a plane
    rows, columns = [*range(len(stored)), 3], [*sorted(targets), 3]
    placed = in_millimetres(turned, unit)[np.ix_(rows, columns)]
    return Grid(
        shape,
        axes=tuple(sorted(targets).index(t) for t in targets),
        flips=tuple(bool(ornt[i, 1] < 0) for i in kept),
        spacing=tuple(float(sizes[t]) for t in sorted(targets)),
        unit=unit,
        affine=turned,
        placed=placed,
    )
