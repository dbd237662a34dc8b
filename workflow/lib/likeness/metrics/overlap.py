"""Overlap of label maps: Dice.

Dice, Measures of the Amount of Ecologic Association Between Species, Ecology 1945, doi:10.2307/1932409.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def dice(a: np.ndarray, b: np.ndarray, labels: Sequence[int] | np.ndarray) -> np.ndarray:
    """Dice coefficient of each label.

    Args:
        a: label map, ``(*spatial)``, integers; negative values belong to no label.
        b: label map on the same grid.
        labels: label ids, non-negative.

    Returns:
        ``(labels)``, in [0, 1]; NaN for a label in neither map, 0 for a label in only one of them.

    Raises:
        ValueError: if the maps differ in shape or a label is negative.
    """
    if a.shape != b.shape:
        msg = f"dice: label maps of different shapes, {a.shape} and {b.shape}; warp one to the grid of the other"
        raise ValueError(msg)
    ids = np.asarray(labels, dtype=np.int64)
    if (ids < 0).any():
        msg = f"dice: labels {ids[ids < 0].tolist()} are negative; label ids start at 0"
        raise ValueError(msg)
    size = int(ids.max(initial=0)) + 1
    total = _count(a, size)[ids] + _count(b, size)[ids]
    shared = _count(a[a == b], size)[ids]
    return np.divide(2.0 * shared, total, out=np.full(len(ids), np.nan), where=total > 0)


def _count(values: np.ndarray, size: int) -> np.ndarray:
    """Count the voxels of each label below ``size``."""
    return np.bincount(values[(values >= 0) & (values < size)], minlength=size)


def common(a: np.ndarray, b: np.ndarray, labels: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return which labels both maps have, ``(labels)``, bool; the maps can be on different grids."""
    return np.isin(labels, a) & np.isin(labels, b)


def dice_instance(fixed: np.ndarray, moved: np.ndarray, moving: np.ndarray) -> float:
    """Mean Dice coefficient of corresponding instances, over the instances that both images have before warping.

    Args:
        fixed: instance ids of the fixed image, ``(*spatial)``; 0 is background.
        moved: instance ids of the moving image, warped to the fixed grid.
        moving: instance ids of the moving image before warping.

    Returns:
        Mean in [0, 1]; NaN if the images share no instance. Instances that vanish by warping count as 0.
    """
    ids = np.intersect1d(fixed, moving)
    ids = ids[ids > 0]
    if not len(ids):
        return float("nan")
    return float(dice(_rank(fixed, ids), _rank(moved, ids), np.arange(len(ids))).mean())


def _rank(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Replace ids, which may be huge, by their rank among the sorted ``ids``, or -1."""
    place = np.searchsorted(ids, values).clip(max=len(ids) - 1)
    return np.where(ids[place] == values, place, -1)
