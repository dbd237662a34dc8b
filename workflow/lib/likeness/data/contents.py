"""Read and validate the files of a raw dataset: images, label maps, masks, fields and landmarks."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from likeness.data import landmarks, layout
from likeness.data.layout import RawDataset
from likeness.data.store import Sample
from likeness.imageio import images
from likeness.imageio.placement import Placement
from likeness.runtime.atomic import write_json
from likeness.runtime.provenance import code_digest, digest
from likeness.userinput.errors import DatasetError, Faults

SPACING_TOLERANCE = 0.01
"""Relative difference between a header's spacing and that of ``dataset.yaml`` that is accepted as rounding."""

FEWEST_VOXELS = 5
"""Minimum size along each axis: after two strided convolutions, normalisation still needs more than one voxel."""

LARGEST_INTENSITY = 1e30
"""Limit above which sums and squares in single precision overflow."""

COARSEST = 1e-3
"""Largest step between numbers in single precision, as a share of an image's range: finer than 8 bits."""

MOST_LISTED = 1000
"""Most label values that are listed in a message; they are told together, to be copied."""

NEARLY = 1e-3
"""Difference from a whole number, as a scale factor of NIfTI makes it, that a label may have."""

Limits = tuple[float, float]
"""The intensities that are mapped to 0 and 1."""


class Observer(Protocol):
    """Sees the images of a dataset as they are read, to remark on those that are valid."""

    def see(self, sample: Sample) -> None:
        """Note what is remarkable of one image."""

    def lines(self) -> list[str]:
        """Return the remarks, a sentence each."""


def check(folder: str | Path) -> RawDataset:
    """Validate a raw dataset folder completely, tables and images.

    Raises:
        DatasetError: with all problems of the tables or, if there are none, of the images.
    """
    raw = layout.check_tables(folder)
    _check_files(raw)
    return raw


def _check_files(raw: RawDataset, observer: Observer | None = None) -> None:
    """Read and validate every file of a dataset.

    Raises:
        DatasetError: with all problems, those that several files share as one.
    """
    faults, unnamed = Faults(DatasetError), Unnamed(raw)
    first: Sample | None = None
    points: dict[str, np.ndarray] = {}
    owners: dict[str, str] = {}
    for id in raw.images.index:
        with faults:
            sample = read(raw, id)
            first = first or sample
            unnamed.see(sample)
            if sample.landmarks is not None:
                points[id] = sample.landmarks
            check_alike(raw, first, sample)
            _check_new(raw, sample, owners)
            limits(raw, sample)
            if observer:
                observer.see(sample)
    faults.lines = dict.fromkeys(_merged(faults.lines))
    with faults:
        unnamed.refuse()
    with faults:
        check_landmarks(raw, points)
    faults.refuse()


def _merged(lines: Iterable[str]) -> list[str]:
    """Join lines that say the same of several files."""
    files: dict[str, list[str]] = {}
    for line in lines:
        file, _, said = line.partition(": ")
        files.setdefault(said, []).append(file)
    return [
        f"{first}: {said}{f' ({len(others)} more of its files alike)' * bool(others)}"
        for said, (first, *others) in files.items()
    ]


