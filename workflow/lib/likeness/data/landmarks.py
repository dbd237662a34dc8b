"""Read landmarks: a CSV with one point a row, in voxels of the image's file or in the world's coordinates."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from likeness.imageio.images import Grid
from likeness.imageio.placement import METRES, applied
from likeness.userinput import documents
from likeness.userinput.errors import DatasetError, plain, shown

AXES = "ijk"
"""Columns of voxel coordinates: the axes of the image's file, in their stored order."""
WORLD = "xyz"
"""Columns of coordinates whose meaning the key ``landmarks`` of ``dataset.yaml`` states."""
REACH = 0.5
"""How far, in voxels, a point may be from the centre of the nearest voxel of its image."""
_SIGNS = {"ras": (1, 1, 1), "lps": (-1, -1, 1)}
"""Signs that turn the axes of a convention right, anterior and superior."""
_MISSING = ("", "nan", "na", "n/a")
"""Entries, in lower case, of a point that is not known."""


def read(path: Path, grid: Grid, stated: Mapping[str, str] = MappingProxyType({})) -> np.ndarray:
    """Read landmarks and convert them to the orientation of their image.

    Args:
        path: CSV with the columns ``i,j`` or ``i,j,k``, voxel coordinates along the axes of the image file, or, where
            ``stated`` says what they are, ``x,y`` or ``x,y,z``; further columns are ignored.
        grid: grid of the image.
        stated: the key ``landmarks`` of ``dataset.yaml``.

    Returns:
        ``(points, dims)``, float64, in voxels; NaN for a point that is not known, whose row is empty or nan.

    Raises:
        DatasetError: if the file is unreadable, has other columns, no known point, or one outside the image.
    """
    space = stated.get("space", "voxel") if stated else ""
    names = _names(path, grid, space)
    rows = _rows(path)
    columns = _columns(path, rows, names)
    points = np.array([_point(path, row, columns, len(rows[0])) for row in rows[1:]]).reshape(-1, len(names))
    if not np.isfinite(points).any():
        msg = f"{path}: has no point; write one per row as {len(names)} numbers under {','.join(names)}, or leave the "
        raise DatasetError(msg + "column 'landmarks' of images.csv empty for none")
    if space == "world":
        found = _from_world(path, points, grid, stated.get("convention", "ras"))
    else:
        turned = space and grid.affine is None and stated.get("file", "xy") == "xy"
        found = grid.turn_points(points[:, ::-1] if turned else points)
    _check_inside(path, points, found, grid, space)
    return np.ascontiguousarray(found)


def _names(path: Path, grid: Grid, space: str) -> str:
    """Return the columns of coordinates that a file must have."""
    if not space:
        return AXES[: len(grid.axes)]
    if space == "voxel":
        return WORLD[: len(grid.axes)]
    if grid.placed is None:
        msg = f"{path}: its image is a picture, which has no place in the world that key 'landmarks' of dataset.yaml "
        raise DatasetError(msg + "speaks of; give voxels, 'space: voxel', or save the image as NIfTI")
    return WORLD[: len(grid.placed) - 1]


def _rows(path: Path) -> list[list[str]]:
    """Return header and points; an empty line within the points is a point that is not known."""
    text = documents.read_text(path, DatasetError)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]
    except csv.Error as error:
        msg = f"{path}: cannot be read as CSV ({plain(error)}); save it as comma-separated text"
        raise DatasetError(msg) from None
    # a line of blanks is an empty one
    rows = [row if len(row) > 1 or any(row) else [] for row in rows]
    while rows and not any(rows[0]):
        del rows[0]
    # editors add empty lines at the end, but no commas
    while rows and not rows[-1]:
        del rows[-1]
    return rows


