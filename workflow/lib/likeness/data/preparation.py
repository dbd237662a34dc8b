"""Convert a raw dataset folder to the prepared form that all later steps read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml
from scipy.ndimage import gaussian_filter

from likeness.data import contents, layout, pairs
from likeness.data.contents import Limits
from likeness.data.layout import RawDataset
from likeness.data.store import PARTS, PLACEMENT, TOLD, Sample
from likeness.runtime.atomic import atomic_write


def prepare(
    folder: str | Path,
    output: str | Path,
    seed: int = 0,
    name: str | None = None,
    most: Mapping[str, int] = MappingProxyType({}),
    presmoothing: float = 0.0,
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

    Raises:
        DatasetError: if the raw dataset is invalid.
    """
    raw = layout.check_tables(folder)
    with atomic_write(output) as part:
        (part / "images").mkdir(parents=True)
        shared = _shared_limits(raw)
        first: Sample | None = None
        has: set[str] = set()
        points: dict[str, np.ndarray] = {}
        unnamed = contents.Unnamed(raw)
        for id in raw.images.index:
            sample = contents.read(raw, id)
            first = first or sample
            contents.check_alike(raw, first, sample)
            unnamed.see(sample)
            if sample.landmarks is not None:
                points[id] = sample.landmarks
            low, high = shared.get(id) or contents.limits(raw, sample)
            sigma = [presmoothing / size for size in raw.meta["spacing"]]
            has |= _write_sample(part / "images" / f"{id}.npz", sample, low, high, sigma)
        unnamed.refuse()
        contents.check_landmarks(raw, points)
        assert first is not None  # datasets without images are rejected before
        _write_tables(raw, part, first.image.shape, has, name, presmoothing)
        drawn = pairs.complete(raw.images, raw.pairs, raw.meta["pairs"], seed, most)
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


def _write_sample(path: Path, sample: Sample, low: float, high: float, sigma: Sequence[float]) -> set[str]:
    """Write one archive, its image smoothed by ``sigma`` voxels per axis, and return the names of its parts."""
    parts: dict[str, Any] = {part: getattr(sample, part) for part in PARTS if getattr(sample, part) is not None}
    image = np.clip((sample.image - np.float32(low)) / np.float32(high - low), 0, 1)
    parts["image"] = gaussian_filter(image, sigma, mode="nearest") if any(sigma) else image
    typed = {part: array.astype(PARTS[part]) for part, array in parts.items()}
    there = {name: getattr(sample.placement, name) for name in PLACEMENT}
    placed = {name: array for name, array in there.items() if array is not None}
    np.savez(path, allow_pickle=False, **typed, **placed)
    return set(parts)


def _write_tables(
    raw: RawDataset, part: Path, shape: tuple[int, ...], has: set[str], name: str | None, presmoothing: float
) -> None:
    meta = {
        **raw.meta,
        "name": name or raw.meta["name"],
        "shape": list(shape),
        "presmoothing": presmoothing,
        "has": [name for name in PARTS if name in has],
        "axes": "xyz" if raw.images.image.iloc[0].lower().endswith((".nii", ".nii.gz")) else "ij",
    }
    (part / "dataset.yaml").write_text(yaml.safe_dump(meta, sort_keys=True, allow_unicode=True), encoding="utf-8")
    images = raw.images.drop(columns=[c for c in layout.FILES if c in raw.images])
    for column in TOLD:
        if column not in images:
            images[column] = ""
    images.to_csv(part / "images.csv", lineterminator="\n")
