"""Open PNG, TIFF, NIfTI and NumPy files: headers are validated before memory is allocated for the values.

Heavy libraries are imported on demand.
"""

from __future__ import annotations

import gzip
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
from likeness.imageio.placement import furthest
from likeness.userinput.errors import DatasetError, plain, refuse_path

MOST_VOXELS = 512**3
"""Maximum number of voxels; larger images could not be used for training."""

AGREE = 0.1
"""Maximum distance, in voxels, between places of the same voxel that are taken to agree."""

VECTOR = 1007
"""NIfTI's intent code of vector images."""

DEFLATED = 1032
"""Maximum compression ratio of PNG and gzip."""
_PNG_GREY, _PNG_PALETTE, _PNG_GREY_ALPHA = 0, 3, 4
"""Colour types of PNG."""
_ORIENTATION = 274
"""Number of the tag that says how a picture is to be turned."""
_NO_DATA = 42113
"""Number of the tag with the value of pixels that have none, which GDAL writes."""
_CHUNK = 1 << 20
_STACKED = "ZQI"
"""Axes of a TIFF along which pages are slices: depth, or not named."""
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
"""Formats by the first bytes of a file."""


class Contradiction(NamedTuple):
    """How sform and qform of a NIfTI file disagree, of which the sform is used."""

    sform: int
    """Code of the sform."""
    qform: int
    """Code of the qform."""
    apart: float
    """Largest distance between the two places of a voxel, in the header's unit; infinite if the qform is invalid."""
    axes: str
    """Directions of the axes by the sform, such as RAS."""
    others: str
    """Directions of the axes by the qform."""


@dataclass(frozen=True)
class Stored:
    """An open file: its header, and a function that reads the values."""

    shape: tuple[int, ...]
    dtype: np.dtype
    capacity: float
    """Upper bound on the number of bytes of uncompressed data."""
    values: Callable[[], np.ndarray]
    affine: np.ndarray | None = None
    """Map from voxels to millimetres, or to :attr:`unit`, ``(4, 4)``; x to the right, y anterior, z superior."""
    unit: str = "unknown"
    intent: int = 0
    """NIfTI intent code."""
    intent_name: str = ""
    """NIfTI intent name."""
    layers: str = "slices"
    """What the file's 2D arrays are called: slices or pages."""
    contradiction: Contradiction | None = None

    def check_size(self, path: Path, parts: int = 1) -> None:
        """Reject an image, with ``parts`` values per voxel, that is too large or larger than its file can contain.

        Raises:
            DatasetError: if so.
        """
        needed = math.prod(self.shape) * self.dtype.itemsize
        _check_size(path, self.shape, needed, self.capacity, MOST_VOXELS * parts)


