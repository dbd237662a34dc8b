"""Tiny raw datasets for tests: analytic warps of one analytic template, so that fields and landmarks are true."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from likeness.datasets.writing import write_field, write_image, write_labels

IMAGES = {"train": 3, "val": 2, "test": 2}


def template(points: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Give intensity in [0, 1] and label (0 outside, 1 and 2 inside) at points ``(*any, dims)``."""
    place = points / size - 0.5
    inside = (np.abs(place[..., :2]) ** 2).sum(-1) < 0.16
    pattern = np.cos(2 * np.pi * 1.5 * place).prod(-1)
    return np.where(inside, 0.5 + 0.3 * pattern, 0.05), np.where(inside, 1 + (pattern > 0), 0)


def displacement(points: np.ndarray, size: float, phase: np.ndarray, amplitude: float) -> np.ndarray:
    """Give a smooth displacement ``(*any, dims)`` in voxels, ``amplitude`` its largest component."""
    return amplitude * np.sin(2 * np.pi * points / size + phase)


def make_dataset(
    folder: Path,
    dims: int = 2,
    size: int = 32,
    images: Mapping[str, int] = IMAGES,
    *,
    with_label: bool = True,
    with_mask: bool = False,
    with_instances: bool = False,
    with_unmatched: bool = False,
    with_field: bool = False,
    with_landmarks: bool = False,
    amplitude: float = 1.5,
    seed: int = 0,
    **meta: Any,
) -> Path:
    """Write a raw dataset folder: PNG of ``size × size``, or NIfTI of ``size × size × size // 2``.

    Args:
        folder: where; made.
        dims: 2 or 3.
        size: voxels along the first axes.
        images: number of images in each split, with the ids ``train0``, ``train1``, …
        with_label: labels 0 background, 1 and 2; two instances; a mask of the object; a corner as unmatched content.
        with_mask: see above.
        with_instances: see above.
        with_unmatched: see above.
        with_field: true displacements, ``image(x) = template(x + field(x))``.
        with_landmarks: three points of the template, found in each image.
        amplitude: the largest component of each displacement, in voxels.
        seed: of phases and noise.
        meta: keys of ``dataset.yaml`` over the default ones; ``None`` leaves a key out.
    """
    shape = (size, size, size // 2)[:dims]
    spacing = (1.0, 2.0, 3.0)[:dims]
    suffix = "png" if dims == 2 else "nii.gz"
    generator = np.random.default_rng(seed)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).astype(float)
    rows = []
    for name, split in ((f"{split}{i}", split) for split, count in images.items() for i in range(count)):
        phase = generator.uniform(0, 2 * np.pi, dims)
        field = displacement(points, size, phase, amplitude)
        image, label = template(points + field, size)
        maps = {
            "label": (with_label, label),
            "mask": (with_mask, label > 0),
            "instances": (with_instances, np.where(label > 0, 1 + (points[..., 0] > size / 2), 0)),
            "unmatched": (with_unmatched, (points < 4).all(-1)),
        }
        row = {"id": name, "image": f"image/{name}.{suffix}", "split": split}
        write_image(folder / row["image"], image + 0.02 * generator.standard_normal(shape), spacing)
        for part, (_, values) in ((part, m) for part, m in maps.items() if m[0]):
            row[part] = f"{part}/{name}.{suffix}"
            write_labels(folder / row[part], values.astype(np.uint8), spacing)
        if with_field:
            row["field"] = f"field/{name}.npz"
            write_field(folder / row["field"], field)
        if with_landmarks:
            row["landmarks"] = f"landmarks/{name}.csv"
            _write_landmarks(folder / row["landmarks"], shape, size, phase, amplitude)
        rows.append(row)
    pd.DataFrame(rows).to_csv(folder / "images.csv", index=False)
    default = {
        "name": "tiny",
        "description": "A disc with a pattern.",
        "spatial_dims": dims,
        "spacing": list(spacing),
        "spacing_unit": "mm",
        "labels": {0: "background", 1: "dark", 2: "bright"},
        "evaluate": [1, 2],
    }
    write_meta(folder, default | meta)
    return folder


def write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    """Write ``dataset.yaml`` without the keys that are ``None``."""
    text = yaml.safe_dump({key: value for key, value in meta.items() if value is not None}, sort_keys=False)
    (folder / "dataset.yaml").write_text(text)


def edit_table(path: Path, row: int, column: str, entry: object) -> None:
    """Change one entry of a CSV, or add a column."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if column not in table:
        table[column] = ""
    table.loc[row, column] = str(entry)
    table.to_csv(path, index=False)


def _write_landmarks(path: Path, shape: tuple[int, ...], size: int, phase: np.ndarray, amplitude: float) -> None:
    target = np.array([[0.3, 0.5, 0.5], [0.5, 0.6, 0.4], [0.6, 0.4, 0.6]])[:, : len(shape)] * np.array(shape)
    points = target.copy()
    for _ in range(100):
        points = target - displacement(points, size, phase, amplitude)
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(points, columns=list("ijk")[: len(shape)]).to_csv(path, index=False)
