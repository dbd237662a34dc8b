"""Learn2Reg's convention: displacements in voxels of the arrays in the images' files, regardless of the header.

``.nii.gz`` with ``(*stored, dims)``, or ``.npz`` with ``arr_0``, ``(dims, *stored)``, on the full grid or on one with
half as many voxels along each axis, also in voxels of the full grid. The latter is resampled to the full grid as in the
challenge's evaluation: by a second-order spline with aligned corners. Hering et al., IEEE TMI 2022,
doi:10.48550/arXiv.2112.04489.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np

from likeness.imageio.formats import opened
from likeness.imageio.placement import Placement
from likeness.imageio.stored import finite, from_stored, to_stored
from likeness.userinput.errors import DatasetError

KEY = "arr_0"
_NUMBER = re.compile(r"(?<!\d)\d{4}(?!\d)")


def numbers(ids: Collection[str]) -> dict[str, str]:
    """Return the four digits that identify images in file names; ids for which they are not unique are omitted.

    They are the first isolated group of exactly four digits in the image's id.
    """
    found = {id: match[0] for id in ids if (match := _NUMBER.search(id))}
    count = Counter(found.values())
    return {id: number for id, number in found.items() if count[number] == 1}


def read(path: Path, moving: Placement, fixed: Placement) -> np.ndarray:
    """Read a field.

    Returns:
        ``(*spatial, dims)``, float32, in voxels of the prepared grids.

    Raises:
        DatasetError: if the file is unreadable, has another shape, or is not finite.
    """
    shape, dims = fixed.stored_shape, fixed.dims
    archive = path.name.endswith(".npz")
    halves = [{size // 2, (size + 1) // 2} for size in shape]
    with opened(path, key=KEY, placed=False) as file:
        first, spatial = (file.shape[:1], file.shape[1:]) if archive else (file.shape[-1:], file.shape[:-1])
        grid = tuple(size for size in spatial if size > 1)
        half = len(grid) == dims and all(size in both for size, both in zip(grid, halves, strict=True))
        if first != (dims,) or not (grid == shape or half) or file.dtype.kind not in "iuf":
            order = "component first" if archive else "component last"
            whole = (dims, *shape) if archive else (*shape, dims)
            msg = f"{path}: has {file.dtype} of shape {file.shape}, but a field on the grid of its fixed image's file "
            raise DatasetError(
                msg + f"has numbers of shape {whole}, or half as many voxels per axis; save it like that, {order}"
            )
        file.check_size(path, parts=dims)
        values = file.values()
    values = np.moveaxis(values.reshape(dims, *grid), 0, -1) if archive else values.reshape(*grid, dims)
    field = finite(path, values)
    return from_stored(_whole(field, shape) if half else field, moving, fixed)


def write(path: Path, field: np.ndarray, moving: Placement, fixed: Placement) -> None:
    """Write a field as ``.nii.gz`` on the full grid."""
    import nibabel as nib

    nib.save(nib.Nifti1Image(to_stored(field, moving, fixed), np.eye(4)), path)


def _whole(field: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resample ``(*half, dims)`` to ``(*shape, dims)``."""
    from scipy.ndimage import zoom

    factors = [size / n for size, n in zip(shape, field.shape[:-1], strict=True)]
    return np.stack([zoom(part, factors, order=2) for part in np.moveaxis(field, -1, 0)], axis=-1)
