"""What the viewer of the page shows: images once, and displacements as small integers on a coarse grid.

The browser interpolates the displacements and warps the moving image itself, so that a pair with many losses and λ
takes as much room as a few pictures. Of a volume the page carries the whole moving image, and the fixed image and the
displacements on the slice that the figures show.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import map_coordinates

from likeness.data.store import Dataset
from likeness.evaluation.pair import PrimaryScorer
from likeness.figures.slices import shortest_axis
from likeness.report.ranking import identity
from likeness.results import TRUTH, Run

STRIDES = (4, 3, 2, 1)
"""Distances of the coarse grid in voxels, of which the first that is accurate enough is taken."""
ACCURATE = 0.1
"""Error in voxels that 99 of 100 interpolated displacements may have."""
STEPS = 127
"""Largest integer of a displacement."""
Sampled = Sequence[tuple[Run, str, Path]]
"""Runs with their names and archives of fields."""


def carried(dataset: Dataset, samples: Sampled) -> dict[str, Any] | None:
    """Return the pair that the samples of a dataset have in common, as plain types; ``None`` without samples.

    Args:
        dataset: prepared dataset.
        samples: run, its name, and its archive as :func:`likeness.evaluation.table.sample` makes it.
    """
    opened = [(run, name, _opened(path)) for run, name, path in samples]
    if not opened:
        return None
    pair = opened[0][2]["moving"], opened[0][2]["fixed"]
    moving, fixed = dataset.load(str(pair[0])), dataset.load(str(pair[1]))
    cut = shortest_axis(dataset) if dataset.spatial_dims == 3 else None
    there = [(run, name, archive) for run, name, archive in opened if (archive["moving"], archive["fixed"]) == pair]
    fields = []
    flat = [_slice(field, cut) for _, _, archive in there for field in archive["displacements"]]
    truth = PrimaryScorer(dataset, moving, fixed).true_field
    if truth is not None:
        flat.append(_slice(truth, cut))
    stride = next((one for one in STRIDES if all(error(field, one) <= ACCURATE for field in flat)), STRIDES[-1])
    for run, name, archive in there:
        for lam, field in zip(archive["lams"].tolist(), archive["displacements"], strict=True):
            told = {"id": identity(run.method, name), "lam": None if np.isnan(lam) else lam}
            fields.append(told | coded(_slice(field, cut), stride))
    if truth is not None:
        fields.append({"id": TRUTH, "lam": None} | coded(_slice(truth, cut), stride))
    labelled = moving.label is not None and fixed.label is not None
    return {
        "dataset": dataset.name,
        "moving": str(pair[0]),
        "fixed": str(pair[1]),
        "shape": list(dataset.shape),
        "cut": cut,
        "axes": dataset.axes,
        "place": None if cut is None else dataset.shape[cut] // 2,
        "spacing": list(dataset.spacing),
        "unit": dataset.spacing_unit.replace("um", "µm"),
        "stride": stride,
        "image": packed(_grey(moving.image)),
        "target": packed(_grey(_slice(fixed.image, cut))),
        "labels": packed(_ids(moving.label)) if labelled else None,
        "outlines": packed(_ids(_slice(fixed.label, cut))) if labelled else None,
        "fields": fields,
    }


def _opened(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        found = {key: archive[key] for key in ("lams", "displacements")}
        return {**found, "moving": str(archive["moving"]), "fixed": str(archive["fixed"])}


def _slice(array: Any, cut: int | None) -> np.ndarray:
    return np.asarray(array if cut is None else np.take(array, array.shape[cut] // 2, axis=cut))


def _grey(image: np.ndarray) -> np.ndarray:
    return np.round(255 * image.clip(0, 1)).astype(np.uint8)


def _ids(label: Any) -> np.ndarray:
    """Return a label map as bytes: outlines need to know where labels differ, not what they are called."""
    return (np.asarray(label).astype(np.int64) % 256).astype(np.uint8)


def packed(array: np.ndarray) -> str:
    """Return the bytes of an array, compressed, as text."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 9)).decode()


def coarse(field: np.ndarray, stride: int) -> np.ndarray:
    """Sample a field ``(rows, columns, dims)`` on a coarse grid that reaches its last row and column."""
    return np.asarray(field[np.ix_(*(_nodes(size, stride) for size in field.shape[:2]))])


def _nodes(size: int, stride: int) -> np.ndarray:
    """Return the voxels of the coarse grid along an axis, whose last interval may be shorter."""
    return np.minimum(np.arange(0, size + stride - 1, stride), size - 1)


def coded(field: np.ndarray, stride: int) -> dict[str, Any]:
    """Return a field as integers on the coarse grid: ``step`` in voxels, ``grid`` and the bytes, ``values``."""
    found = coarse(field, stride)
    step = float(np.abs(found).max()) / STEPS or 1.0
    return {"step": step, "grid": list(found.shape[:2]), "values": packed(np.round(found / step).astype(np.int8))}


def error(field: np.ndarray, stride: int) -> float:
    """Return the error, in voxels, that 99 of 100 displacements of a field have at most after coding and decoding."""
    found = coarse(field, stride)
    step = float(np.abs(found).max()) / STEPS or 1.0
    integers = np.round(found / step) * step
    nodes = [_nodes(size, stride) for size in field.shape[:2]]
    places = [np.interp(np.arange(size), at, np.arange(len(at))) for size, at in zip(field.shape, nodes, strict=False)]
    where = np.meshgrid(*places, indexing="ij")
    parts = range(field.shape[-1])
    again = np.stack([map_coordinates(integers[..., part], where, order=1) for part in parts], axis=-1)
    return float(np.quantile(np.linalg.norm(again - field, axis=-1), 0.99))