def check_images(folder: str | Path, cache: Path, observe: Callable[[RawDataset], Observer] | None = None) -> list[str]:
    """Validate tables and images, unless nothing has changed since the last successful check.

    Args:
        folder: raw dataset folder.
        cache: JSON file of successful checks and their remarks, shared by all datasets; recreated if it is missing or
            invalid. An entry is valid for the tables' content, the path, size and modification time of every file they
            name, and the code of the check.
        observe: makes what remarks on the images; by default nothing does.

    Returns:
        The remarks, a sentence each.

    Raises:
        DatasetError: with all problems of the tables or, if there are none, of the images.
    """
    raw = layout.check_tables(folder)
    key = str(raw.folder.resolve())
    verdicts = _verdicts(cache)
    code = [code_digest(Path(inspect.getfile(part))) for part in (check, observe) if part]
    state = digest(layout.digest_of(raw), *code)
    match verdicts.get(key):
        case {"state": known, "remarks": [*remarks]} if known == state:
            return [str(remark) for remark in remarks]
    observer = observe(raw) if observe else None
    _check_files(raw, observer)
    remarks = observer.lines() if observer else []
    # without the cache, the check is only repeated
    with suppress(OSError):
        write_json(cache, verdicts | {key: {"state": state, "remarks": remarks}})
    return remarks


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
    _check_spacing(raw, path, grid)
    image = _intensities(path, stored)
    parts: dict[str, np.ndarray] = {}
    contradictions = {"image": grid.contradiction} if grid.contradiction else {}
    for part in ("label", "instances", "mask", "unmatched"):
        if (file := raw.file(id, part)) is not None:
            parts[part], own = _read_map(raw, file, part, grid, image.shape)
            contradictions |= {part: own.contradiction} if own.contradiction else {}
    if (file := raw.file(id, "field")) is not None:
        parts["field"] = images.read_field(file, grid, _space(raw, id, grid))
        _check_shape(file, parts["field"].shape[:-1], image.shape)
    if (file := raw.file(id, "landmarks")) is not None:
        parts["landmarks"] = landmarks.read(file, grid, raw.meta["landmarks"])
    return Sample(id, image, **parts, placement=grid.placement, contradictions=contradictions)


def _space(raw: RawDataset, id: str, grid: images.Grid) -> Placement:
    """Return the voxels that count the space to which the fields of an image's group lead: those of its first image."""
    table = raw.images
    mates = table.index[(table.group == table.group[id]) if "group" in table else slice(None)]
    first = next(mate for mate in mates if table.field[mate])
    if first == id:
        return grid.placement
    return images.read_grid(cast(Path, raw.file(first, "image")), raw.meta["spatial_dims"]).placement


def check_alike(raw: RawDataset, first: Sample, sample: Sample) -> None:
    """Check that two images of a dataset agree where all must.

    Raises:
        DatasetError: if the images differ in shape.
    """
    if sample.image.shape != first.image.shape:
        msg = f"{raw.file(sample.name, 'image')}: has the shape {sample.image.shape}, but '{first.name}' has "
        msg += f"{first.image.shape}; resample, crop or pad all images of the dataset to one grid"
        raise DatasetError(msg)


def _check_new(raw: RawDataset, sample: Sample, owners: dict[str, str]) -> None:
    """Check that no other image has the same content, by which the splits would depend on each other."""
    content = hashlib.sha256(sample.image.tobytes()).hexdigest()
    other = owners.setdefault(content, sample.name)
    if other != sample.name and not raw.meta["within_subject"]:
        msg = f"{raw.file(sample.name, 'image')}: has the content of {raw.file(other, 'image')}; remove the row of one "
        raise DatasetError(msg + "from images.csv, or set 'within_subject: true' in dataset.yaml if that is meant")


def check_landmarks(raw: RawDataset, points: Mapping[str, np.ndarray]) -> None:
    """Check that the landmarks of scored pairs correspond.

    Args:
        raw: the dataset's tables.
        points: landmarks ``(points, dims)`` by image, NaN where one is not known.

    Raises:
        DatasetError: with a line for every two images whose landmarks differ in number or have none in common.
    """
    faults, seen = Faults(DatasetError), set()
    for split in ("val", "test"):
        for moving, fixed in layout.candidates(raw, split) if (raw.images.split == split).any() else ():
            if not {moving, fixed} <= set(points) or frozenset((moving, fixed)) in seen:
                continue
            seen.add(frozenset((moving, fixed)))
            one, other = points[moving], points[fixed]
            with faults:
                if len(one) != len(other):
                    msg = f"has {len(one)} points, but '{fixed}', to which it is registered, has {len(other)}"
                elif not (np.isfinite(one) & np.isfinite(other)).all(axis=1).any():
                    msg = f"has no point that is known in '{fixed}', to which it is registered, too"
                else:
                    continue
                msg = f"{raw.file(moving, 'landmarks')}: {msg}; give both the same rows, empty where a point is not "
                raise DatasetError(msg + "known")
    faults.refuse()


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
    if max(-lowest, highest) * float(np.finfo(np.float32).eps) > COARSEST * (highest - lowest):
        msg = f"{path}: has values from {lowest:.10g} to {highest:.10g}, which single precision cannot tell apart; "
        raise DatasetError(msg + "subtract the lowest from all")
    return image