class _Asked(NamedTuple):
    """Options of :func:`opened`."""

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
    """Open a file in the format of its suffix.

    Args:
        path: file with a suffix that the layout allows.
        palette: whether the values are numbers, not intensities, so that PNG or TIFF may show them as palette colours.
        key: name of the array in an ``.npz`` archive.
        placed: whether a NIfTI file must have a valid affine; if not, the affine is ignored.
        opener: function for formats that this module does not support.

    Raises:
        DatasetError: for any error of the format's reader, when the file is opened or the values are read.
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
    except Exception as error:  # decoders can raise any error
        if isinstance(error, OSError) and error.errno:
            refuse_path(path, error, DatasetError)
        msg = plain(" ".join(f"{type(error).__name__}: {error}".split()))
        msg = f"{path}: cannot be read as {kind} ({msg}); it may be truncated, write it again"
        raise DatasetError(msg) from None


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(32)


def _check_beginning(path: Path, kind: str) -> None:
    """Reject a file whose content is not in the format of its suffix; some readers would accept it."""
    begin, wanted = _beginning(path), _BEGINS_AS[kind]
    found = next((known for start, known in _BEGINNINGS.items() if begin.startswith(start)), None)
    if not begin:
        msg = f"{path}: is empty; write it again"
        raise DatasetError(msg)
    if found != wanted:
        msg = f"a {found} file" if found else f"not a {wanted} file"
        msg = f"{path}: is {msg}, but its suffix is that of {kind}; save it in that format, or rename it"
        raise DatasetError(msg)


@contextmanager
def _silence() -> Iterator[None]:
    """Suppress output of readers, so that errors are reported once."""
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
    """Reject a header with implausible size, in bytes, before memory is allocated."""
    count = math.prod(shape)
    if count > most:
        msg = f"{path}: has the shape {shape}, {count:.3g} values, but at most {most:.3g} are supported; "
        raise DatasetError(msg + "crop or resample it")
    if needed > capacity:
        msg = f"{path}: cannot be read, because the shape {shape} in its header needs more bytes than "
        raise DatasetError(msg + "the file contains; it may be truncated, write it again")


@contextmanager
def _png(path: Path, asked: _Asked) -> Iterator[Stored]:
    from PIL import Image

    begin = _beginning(path)
    columns, rows = (int.from_bytes(begin[i : i + 4], "big") for i in (16, 20))
    # before Pillow checks its own limit; a pixel takes at least an eighth of a byte
    _check_size(path, (rows, columns), rows * columns / 8, DEFLATED * path.stat().st_size, MOST_VOXELS)
    with Image.open(path, formats=["PNG"]) as picture:
        depth, kind = begin[24:26]
        if kind not in (_PNG_GREY, _PNG_GREY_ALPHA, *([_PNG_PALETTE] if asked.palette else [])):
            msg = f"{path}: is a colour image (mode {picture.mode}); save it as 8-bit or 16-bit grey values"
            raise DatasetError(msg)
        frames = getattr(picture, "n_frames", 1)
        if frames > 1:
            msg = f"{path}: is an animation of {frames} frames; save one"
            raise DatasetError(msg)
        dtype = np.dtype(np.uint8 if depth <= 8 else np.int32)
        yield Stored((rows, columns), dtype, math.inf, lambda: _png_values(path, picture, depth, kind))


def _png_values(path: Path, picture: Any, depth: int, kind: int) -> np.ndarray:
    """Read the samples as they are stored, without alpha, of which all must be opaque."""
    values = np.asarray(picture)
    # the tag may follow the pixels
    _check_upright(path, picture.getexif().get(_ORIENTATION, 1))
    if kind == _PNG_GREY_ALPHA:
        if depth == 16:
            from imagecodecs import png_decode

            # Pillow keeps 8 bits of these
            values = png_decode(path.read_bytes())
        return _opaque(path, values[..., 0], values[..., 1] == 2**depth - 1)
    if kind == _PNG_PALETTE:
        return values
    if depth in (2, 4):
        # Pillow stretches these to 8 bits
        values = values // (255 // (2**depth - 1))
    clear = picture.info.get("transparency")
    return values if clear is None else _opaque(path, values, values != (bool(clear) if depth == 1 else clear))


def _opaque(path: Path, values: np.ndarray, opaque: np.ndarray) -> np.ndarray:
    if not opaque.all():
        msg = f"{path}: {(~opaque).sum()} of its {opaque.size} pixels are transparent, so they have no grey value; "
        raise DatasetError(msg + "save it without transparency")
    return values


def _check_upright(path: Path, orientation: int) -> None:
    if orientation != 1:
        msg = (
            f"{path}: its tag Orientation is {int(orientation)}, so it is to be seen turned or mirrored, and programs "
        )
        raise DatasetError(msg + "disagree on whether it is; turn its pixels, and save it without the tag")


@contextmanager
def _tiff(path: Path, asked: _Asked) -> Iterator[Stored]:
    import tifffile

    # further files that an OME-TIFF names may be missing, and would be read as 0
    with tifffile.TiffFile(path, _multifile=False) as file:
        series = _only_image(path, file.series)
        axes, page = series.axes, series.keyframe
        alpha = page.samplesperpixel == 2 and {1, 2} & set(page.extrasamples) and "S" in axes
        if {"S", "C"} & set(axes) and not alpha:
            msg = f"{path}: is a colour or multi-channel image (axes {axes}); save one channel"
            raise DatasetError(msg)
        spatial = axes.replace("S", "")
        strange = [axis for axis in spatial[:-2] if axis not in _STACKED]
        if strange or spatial[-2:] != "YX":
            names = tifffile.TIFF.AXES_NAMES
            msg = f"{path}: its axes are {axes}"
            msg += f", of which {strange[0]} is {names.get(strange[0], 'not spatial')}" if strange else ""
            raise DatasetError(msg + "; save one image per file, with the axes YX or ZYX")
        _check_look(path, page, asked)
        for other in series.pages:
            _check_upright(path, other.aspage().tags.valueof("Orientation", 1))
            if 0 in other.dataoffsets or 0 in other.databytecounts:
                msg = f"{path}: lacks some of its pixels, which would be read as 0; it may be truncated, write it again"
                raise DatasetError(msg)
        packed = page.bitspersample % 8 != 0 or page.compression != tifffile.COMPRESSION.NONE
        capacity = math.inf if packed else path.stat().st_size
        shape = tuple(size for size, axis in zip(series.shape, axes, strict=True) if axis != "S")
        calibration = _calibration(path, file.imagej_metadata or {})

        def values() -> np.ndarray:
            array = series.asarray()
            if alpha:
                array, opacity = np.moveaxis(array, axes.index("S"), 0)
                array = _opaque(path, array, opacity == np.iinfo(opacity.dtype).max)
            _check_known(path, array, page.tags.valueof(_NO_DATA))
            if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
                array = ~array if array.dtype == bool else array.dtype.type(2**page.bitspersample - 1) - array
            return array if calibration is None else calibration[0] + calibration[1] * array.astype(np.float64)

        yield Stored(shape, np.dtype(series.dtype), capacity, values, layers="pages")


def _only_image(path: Path, found: Any) -> Any:
    """Return the one series of pages that is an image rather than a smaller copy of one."""
    full = [series for series in found if not series.keyframe.is_reduced]
    if len(full) != 1:
        shapes = ", ".join(str(tuple(series.shape)) for series in full[:3])
        msg = f"{path}: contains {len(full)} images ({shapes}{', …' if len(full) > 3 else ''}); save one per file"
        raise DatasetError(msg)
    if any(page is None for page in full[0].pages):
        msg = f"{path}: is one of several files of an image of shape {tuple(full[0].shape)}; save the image as one file"
        raise DatasetError(msg)
    return full[0]


def _check_known(path: Path, values: np.ndarray, nothing: Any) -> None:
    """Refuse pixels with the value that GDAL's tag declares to be none."""
    try:
        value = float(nothing)
    except (TypeError, ValueError):
        return
    unknown = int((values == value).sum())
    if unknown:
        msg = f"{path}: {unknown} of its {values.size} pixels have the value {value:g}, which its tag GDAL_NODATA "
        raise DatasetError(msg + "declares to be none; fill them and remove the tag, or remove the tag if it is wrong")


