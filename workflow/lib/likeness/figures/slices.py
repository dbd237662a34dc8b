"""The displayed slice of an image, and its orientation."""

from __future__ import annotations

import numpy as np

from likeness.data.store import Dataset

MOVING, FIXED = np.array([0.90, 0.45, 0.05]), np.array([0.10, 0.55, 0.95])
"""Colours of the two images of a pair, which add up to white, so that an overlay is grey where both agree."""


def as_picture(dataset: Dataset, array: np.ndarray) -> np.ndarray:
    """Extract the displayed slice from ``(*spatial, …)``, oriented for display with the first row at the top.

    For a volume it is the middle slice across its shortest axis, the last one if several are shortest. Canonical NIfTI
    axes are shown with the second remaining axis upwards, as in neurological orientation.
    """
    if dataset.spatial_dims == 3:
        axis = shortest_axis(dataset)
        array = np.take(array, dataset.shape[axis] // 2, axis=axis)
    return array if dataset.axes == "ij" else np.swapaxes(array, 0, 1)[::-1]


def shortest_axis(dataset: Dataset) -> int:
    """Return the axis across which a volume is cut: its shortest, the last in a tie, so that heads are cut axially."""
    return max(axis for axis, size in enumerate(dataset.shape) if size == min(dataset.shape))


def shown_axes(dataset: Dataset) -> tuple[int, int]:
    """Return the two image axes that :func:`as_picture` shows, in their order in the image."""
    cut = shortest_axis(dataset) if dataset.spatial_dims == 3 else None
    first, second = (axis for axis in range(dataset.spatial_dims) if axis != cut)
    return first, second


def pixel(dataset: Dataset) -> tuple[float, float]:
    """Return the height and width of a pixel of :func:`as_picture`, in the dataset's unit."""
    first, second = (dataset.spacing[axis] for axis in shown_axes(dataset))
    return (first, second) if dataset.axes == "ij" else (second, first)


def extent(dataset: Dataset) -> tuple[float, float]:
    """Return the height and width of :func:`as_picture`, in the dataset's unit."""
    rows, columns = as_picture(dataset, np.empty(dataset.shape, dtype=bool)).shape
    return rows * pixel(dataset)[0], columns * pixel(dataset)[1]
