"""Convert a raw dataset folder to the prepared form that all later steps read."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy.ndimage import gaussian_filter

from likeness.data import contents, layout, pairs
from likeness.data.contents import Limits
from likeness.data.degradation import MOVING, Degradation
from likeness.data.layout import RawDataset
from likeness.data.store import INTENSITIES, LARGEST_LABEL, PARTS, PLACEMENT, TOLD, Sample
from likeness.runtime.atomic import atomic_write

QUANTILES = 65
"""Number of quantiles of each image's own intensities that are kept, from the lowest to the highest."""


def prepare(
    folder: str | Path,
    output: str | Path,
    seed: int = 0,
    name: str | None = None,
    most: Mapping[str, int] = MappingProxyType({}),
    presmoothing: float = 0.0,
    degrade: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write the prepared form of a raw dataset, atomically and deterministically.

    Args:
        folder: raw dataset folder, see :mod:`likeness.data.layout`.
        output: folder to write, see :mod:`likeness.data.store`; replaced if it exists.
        seed: seed of the random selection of pairs, see ``max_pairs`` and ``most``.
        name: name of the dataset in the study; by default that of ``dataset.yaml``.
        most: maximum number of pairs by split; by default all.
        presmoothing: standard deviation, in the unit of the spacing, of a Gaussian that smooths every image, which
            reduces the effect of the smoothing by interpolation.
        degrade: degradation of test images, the arguments of :class:`likeness.data.degradation.Degradation`.

    Raises:
        DatasetError: if the raw dataset is invalid.
    """
    raw = layout.check_tables(folder)

    def changed(how: Degradation, image: np.ndarray, id: str) -> np.ndarray:
        if how == Degradation() or raw.images.split[id] != "test":
            return image
        return how.apply(image, raw.meta["spacing"], np.random.default_rng([seed, zlib.crc32(id.encode())]))

    with atomic_write(output) as part:
        (part / "images").mkdir(parents=True)
        shared = _shared_limits(raw)
        drawn = pairs.complete(raw.images, raw.pairs, raw.meta["pairs"], seed, most)
        degradation = Degradation.of(degrade)
        differs = degradation != degradation.alike
        apart = set(drawn.moving[drawn.split == "test"]) if differs else set()
        first: Sample | None = None
        has: set[str] = set()
        points: dict[str, np.ndarray] = {}
        scales: list[dict[str, Any]] = []
        unnamed = contents.Unnamed(raw)
        numbers = _numbers(raw.meta["labels"])
        for id in raw.images.index:
            sample = contents.read(raw, id)
            first = first or sample
            contents.check_alike(raw, first, sample)
            unnamed.see(sample)
            if numbers and sample.label is not None:
                sample = replace(sample, label=_numbered(sample.label, numbers))
            if sample.landmarks is not None:
                points[id] = sample.landmarks
            low, high = shared.get(id) or contents.limits(raw, sample)
            sigma = [presmoothing / size for size in raw.meta["spacing"]]
            scales.append({"id": id, "low": low, "high": high, **_quantiles(sample.image)})
            image = _normalised(sample.image, low, high, sigma)
            has |= _write_sample(part / "images" / f"{id}.npz", sample, changed(degradation.alike, image, id))
            if id in apart:
                _write_sample(part / "images" / f"{id}{MOVING}.npz", sample, changed(degradation, image, id))
        unnamed.refuse()
        contents.check_landmarks(raw, points)
        assert first is not None  # datasets without images are rejected before
        if numbers:
            raw = replace(raw, meta=_named(raw.meta, numbers))
        _write_tables(raw, part, first.image.shape, has, name, presmoothing, degrade, apart)
        if apart:
            drawn.loc[drawn.split == "test", "moving"] += MOVING
        pd.DataFrame(scales).to_csv(part / INTENSITIES, index=False, float_format="%.6g", lineterminator="\n")
        drawn.to_csv(part / "pairs.csv", index=False, lineterminator="\n")


def _shared_limits(raw: RawDataset) -> dict[str, Limits]:
    """Find the common intensity limits of images that share a scale; empty if each has its own."""
    column = raw.meta["intensity"].get("shared_by")
    if column is None:
        return {}
    shared: dict[str, Limits] = {}
    for entry, members in raw.images.groupby(column, sort=False):
        if entry != "":
            own = [contents.limits(raw, contents.read(raw, id)) for id in members.index]
            shared |= dict.fromkeys(members.index, (min(low for low, _ in own), max(high for _, high in own)))
    return shared


def _numbers(labels: Mapping[int, str]) -> dict[int, int]:
    """Number label values anew in ascending order if one is too large to be stored; otherwise empty."""
    large = max(labels, default=0) > LARGEST_LABEL
    return {value: number for number, value in enumerate(sorted(labels))} if large else {}


def _numbered(label: np.ndarray, numbers: Mapping[int, int]) -> np.ndarray:
    """Replace the values of a label map, of which each has a number unless the map is refused afterwards."""
    return np.searchsorted(np.array(sorted(numbers)), label)


def _named(meta: Mapping[str, Any], numbers: Mapping[int, int]) -> dict[str, Any]:
    """Return a description of a dataset in which labels have their new numbers."""
    background = meta["background"]
    return {
        **meta,
        "labels": {number: meta["labels"][value] for value, number in numbers.items()},
        "evaluate": [numbers[value] for value in meta["evaluate"]],
        "kinds": {kind: [numbers[value] for value in values] for kind, values in meta["kinds"].items()},
        # a background that no map has must not become the number of a structure
        "background": None if background is None else numbers.get(background, LARGEST_LABEL),
    }


def _quantiles(image: np.ndarray) -> dict[str, float]:
    """Describe intensities by equally spaced quantiles."""
    levels = np.linspace(0, 1, QUANTILES)
    return {f"q{level:g}": float(value) for level, value in zip(levels, np.quantile(image, levels), strict=True)}


def _normalised(image: np.ndarray, low: float, high: float, sigma: Sequence[float]) -> np.ndarray:
    """Map intensities to [0, 1], and smooth by ``sigma`` voxels per axis."""
    mapped = np.clip((image - np.float32(low)) / np.float32(high - low), 0, 1)
    return gaussian_filter(mapped, sigma, mode="nearest") if any(sigma) else mapped


def _write_sample(path: Path, sample: Sample, image: np.ndarray) -> set[str]:
    """Write one archive with an image in place of that of the sample, and return the names of its parts."""
    parts: dict[str, Any] = {part: getattr(sample, part) for part in PARTS if getattr(sample, part) is not None}
    parts["image"] = image
    typed = {part: array.astype(PARTS[part]) for part, array in parts.items()}
    there = {name: getattr(sample.placement, name) for name in PLACEMENT}
    placed = {name: array for name, array in there.items() if array is not None}
    np.savez(path, allow_pickle=False, **typed, **placed)
    return set(parts)


def _write_tables(
    raw: RawDataset,
    part: Path,
    shape: tuple[int, ...],
    has: set[str],
    name: str | None,
    presmoothing: float,
    degrade: Mapping[str, Any],
    apart: Collection[str],
) -> None:
    meta = {
        **raw.meta,
        "name": name or raw.meta["name"],
        "shape": list(shape),
        "presmoothing": presmoothing,
        "degrade": dict(degrade),
        "has": [name for name in PARTS if name in has],
        "axes": "xyz" if raw.images.image.iloc[0].lower().endswith((".nii", ".nii.gz")) else "ij",
    }
    (part / "dataset.yaml").write_text(yaml.safe_dump(meta, sort_keys=True, allow_unicode=True), encoding="utf-8")
    images = raw.images.drop(columns=[c for c in layout.FILES if c in raw.images])
    for column in TOLD:
        if column not in images:
            images[column] = ""
    if apart:
        moving = images[images.index.isin(apart)]
        # the same subject still
        subjects = moving.subject.where(moving.subject != "", moving.index)
        images = pd.concat([images, moving.assign(subject=subjects).rename(lambda id: f"{id}{MOVING}")])
        images.loc[list(subjects.index), "subject"] = subjects
    images.to_csv(part / "images.csv", lineterminator="\n")