def _check_look(path: Path, page: Any, asked: _Asked) -> None:
    """Check that the tags of a page leave no doubt about its grey values, and that it can be decompressed."""
    import tifffile

    shown = tifffile.PHOTOMETRIC
    _check_upright(path, page.tags.valueof("Orientation", 1))
    if page.photometric == shown.PALETTE and not asked.palette:
        msg = f"{path}: is a colour image (with a palette); save it as grey values"
        raise DatasetError(msg)
    if page.photometric not in (shown.MINISBLACK, shown.MINISWHITE, shown.PALETTE):
        name = getattr(page.photometric, "name", page.photometric)
        msg = f"{path}: is a colour image or no image (photometric {name}); save it as grey values"
        raise DatasetError(msg)
    inverted = page.photometric == shown.MINISWHITE
    if inverted and (asked.palette or page.dtype.kind not in "bu"):
        msg = f"{path}: its tag PhotometricInterpretation is MINISWHITE, "
        msg += "so programs disagree on which value is 0" if asked.palette else f"which means nothing for {page.dtype}"
        raise DatasetError(msg + "; save it as MINISBLACK")
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
    except KeyError:
        name = getattr(page.compression, "name", page.compression)
        msg = f"{path}: is compressed by {name}, which cannot be read here; save it with Deflate or uncompressed"
        raise DatasetError(msg) from None


