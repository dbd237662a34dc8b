"""Read and validate the files of a raw dataset: images, label maps, masks, fields and landmarks."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np

from likeness.data import layout
from likeness.data.layout import RawDataset
from likeness.data.store import PARTS, Sample
from likeness.imageio import images
from likeness.runtime.atomic import write_json
from likeness.runtime.provenance import code_digest, digest
from likeness.userinput import documents
from likeness.userinput.errors import DatasetError, plain

SPACING_TOLERANCE = 0.01
"""Relative difference between a header's spacing and that of ``dataset.yaml`` that is accepted as rounding."""

FEWEST_VOXELS = 5
"""Minimum size along each axis: after two strided convolutions, normalisation still needs more than one voxel."""

LARGEST_INTENSITY = 1e30
"""Limit above which sums and squares in single precision overflow."""

AXES = "ijk"
"""Column names of landmark files: the axes of the image file."""

Limits = tuple[float, float]
"""The intensities that are mapped to 0 and 1."""


def check(folder: str | Path) -> RawDataset:
    """Validate a raw dataset folder completely, tables and images.

    Raises:
        DatasetError: with all problems of the tables, or the first one of the images.
    """
    raw = layout.check_tables(folder)
    _check_files(raw)
    return raw


def _check_files(raw: RawDataset) -> None:
    """Read and validate every file of a dataset.

    Raises:
        DatasetError: at the first problem.
    """
    first: Sample | None = None
    for id in raw.images.index:
        sample = read(raw, id)
        first = first or sample
        check_alike(raw, first, sample)
        limits(raw, sample)


def check_images(folder: str | Path, cache: Path) -> None:
    """Validate tables and images, unless nothing has changed since the last successful check.

    Args:
        folder: raw dataset folder.
        cache: JSON file of successful checks, shared by all datasets; recreated if it is missing or invalid. An entry
            is valid for the tables' content, the path, size and modification time of every file they name, and the
            code of the check.

    Raises:
        DatasetError: with all problems of the tables, or the first one of the images.
    """
    raw = layout.check_tables(folder)
    key = str(raw.folder.resolve())
    verdicts = _verdicts(cache)
    state = digest(layout.digest_of(raw), code_digest(Path(__file__)))
    if verdicts.get(key) == state:
        return
    _check_files(raw)
    # without the cache, the check is only repeated
    with suppress(OSError):
        write_json(cache, verdicts | {key: state})


