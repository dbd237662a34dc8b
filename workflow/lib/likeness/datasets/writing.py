"""Write the raw dataset folder of a built-in dataset, in the layout of user datasets.

The bytes depend on the content only: files contain no time, path or machine name.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from likeness.imageio import displacement as archive

FOLDERS = {"image": "images", "label": "labels", "mask": "masks", "unmatched": "unmatched", "field": "fields"}
"""Subfolder of each part in the dataset's folder."""


def write_sample(folder: Path, id: str, spacing: Sequence[float], **parts: np.ndarray) -> dict[str, str]:
    """Write an image and its parts, as PNG in 2D and NIfTI in 3D.

    Args:
        folder: folder of the dataset.
        id: id of the image.
        spacing: voxel size along each axis.
        parts: parts as in :data:`FOLDERS`; ``image`` in [0, 1], ``field`` ``(*spatial, dims)`` in voxels, others
            labels.

    Returns:
        The id and files of the image's row in ``images.csv``.
    """
    suffix = ".png" if parts["image"].ndim == 2 else ".nii.gz"
    row = {"id": id}
    for part, array in parts.items():
        row[part] = f"{FOLDERS[part]}/{id}{'.npz' if part == 'field' else suffix}"
        if part == "field":
            write_field(folder / row[part], array)
        elif part == "image":
            write_image(folder / row[part], array, spacing)
        else:
            write_labels(folder / row[part], array, spacing)
    return row


def write_image(path: Path, image: np.ndarray, spacing: Sequence[float]) -> None:
    """Write intensities in [0, 1], clipped, as 16-bit integers scaled to 65535.

    Args:
        path: ends in ``.png`` (2D) or ``.nii.gz`` (3D, canonical orientation).
        image: ``(*spatial)``.
        spacing: voxel size along each axis; not stored in PNG.
    """
    _write(path, np.round(np.clip(image, 0, 1) * 65535).astype(np.uint16), spacing)


def write_labels(path: Path, labels: np.ndarray, spacing: Sequence[float]) -> None:
    """Write a label map or mask as 8-bit integers, or as 16-bit integers if an id exceeds 255.

    Raises:
        ValueError: if an id is negative or exceeds 65535.
    """
    if labels.min() < 0 or labels.max() > 65535:
        msg = f"{path}: label ids from {labels.min()} to {labels.max()} do not fit: use ids from 0 to 65535"
        raise ValueError(msg)
    _write(path, labels.astype(np.uint8 if labels.max() < 256 else np.uint16), spacing)


def write_field(path: Path, displacement: np.ndarray) -> None:
    """Write a true displacement ``(*spatial, dims)`` in voxels as ``.npz`` with the key ``displacement``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    archive.save(path, displacement, compressed=False)


def write_tables(folder: Path, meta: dict[str, Any], images: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> None:
    """Write ``dataset.yaml``, ``images.csv`` and ``pairs.csv``; missing entries of images stay empty."""
    text = yaml.safe_dump(meta, sort_keys=False, allow_unicode=True, width=110)
    (folder / "dataset.yaml").write_text(text, encoding="utf-8")
    pd.DataFrame(images).to_csv(folder / "images.csv", index=False, lineterminator="\n")
    pd.DataFrame(pairs, columns=["split", "moving", "fixed"]).to_csv(
        folder / "pairs.csv", index=False, lineterminator="\n"
    )


def _write(path: Path, array: np.ndarray, spacing: Sequence[float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        from PIL import Image

        Image.fromarray(array).save(path)
        return
    import nibabel

    image = nibabel.Nifti1Image(array, np.diag([*map(float, spacing), 1.0]))
    # nibabel would write the time into the gzip header
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=3, mtime=0))