def _calibration(path: Path, stated: dict[str, Any]) -> tuple[float, float] | None:
    """Return ImageJ's linear calibration of grey values, offset and factor; ``None`` without one."""
    kind = stated.get("cf")
    if kind is None:
        return None
    try:
        offset, factor = float(stated["c0"]), float(stated["c1"])
    except (KeyError, TypeError, ValueError):
        offset = factor = math.nan
    if kind != 0 or not (math.isfinite(offset) and math.isfinite(factor)):
        msg = f"{path}: its grey values are calibrated in ImageJ by the function {plain(kind)}, which is not linear; "
        raise DatasetError(msg + "save the calibrated values as 32-bit floats")
    return offset, factor


@contextmanager
def _nifti(path: Path, asked: _Asked) -> Iterator[Stored]:
    import nibabel as nib

    image: Any = nib.load(path)
    header = image.header
    affine = _affine(path, image) if asked.placed else None
    capacity = path.stat().st_size * (DEFLATED if path.name.lower().endswith(".gz") else 1)
    dtype = np.dtype(image.get_data_dtype())
    unit, intent = header.get_xyzt_units()[0], int(header["intent_code"])
    contradiction = None if affine is None else _contradiction(image)

    def values() -> np.ndarray:
        if path.name.lower().endswith(".gz"):
            _check_whole(path)
        return np.asanyarray(image.dataobj)

    yield Stored(
        *(image.shape, dtype, capacity, values),
        affine=affine,
        unit=unit,
        intent=intent,
        intent_name=header["intent_name"].item().decode("latin-1"),
        contradiction=contradiction,
    )


def _check_whole(path: Path) -> None:
    """Decompress to the end, where the checksum is, before which a reader of the values alone stops."""
    with gzip.open(path) as file:
        while file.read(_CHUNK):
            pass


def _affine(path: Path, image: Any) -> np.ndarray:
    if not int(image.header["sform_code"]) and not int(image.header["qform_code"]):
        msg = f"{path}: its header has no affine (sform and qform codes are 0); save it with its orientation"
        raise DatasetError(msg)
    if not np.isfinite(image.affine).all() or not _invertible(image.affine[:3, :3]):
        msg = f"{path}: its affine is not invertible; save it with its orientation and spacing"
        raise DatasetError(msg)
    return image.affine


def _contradiction(image: Any) -> Contradiction | None:
    """Compare sform and qform of a NIfTI file; ``None`` if they agree or one is not set."""
    import nibabel as nib

    codes = int(image.header["sform_code"]), int(image.header["qform_code"])
    if not all(codes):
        return None
    try:
        other = image.header.get_qform()
        axes = ["".join(nib.aff2axcodes(affine)) for affine in (image.affine, other)]
    except (ValueError, nib.spatialimages.HeaderDataError):
        return Contradiction(*codes, math.inf, "", "")
    apart = furthest(image.affine - other, image.shape)
    return Contradiction(*codes, apart, *axes) if apart > AGREE * nib.affines.voxel_sizes(image.affine).min() else None


def _invertible(matrix: np.ndarray) -> bool:
    """Return whether the axes of a grid have positive length and are linearly independent."""
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
"""Formats by suffix; files with other suffixes have been rejected before."""
_BEGINS_AS = {
    "PNG": "PNG",
    "TIFF": "TIFF",
    "NIfTI": None,
    "compressed NIfTI": "gzip",
    "NumPy arrays": "zip",
    "MetaImage": None,
    "NRRD": None,
}
"""Expected content of each format, by the values of :data:`_BEGINNINGS`."""