def _verdicts(cache: Path) -> dict[str, Any]:
    try:
        verdicts = json.loads(cache.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return verdicts if isinstance(verdicts, dict) else {}


def read(raw: RawDataset, id: str) -> Sample:
    """Read an image and its other parts in a common orientation; intensities stay as stored, as float32.

    Raises:
        DatasetError: if a part is unreadable or empty, or does not match its image or ``dataset.yaml``.
    """
    path = cast(Path, raw.file(id, "image"))
    stored, grid = images.read(path, raw.meta["spatial_dims"])
    if min(stored.shape) < FEWEST_VOXELS:
        msg = f"{path}: has the shape {stored.shape}; a network needs at least {FEWEST_VOXELS} voxels along each axis, "
        raise DatasetError(msg + "pad it or use larger images")
    _check_spacing(raw, id, path, grid)
    image = _intensities(path, stored)
    parts: dict[str, np.ndarray] = {}
    for part in ("label", "instances", "mask", "unmatched"):
        if (file := raw.file(id, part)) is not None:
            parts[part] = _read_map(raw, file, part, grid, image.shape)
    if (file := raw.file(id, "field")) is not None:
        parts["field"] = images.read_field(file, grid)
        _check_shape(file, parts["field"].shape[:-1], image.shape)
    if (file := raw.file(id, "landmarks")) is not None:
        parts["landmarks"] = read_landmarks(file, grid)
    return Sample(id, image, **parts, placement=grid.placement)


def check_alike(raw: RawDataset, first: Sample, sample: Sample) -> None:
    """Check that two images of a dataset agree where all must.

    Raises:
        DatasetError: if the images differ in shape, or the landmarks in number.
    """
    if sample.image.shape != first.image.shape:
        msg = f"{raw.file(sample.name, 'image')}: has the shape {sample.image.shape}, but '{first.name}' has "
        msg += f"{first.image.shape}; resample, crop or pad all images of the dataset to one grid"
        raise DatasetError(msg)
    if sample.landmarks is None or first.landmarks is None:
        return
    if len(sample.landmarks) != len(first.landmarks):
        msg = f"{raw.file(sample.name, 'landmarks')}: has {len(sample.landmarks)} points, but '{first.name}' has "
        msg += f"{len(first.landmarks)}; keep the points that all images have, in the same order"
        raise DatasetError(msg)


def limits(raw: RawDataset, sample: Sample) -> Limits:
    """Find the intensities that are mapped to 0 and 1 in an image that does not share its scale.

    Raises:
        DatasetError: if no intensity range remains.
    """
    rule, path = raw.meta["intensity"], raw.file(sample.name, "image")
    if rule["rule"] == "range":
        low, high = float(rule["low"]), float(rule["high"])
        if sample.image.max() <= low or sample.image.min() >= high:
            msg = f"{path}: has intensities from {sample.image.min():g} to {sample.image.max():g}, all outside the "
            raise DatasetError(msg + f"range {low:g} to {high:g} of key 'intensity' of dataset.yaml; widen it")
        return low, high
    low, high = (float(q) for q in np.quantile(sample.image, (rule["low"], rule["high"])))
    if not np.float32(high - low) > 0:
        msg = f"{path}: its quantiles {rule['low']} and {rule['high']} are both {low:g}; "
        raise DatasetError(msg + "set 'intensity' of dataset.yaml to quantiles further apart or to the rule range")
    return low, high


def _intensities(path: Path, stored: np.ndarray) -> np.ndarray:
    """Convert intensities to single precision; they must be finite and not constant after the conversion."""
    if not np.isfinite(stored).all():
        msg = f"{path}: has values that are not finite (NaN or infinite); fill them, for example with 0"
        raise DatasetError(msg)
    lowest, highest = float(stored.min()), float(stored.max())
    if max(-lowest, highest) > LARGEST_INTENSITY:
        msg = f"{path}: has values from {lowest:g} to {highest:g}; scale them to at most {LARGEST_INTENSITY:g}"
        raise DatasetError(msg)
    image = np.ascontiguousarray(stored, dtype=np.float32)
    if image.min() == image.max():
        msg = f"{path}: is constant ({image.flat[0]:g} everywhere); replace it, or remove its row from images.csv"
        raise DatasetError(msg)
    return image


def _check_spacing(raw: RawDataset, id: str, path: Path, grid: images.Grid) -> None:
    told, unit = raw.meta["spacing"], raw.meta["spacing_unit"]
    if any(s is None or np.allclose(s, told, SPACING_TOLERANCE, 0) for s in (grid.spacing, grid.spacing_in(unit))):
        return
    header = " × ".join(f"{s:.4g}" for s in cast(tuple[float, ...], grid.spacing))
    msg = f"{path}: its header has the spacing {header}{'' if grid.unit == 'unknown' else f' {grid.unit}'}"
    msg += f" (x, y, z), but key 'spacing' of dataset.yaml is {' × '.join(f'{s:.4g}' for s in told)} {unit}"
    first = raw.images.index[0]
    msg += "; correct one of them" if id == first else f"; resample it, because the image of '{first}' agrees"
    raise DatasetError(msg)


def _check_shape(path: Path, shape: tuple[int, ...], image: tuple[int, ...]) -> None:
    if shape != image:
        msg = f"{path}: has the shape {shape}, but its image has {image}; resample it to the grid of the image"
        raise DatasetError(msg)


def _read_map(raw: RawDataset, path: Path, part: str, image: images.Grid, shape: tuple[int, ...]) -> np.ndarray:
    stored, grid = images.read(path, raw.meta["spatial_dims"], palette=True)
    _check_shape(path, stored.shape, shape)
    images.check_same_place(path, grid, image)
    if part in ("mask", "unmatched"):
        values = np.ascontiguousarray(stored != 0)
        if not np.isfinite(stored).all() or (part == "mask" and not values.any()):
            msg = f"{path}: the {part} is empty or has non-finite values; leave the column empty for none"
            raise DatasetError(msg)
        return values
    if not np.isfinite(stored).all() or (stored != np.round(stored)).any():
        msg = f"{path}: has values that are not integers; save the map without interpolation"
        raise DatasetError(msg)
    most = np.iinfo(PARTS[part]).max
    if stored.min() < 0 or stored.max() > most:
        msg = f"{path}: has values from {stored.min():.0f} to {stored.max():.0f}; number them from 0 to {most}"
        raise DatasetError(msg)
    values = np.ascontiguousarray(stored, dtype=PARTS[part])
    if part == "label":
        _check_label(raw, path, values)
    return values


def _check_label(raw: RawDataset, path: Path, label: np.ndarray) -> None:
    found = np.unique(label)
    unknown = [int(value) for value in found if int(value) not in raw.meta["labels"]]
    if unknown:
        msg = f"{path}: has the label value {unknown[0]}, which key 'labels' of dataset.yaml does not name; "
        raise DatasetError(msg + "add it there or correct the map")
    if list(found) == [raw.meta["background"]]:
        msg = f"{path}: the label map is all background ({found[0]}); leave the column 'label' empty for none"
        raise DatasetError(msg)


def read_landmarks(path: Path, grid: images.Grid) -> np.ndarray:
    """Read landmarks and convert them to the orientation of their image.

    Args:
        path: CSV with the header ``i,j`` or ``i,j,k`` and voxel coordinates along the axes of the image file.
        grid: grid of the image.

    Returns:
        ``(points, dims)``, float64, in voxels.

    Raises:
        DatasetError: if the file is unreadable, has other columns, or a point is not finite or outside the image.
    """
    dims = len(grid.axes)
    text = documents.read_text(path, DatasetError)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        msg = f"{path}: cannot be read as CSV ({plain(error)}); save it as comma-separated text"
        raise DatasetError(msg) from None
    # fixed names, because 'x' means column to some and row to others
    if not rows or [cell.strip() for cell in rows[0]] != list(AXES[:dims]):
        names = ",".join(AXES[:dims])
        msg = f"{path}: the first line is not {names}; name the axes of the image file like this, in their stored order"
        raise DatasetError(msg)
    try:
        points = np.array([[float(cell) for cell in row] for row in rows[1:]]).reshape(len(rows) - 1, dims)
    except ValueError:
        points = np.empty((0, dims))
    if not len(points) or not np.isfinite(points).all():
        msg = f"{path}: write one point per row as {dims} numbers, voxel coordinates along the axes of the image file"
        raise DatasetError(msg)
    outside = ((points < 0) | (points > np.array(grid.shape) - 1)).any(axis=1)
    if outside.any():
        row = int(np.argmax(outside))
        msg = f"{path}: point {row + 1} at {points[row].tolist()} is outside its image of {grid.shape} voxels; "
        raise DatasetError(msg + "give zero-based voxel coordinates, not millimetres, or remove the point everywhere")
    return np.ascontiguousarray(grid.turn_points(points))