def _columns(path: Path, rows: Sequence[Sequence[str]], names: str) -> list[int]:
    """Find the columns of coordinates; their names are fixed, because 'x' means column to some and row to others."""
    header = rows[0] if rows else []
    alike = AXES if names[0] == "i" else WORLD
    if [name for name in header if name in tuple(alike)] == list(names):
        return [header.index(name) for name in names]
    wanted = ",".join(names)
    msg = f"{path}: the first line is {shown(','.join(header))}, but {wanted} is needed"
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        msg += "; separate entries by commas, not semicolons or tabs"
    elif names[0] == "i" and header[: len(names)] == list(WORLD[: len(names)]):
        msg += "; rename the axes of the image file like this, in their stored order (i is the row of a picture), or "
        msg += "say with key 'landmarks' of dataset.yaml what x and y are"
    elif names[0] == "x" and header[: len(names)] == list(AXES[: len(names)]):
        msg += " where dataset.yaml has the key 'landmarks'; rename the columns, or remove the key"
    elif names[0] == "i":
        msg += "; name the axes of the image file like this, in their stored order"
    else:
        msg += "; name the columns of coordinates like this"
    raise DatasetError(msg)


def _point(path: Path, row: Sequence[str], columns: Sequence[int], width: int) -> list[float]:
    if len(row) not in (0, width):
        msg = f"{path}: a row has {len(row)} entries but the header has {width}; write one point per row, as "
        raise DatasetError(msg + f"{len(columns)} numbers, and what else the header names")
    entries = [row[column] for column in columns] if row else [""]
    if all(entry.lower() in _MISSING for entry in entries):
        return [np.nan] * len(columns)
    try:
        # Python's numbers may contain underscores, those of other programs may not
        point = [float(entry.replace("_", "?")) for entry in entries]
    except ValueError:
        point = [np.nan]
    if not np.isfinite(point).all():
        msg = f"{path}: has the point {shown(','.join(entries))}; write one point per row as {len(columns)} numbers, "
        raise DatasetError(msg + "or nothing where it is not known")
    return point


def _from_world(path: Path, points: np.ndarray, grid: Grid, convention: str) -> np.ndarray:
    """Convert ``(points, physical)`` in the unit of the image's header to voxels ``(points, dims)``."""
    assert grid.placed is not None
    scale = METRES.get(grid.unit, METRES["mm"]) / METRES["mm"]
    there = points * scale * _SIGNS[convention][: points.shape[1]]
    linear = grid.placed[:-1, :-1]
    found = (there - grid.placed[:-1, -1]) @ np.linalg.pinv(linear).T
    astray = np.linalg.norm(applied(grid.placed, found) - there, axis=1) > np.linalg.norm(linear, axis=0).min()
    if astray.any():
        row = int(np.argmax(astray))
        msg = f"{path}: point {row + 1} at {points[row].tolist()} is not in the plane of its image's slice; "
        raise DatasetError(msg + "correct the point, or empty its row")
    return found


def _outside(found: np.ndarray, grid: Grid) -> np.ndarray:
    """Return which known points are outside of a prepared image."""
    return np.any((found < -REACH) | (found > np.array(grid.placement.shape) - 1 + REACH), axis=1)


def _check_inside(path: Path, points: np.ndarray, found: np.ndarray, grid: Grid, space: str) -> None:
    outside = _outside(found, grid)
    if not outside.any():
        return
    row, other = int(np.argmax(outside)), "" if space == "world" else _other_reading(points, grid)
    msg = f"{path}: point {row + 1} at {points[row].tolist()} is outside its image of {grid.shape} voxels; "
    if space == "world":
        msg += "correct it, or the keys 'landmarks.space' and 'landmarks.convention' of dataset.yaml"
    elif other == "reversed":
        msg += "with the columns exchanged all points are inside, so exchange them: i is the row of a picture"
    elif other:
        msg += "as millimetres all points are inside, so name the columns x,y,z and set "
        msg += f"'landmarks: {{space: world, convention: {other}}}' in dataset.yaml"
    else:
        msg += "give zero-based voxel coordinates, not millimetres, or empty the row of the point"
    raise DatasetError(msg)


def _other_reading(points: np.ndarray, grid: Grid) -> str:
    """Find a way to read voxels by which all would be inside: reversed, or a convention of the world; else empty."""
    dims = len(grid.axes)
    if points.shape[1] == dims and not _outside(grid.turn_points(points[:, ::-1]), grid).any():
        return "reversed"
    for convention, signs in _SIGNS.items():
        if grid.placed is not None and len(grid.placed) - 1 == dims == points.shape[1]:
            linear, origin = grid.placed[:-1, :-1], grid.placed[:-1, -1]
            found = (points * signs[:dims] - origin) @ np.linalg.pinv(linear).T
            if not _outside(found, grid).any():
                return convention
    return ""
