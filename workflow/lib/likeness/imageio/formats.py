"""Opening PNG, TIFF, NIfTI and NumPy files: what the header says first, before memory is set aside for it.

Heavy libraries are imported where they are used.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from likeness.imageio import displacement
from likeness.userinput.errors import DatasetError, plain, refuse_path

MOST_VOXELS = 512**3
"""Larger images are none that a network here could be trained on."""

VECTOR = 1007
"""What NIfTI calls an image of vectors."""

DEFLATED = 1032
"""Most bytes that a byte of PNG or gzip unpacks to."""
_BEGINNINGS = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
}
"""What files begin with, whatever they are called."""


@dataclass(frozen=True)
class Stored:
    """An open file: what its header says, and what reads the rest."""

    shape: tuple[int, ...]
    dtype: np.dtype
    capacity: float
    """Most bytes that the file unpacks to."""
    values: Callable[[], np.ndarray]
    affine: np.ndarray | None = None
    """From voxels to millimetres, or to its :attr:`unit`, ``(4, 4)``, x to the right, y anterior, z superior."""
    unit: str = "unknown"
    intent: int = 0
    """What the values are, as NIfTI numbers it."""

    def check_size(self, path: Path, parts: int = 1) -> None:
        """Refuse an image, of a number of values per voxel, that is too large or more than its file can hold.

        Raises:
            DatasetError: in one sentence.
        """
        needed = math.prod(self.shape) * self.dtype.itemsize
        _check_size(path, self.shape, needed, self.capacity, MOST_VOXELS * parts)


class _Asked(NamedTuple):
    """What the caller wants of a file, see :func:`opened`."""

    palette: bool
    key: str
    placed: bool


@contextmanager
def opened(
    path: Path,
    palette: bool = False,
    *,
    key: str = displacement.KEY,
    placed: bool = True,
    opener: Callable[[Path], AbstractContextManager[Stored]] | None = None,
) -> Iterator[Stored]:
    """Open a file by its name.

    Args:
        path: a suffix that the layout has let pass.
        palette: whether a PNG or TIFF may store numbers as palette colours.
        key: of the array in an archive.
        placed: whether a NIfTI file has to say where its voxels lie; where not, it is not asked.
        opener: of a format that nothing here reads.

    Raises:
        DatasetError: whatever the format's reader raises, here or when the values are read.
    """
    kind = next(kind for suffix, kind in _KINDS.items() if path.name.lower().endswith(suffix))
    with ExitStack() as stack:
        with _reading(path, kind):
            _check_beginning(path, kind)
            found = opener(path) if opener else _OPENERS[kind](path, _Asked(palette, key, placed))
            stored = stack.enter_context(found)

        def values() -> np.ndarray:
            with _reading(path, kind):
                return stored.values()

        yield replace(stored, values=values)


@contextmanager
def _reading(path: Path, kind: str) -> Iterator[None]:
    try:
        with _silence():
            yield
    except DatasetError:
        raise
    except Exception as error:  # the readers raise whatever their decoders do
        if isinstance(error, OSError) and error.errno:
            refuse_path(path, error, DatasetError)
        msg = plain(" ".join(f"{type(error).__name__}: {error}".split()))
        msg = f"{path}: cannot be read as {kind} ({msg}); it may be truncated, write it again"
        raise DatasetError(msg) from None


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(32)


def _check_beginning(path: Path, kind: str) -> None:
    """Refuse a file of another format than its name says, which some readers would take all the same."""
    begin, wanted = _beginning(path), _BEGINS_AS[kind]
    found = next((known for start, known in _BEGINNINGS.items() if begin.startswith(start)), None)
    if not begin:
        msg = f"{path}: is empty; write it again"
        raise DatasetError(msg)
    if found != wanted:
        msg = f"a {found} file" if found else f"no {wanted} file"
        msg = f"{path}: is {msg}, but its name says {kind}; save it in that format, or rename it"
        raise DatasetError(msg)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep readers from printing beside the sentence what they think of a file."""
    loggers = [logging.getLogger(name) for name in ("tifffile", "nibabel.global")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _check_size(path: Path, shape: tuple[int, ...], needed: float, capacity: float, most: int) -> None:
    """Refuse a header that lies about how much there is, in bytes, before memory is set aside for it."""
    count = math.prod(shape)
    if count > most:
        msg = f"{path}: has the shape {shape}, {count:.3g} values, but at most {most:.3g} are read; "
        raise DatasetError(msg + "crop or resample it")
    if needed > capacity:
        msg = f"{path}: cannot be read, because the shape {shape} that its header says needs more bytes than "
        raise DatasetError(msg + "the file holds; it may be truncated, write it again")


@contextmanager
def _png(path: Path, asked: _Asked) -> Iterator[Stored]:
    from PIL import Image

    begin = _beginning(path)
    columns, rows = (int.from_bytes(begin[i : i + 4], "big") for i in (16, 20))
    # before Pillow, which has a limit of its own; a pixel takes an eighth of a byte at least
    _check_size(path, (rows, columns), rows * columns / 8, DEFLATED * path.stat().st_size, MOST_VOXELS)
    with Image.open(path, formats=["PNG"]) as picture:
        if picture.mode not in ("1", "L", "I", "I;16", "I;16B", *(["P"] if asked.palette else [])):
            msg = f"{path}: is a colour picture (mode {picture.mode}); save it as grey values of 8 or 16 bits"
            raise DatasetError(msg)
        frames = getattr(picture, "n_frames", 1)
        if frames > 1:
            msg = f"{path}: is an animation of {frames} pictures; save one"
            raise DatasetError(msg)
        dtype = np.dtype(np.uint8 if picture.mode in ("1", "L", "P") else np.int32)
        yield Stored((rows, columns), dtype, math.inf, lambda: np.asarray(picture))


@contextmanager
def _tiff(path: Path, asked: _Asked) -> Iterator[Stored]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        if "S" in series.axes or "C" in series.axes:
            msg = f"{path}: is a colour or multi-channel picture (axes {series.axes}); save one channel"
            raise DatasetError(msg)
        page = series.keyframe
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE and not asked.palette:
            msg = f"{path}: is a colour picture (with a palette); save it as grey values"
            raise DatasetError(msg)
        packed = page.bitspersample % 8 != 0 or page.compression != tifffile.COMPRESSION.NONE
        capacity = math.inf if packed else path.stat().st_size
        yield Stored(series.shape, np.dtype(series.dtype), capacity, series.asarray)


@contextmanager
def _nifti(path: Path, asked: _Asked) -> Iterator[Stored]:
    import nibabel as nib

    image: Any = nib.load(path)
    header = image.header
    affine = _affine(path, image) if asked.placed else None
    capacity = path.stat().st_size * (DEFLATED if path.name.lower().endswith(".gz") else 1)
    dtype = np.dtype(image.get_data_dtype())
    unit, intent = header.get_xyzt_units()[0], int(header["intent_code"])
    yield Stored(image.shape, dtype, capacity, lambda: np.asanyarray(image.dataobj), affine, unit, intent)


def _affine(path: Path, image: Any) -> np.ndarray:
    if not int(image.header["sform_code"]) and not int(image.header["qform_code"]):
        msg = f"{path}: its header has no affine (sform and qform codes are 0); save it with its orientation"
        raise DatasetError(msg)
    if not np.isfinite(image.affine).all() or not _invertible(image.affine[:3, :3]):
        msg = f"{path}: its affine cannot be inverted; save it with its orientation and spacing"
        raise DatasetError(msg)
    return image.affine


def _invertible(matrix: np.ndarray) -> bool:
    """Tell whether the axes of a grid have a length and point into different directions."""
    lengths = np.linalg.norm(matrix, axis=0)
    return bool((lengths > 0).all() and np.linalg.matrix_rank(matrix / lengths) == len(matrix))


@contextmanager
def _npz(path: Path, asked: _Asked) -> Iterator[Stored]:
    with np.load(path, allow_pickle=False) as arrays:
        if asked.key not in arrays:
            msg = f"{path}: has no array '{asked.key}'; save it as np.savez(path, {asked.key}=field)"
            raise DatasetError(msg)
        with arrays.zip.open(f"{asked.key}.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _fortran, dtype = read(file)
        capacity = DEFLATED * path.stat().st_size
        yield Stored(shape, dtype, capacity, lambda: arrays[asked.key])


_OPENERS = {"PNG": _png, "TIFF": _tiff, "NIfTI": _nifti, "compressed NIfTI": _nifti, "NumPy arrays": _npz}
_KINDS = {
    ".png": "PNG",
    ".nii": "NIfTI",
    ".nii.gz": "compressed NIfTI",
    ".npz": "NumPy arrays",
    ".mha": "MetaImage",
    ".nrrd": "NRRD",
    "": "TIFF",
}
"""By the end of a name; the layout has let no other pass."""
_BEGINS_AS = {
    "PNG": "PNG",
    "TIFF": "TIFF",
    "NIfTI": None,
    "compressed NIfTI": "gzip",
    "NumPy arrays": "zip",
    "MetaImage": None,
    "NRRD": None,
}
"""What files of each kind begin with, of :data:`_BEGINNINGS`."""
