"""Reading the files of a raw dataset, subject by subject, and refusing those that do not fit together."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import cast

import numpy as np

from likeness.data import images
from likeness.data.layout import DatasetError, RawDataset
from likeness.data.store import PARTS, Subject

SPACING_TOLERANCE = 0.01
"""Relative difference between a header's spacing and that of ``dataset.yaml`` that passes as rounding."""


def check(raw: RawDataset) -> None:
    """Read every file of a dataset once and check it.

    Raises:
        DatasetError: at the first thing that does not fit.
    """
    first: Subject | None = None
    for name in raw.subjects.index:
        subject = read(raw, name)
        first = first or subject
        check_alike(raw, first, subject)


def read(raw: RawDataset, name: str) -> Subject:
    """Read a subject with all its parts, in one orientation, its image as float32 in the intensities of the file.

    Raises:
        DatasetError: if a part is unreadable, empty, or does not fit its image or ``dataset.yaml``.
    """
    path = cast(Path, raw.file(name, "image"))
    image, grid = images.read(path, raw.meta["spatial_dims"])
    _check_image(raw, path, image, grid)
    parts = {}
    for part in ("label", "instances", "mask", "unmatched"):
        if (file := raw.file(name, part)) is not None:
            parts[part] = _read_map(raw, file, part, grid, image.shape)
    if (file := raw.file(name, "field")) is not None:
        parts["field"] = images.read_field(file, grid)
        _check_shape(file, parts["field"].shape[:-1], image.shape)
    if (file := raw.file(name, "landmarks")) is not None:
        parts["landmarks"] = _read_landmarks(file, grid)
    return Subject(name, np.ascontiguousarray(image, dtype=np.float32), **parts)


def check_alike(raw: RawDataset, first: Subject, subject: Subject) -> None:
    """Check what all subjects must share.

    Raises:
        DatasetError: if the images differ in shape, or the landmarks in number.
    """
    if subject.image.shape != first.image.shape:
        msg = f"{raw.file(subject.name, 'image')}: has the shape {subject.image.shape}, but '{first.name}' has "
        msg += f"{first.image.shape}; resample, crop or pad all images of the dataset to one grid"
        raise DatasetError(msg)
    if subject.landmarks is None or first.landmarks is None:
        return
    if len(subject.landmarks) != len(first.landmarks):
        msg = f"{raw.file(subject.name, 'landmarks')}: has {len(subject.landmarks)} points, but '{first.name}' has "
        msg += f"{len(first.landmarks)}; keep the points that all subjects have, in one order"
        raise DatasetError(msg)


def _check_image(raw: RawDataset, path: Path, image: np.ndarray, grid: images.Grid) -> None:
    if not np.isfinite(image).all():
        msg = f"{path}: has values that are not finite (NaN or infinite); fill them, for example with 0"
        raise DatasetError(msg)
    if image.min() == image.max():
        msg = f"{path}: is constant ({image.flat[0]} everywhere); replace it, or remove its subject from subjects.csv"
        raise DatasetError(msg)
    told, unit = raw.meta["spacing"], raw.meta["spacing_unit"]
    fits = [s is None or np.allclose(s, told, rtol=SPACING_TOLERANCE) for s in (grid.spacing, grid.spacing_in(unit))]
    if not any(fits):
        header = [float(f"{s:.4g}") for s in cast(tuple[float, ...], grid.spacing)]
        msg = f"{path}: its header has the spacing {header} (x, y, z), but key 'spacing' of dataset.yaml says "
        raise DatasetError(msg + f"{told} {unit}; correct one of them")


def _check_shape(path: Path, shape: tuple[int, ...], image: tuple[int, ...]) -> None:
    if shape != image:
        msg = f"{path}: has the shape {shape}, but its image has {image}; resample it to the image's grid"
        raise DatasetError(msg)


def _read_map(raw: RawDataset, path: Path, part: str, image: images.Grid, shape: tuple[int, ...]) -> np.ndarray:
    stored, grid = images.read(path, raw.meta["spatial_dims"], palette=True)
    _check_shape(path, stored.shape, shape)
    images.check_same_place(path, grid, image)
    if part in ("mask", "unmatched"):
        values = np.ascontiguousarray(stored != 0)
        if not np.isfinite(stored).all() or (part == "mask" and not values.any()):
            msg = f"{path}: the {part} is empty or has values that are not finite; leave the column empty for none"
            raise DatasetError(msg)
        return values
    if not np.isfinite(stored).all() or (stored != np.round(stored)).any():
        msg = f"{path}: has values that are no whole numbers; save the map without interpolation"
        raise DatasetError(msg)
    limits = np.iinfo(np.int16 if part == "label" else np.int32)
    if stored.min() < (0 if part == "instances" else limits.min) or stored.max() > limits.max:
        msg = f"{path}: has values from {stored.min():.0f} to {stored.max():.0f}; number them from 0 to {limits.max}"
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
        msg = f"{path}: the label map is background ({found[0]}) everywhere; leave the column 'label' empty for none"
        raise DatasetError(msg)


def _read_landmarks(path: Path, grid: images.Grid) -> np.ndarray:
    dims = len(grid.axes)
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    # a header is a must: without one, the first point would pass for it, or a header of column numbers for a point
    if not rows or any(_is_number(cell) for cell in rows[0]):
        msg = f"{path}: has no header; name the {dims} axes in the first line, for example {','.join('ijk'[:dims])}"
        raise DatasetError(msg)
    try:
        points = np.array([[float(cell) for cell in row] for row in rows[1:]]).reshape(len(rows) - 1, dims)
    except ValueError:
        points = np.empty((0, dims))
    if not len(points) or not np.isfinite(points).all():
        msg = f"{path}: write one point a row as {dims} numbers, its voxel coordinates along the axes of the image file"
        raise DatasetError(msg)
    outside = ((points < 0) | (points > np.array(grid.shape) - 1)).any(axis=1)
    if outside.any():
        row = int(np.argmax(outside))
        msg = f"{path}: point {row + 1} at {points[row].tolist()} is outside its image of {grid.shape} voxels; "
        raise DatasetError(msg + "give voxel coordinates from 0, not millimetres, or remove the point everywhere")
    return np.ascontiguousarray(grid.turn_points(points))


def _is_number(entry: str) -> bool:
    try:
        float(entry)
    except ValueError:
        return False
    return True
