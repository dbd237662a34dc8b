"""Reading arrays from PNG, TIFF and NIfTI into one orientation.

Pictures keep the order of their file: row, column (a TIFF stack: slice, row, column). NIfTI volumes are turned to the
closest canonical orientation, x to the right, y anterior, z superior; a displacement or points on a volume's grid are
turned with it. Heavy libraries are imported where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from likeness.data.layout import DatasetError

_METRES = {"m": 1.0, "meter": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "micron": 1e-6, "nm": 1e-9}


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

    def turn(self, array: np.ndarray) -> np.ndarray:
        """Turn ``(*stored, …)`` into ``(*spatial, …)``; further axes stay behind."""
        dims = len(self.axes)
        turned = np.flip(array, tuple(i for i, flip in enumerate(self.flips) if flip))
        return np.transpose(turned, (*np.argsort(self.axes), *range(dims, array.ndim)))

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
        if self.spacing is None or self.unit not in _METRES or unit not in _METRES:
            return self.spacing
        return tuple(s * _METRES[self.unit] / _METRES[unit] for s in self.spacing)


def read(path: Path, dims: int, *, palette: bool = False) -> tuple[np.ndarray, Grid]:
    """Read a grey image or a map of numbers.

    Args:
        path: PNG, TIFF or NIfTI.
        dims: the number of spatial axes; a volume with one axis of a single voxel is read as 2D.
        palette: whether a PNG may store numbers as palette colours, as drawn label maps do.

    Returns:
        The array, turned, in the type of the file, and its grid.

    Raises:
        DatasetError: if the file is unreadable, truncated, coloured, or has another number of axes.
    """
    stored, affine, unit = _load(path, palette)
    if stored.dtype.kind not in "buif":
        msg = f"{path}: has values of type {stored.dtype} (colour or complex); save one grey value a voxel"
        raise DatasetError(msg)
    grid = _grid(path, stored.shape, dims, affine, unit)
    return grid.turn(stored.reshape(grid.shape)), grid


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
    if path.suffix == ".npz":
        stored = _read_npz(path)
    else:
        stored, affine, unit = _load(path, palette=False)
        grid = _grid(path, stored.shape[: dims if stored.ndim == dims + 1 else 3], dims, affine, unit)
        check_same_place(path, grid, image)
    if stored.size != np.prod(grid.shape) * dims or stored.shape[-1] != dims or stored.dtype.kind not in "iuf":
        msg = f"{path}: has the shape {stored.shape}; a displacement of its image has {(*grid.shape, dims)}"
        raise DatasetError(msg)
    field = grid.turn_field(stored.reshape(*grid.shape, dims).astype(np.float32))
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


def _load(path: Path, palette: bool) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Give the stored array, and of NIfTI the affine and its unit."""
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            return _load_nifti(path)
        array = _load_png(path, palette) if name.endswith(".png") else _load_tiff(path)
    except DatasetError:
        raise
    except Exception as error:  # the three readers raise whatever their decoders do
        msg = f"{path}: cannot be read ({type(error).__name__}: {error}); it may be truncated, write it again"
        raise DatasetError(msg) from None
    return array, None, "unknown"


def _load_png(path: Path, palette: bool) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as picture:
        if picture.mode not in ("1", "L", "I", "I;16", "I;16B", *(["P"] if palette else [])):
            msg = f"{path}: is a colour picture (mode {picture.mode}); save it as grey values of 8 or 16 bits"
            raise DatasetError(msg)
        return np.asarray(picture)


def _load_tiff(path: Path) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        if "S" in series.axes or "C" in series.axes:
            msg = f"{path}: is a colour or multi-channel picture (axes {series.axes}); save one channel"
            raise DatasetError(msg)
        return series.asarray()


def _load_nifti(path: Path) -> tuple[np.ndarray, np.ndarray, str]:
    import nibabel as nib

    image: Any = nib.load(path)
    header = image.header
    if not int(header["sform_code"]) and not int(header["qform_code"]):
        msg = f"{path}: its header has no affine (sform and qform codes are 0); save it with its orientation"
        raise DatasetError(msg)
    affine = image.affine
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        msg = f"{path}: its affine cannot be inverted; save it with its orientation and spacing"
        raise DatasetError(msg)
    return np.asanyarray(image.dataobj), affine, header.get_xyzt_units()[0]


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
    return Grid(
        shape,
        axes=tuple(sorted(targets).index(t) for t in targets),
        flips=tuple(bool(ornt[i, 1] < 0) for i in kept),
        spacing=tuple(float(sizes[t]) for t in sorted(targets)),
        unit=unit,
        affine=turned,
    )


def _read_npz(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["displacement"]
    except KeyError:
        msg = f"{path}: has no array 'displacement'; save it as np.savez(path, displacement=field)"
        raise DatasetError(msg) from None
    except Exception as error:  # a broken archive raises what zipfile and zlib do
        msg = f"{path}: cannot be read ({type(error).__name__}: {error}); it may be truncated, write it again"
        raise DatasetError(msg) from None