def _check_spacing(raw: RawDataset, path: Path, grid: images.Grid) -> None:
    told, unit = raw.meta["spacing"], raw.meta["spacing_unit"]
    # most programs write mm, whatever the unit is; who wrote another one meant it
    ways = [grid.spacing_in(unit), *([grid.spacing] if grid.unit in ("unknown", "mm") else [])]
    if any(s is None or np.allclose(s, told, SPACING_TOLERANCE, 0) for s in ways):
        return
    header = " × ".join(f"{s:.4g}" for s in cast(tuple[float, ...], grid.spacing))
    msg = f"{path}: its header has the spacing {header}{'' if grid.unit == 'unknown' else f' {grid.unit}'}"
    msg += f" (x, y, z), but key 'spacing' of dataset.yaml is {' × '.join(f'{s:.4g}' for s in told)} {unit}"
    raise DatasetError(msg + "; correct one of them, or resample the image")


def _check_shape(path: Path, shape: tuple[int, ...], image: tuple[int, ...]) -> None:
    if shape != image:
        msg = f"{path}: has the shape {shape}, but its image has {image}; resample it to the grid of the image"
        raise DatasetError(msg)


def _read_map(
    raw: RawDataset, path: Path, part: str, image: images.Grid, shape: tuple[int, ...]
) -> tuple[np.ndarray, images.Grid]:
    stored, grid = images.read(path, raw.meta["spatial_dims"], palette=True)
    _check_shape(path, stored.shape, shape)
    images.check_same_place(path, grid, image)
    if part in ("mask", "unmatched"):
        values = np.ascontiguousarray(stored != 0)
        if not np.isfinite(stored).all() or (part == "mask" and not values.any()):
            msg = f"{path}: the {part} is empty or has non-finite values; leave the column empty for none"
            raise DatasetError(msg)
        return values, grid
    whole = np.round(stored) if stored.dtype.kind == "f" else stored
    if not np.isfinite(stored).all() or (whole is not stored and np.abs(stored - whole).max() > NEARLY):
        msg = f"{path}: has values that are not integers; save the map without interpolation"
        raise DatasetError(msg)
    # large label values are numbered anew when they are stored
    most = np.iinfo(np.int32).max
    if whole.min() < 0 or whole.max() > most:
        msg = f"{path}: has values from {whole.min():.0f} to {whole.max():.0f}; number them from 0 to {most}"
        raise DatasetError(msg)
    values = np.ascontiguousarray(whole, dtype=np.int32)
    if part == "label" and (values == raw.meta["background"]).all():
        msg = f"{path}: the label map is all background ({values.flat[0]}); leave the column 'label' empty for none"
        raise DatasetError(msg)
    return values, grid


class Unnamed:
    """Collects label values that ``dataset.yaml`` does not name, over all label maps.

    Args:
        raw: the dataset's tables.
    """

    def __init__(self, raw: RawDataset) -> None:
        self.raw = raw
        self._first: dict[int, Path] = {}

    def see(self, sample: Sample) -> None:
        """Note the values of one label map."""
        if sample.label is None:
            return
        path = cast(Path, self.raw.file(sample.name, "label"))
        for value in map(int, np.unique(sample.label)):
            if value not in self.raw.meta["labels"]:
                self._first.setdefault(value, path)

    def refuse(self) -> None:
        """Refuse the values that were seen.

        Raises:
            DatasetError: with a line for every map that is the first with such values.
        """
        faults = Faults(DatasetError)
        for path in dict.fromkeys(self._first.values()):
            values = sorted(value for value, first in self._first.items() if first == path)
            with faults:
                msg = f"{path}: has the label value {values[0]}, which key 'labels' of dataset.yaml does not name; "
                msg += "add it there or correct the map"
                if len(values) > 1:
                    msg = f"{path}: has {len(values)} label values, {', '.join(map(str, values[:MOST_LISTED]))}"
                    msg += ", …" if len(values) > MOST_LISTED else ""
                    msg += ", which key 'labels' of dataset.yaml does not name; add them there or correct the map"
                raise DatasetError(msg)
        faults.refuse()
