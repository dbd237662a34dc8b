"""Where the voxels of a prepared image lie in the world, and where they were in the array of its file.

Preparing turns an image to the closest canonical orientation, after which its array says neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

METRES = {"m": 1.0, "meter": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "micron": 1e-6, "nm": 1e-9}
"""Units of length, by what headers and users call them."""


@dataclass(frozen=True)
class Placement:
    """How the voxels of a prepared image lie.

    Attributes:
        shape: of the prepared array.
        stored: ``(dims + 1, dims + 1)``, from homogeneous voxel coordinates of the array in the file to those of the
            prepared one: a signed permutation with offsets, the identity for a picture. Axes of one voxel that the
            dataset does not have are left out.
        affine: ``(physical + 1, dims + 1)``, from homogeneous voxel coordinates of the prepared array to millimetres, x
            to the right, y anterior, z superior; ``None`` for a picture, which lies nowhere. A file of two axes has two
            physical ones, a volume of one slice three.
    """

    shape: tuple[int, ...]
    stored: np.ndarray
    affine: np.ndarray | None = None

    @property
    def dims(self) -> int:
        """The number of spatial axes."""
        return len(self.shape)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape of the array in the file."""
        return tuple(self.shape[int(np.argmax(np.abs(column)))] for column in self.stored[:-1, :-1].T)


def in_millimetres(affine: np.ndarray, unit: str) -> np.ndarray:
    """Give an affine ``(4, 4)`` in millimetres, which are what an unknown unit is taken for."""
    scaled = affine.astype(np.float64)
    scaled[:-1] *= METRES.get(unit, 1e-3) / 1e-3
    return scaled


def turn(array: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn ``(*from, …)`` into ``(*to, …)`` by a signed permutation of voxel coordinates; further axes stay behind."""
    return reorder(array, *_parts(matrix))


def reorder(array: np.ndarray, axes: Sequence[int], flips: Sequence[bool]) -> np.ndarray:
    """Turn axes round and give every one its new place, ``axes[i]`` that of axis ``i``; further axes stay behind."""
    turned = np.flip(array, tuple(i for i, flip in enumerate(flips) if flip))
    return np.transpose(turned, (*np.argsort(axes), *range(len(axes), array.ndim)))


def turn_back(array: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Undo :func:`turn`."""
    axes, flips = _parts(matrix)
    turned = np.transpose(array, (*axes, *range(len(axes), array.ndim)))
    return np.flip(turned, tuple(i for i, flip in enumerate(flips) if flip))


def points(shape: tuple[int, ...]) -> np.ndarray:
    """Give the coordinates of all voxels, ``(*shape, dims)`` float64."""
    return np.moveaxis(np.indices(shape, dtype=np.float64), 0, -1)


def applied(matrix: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Map coordinates ``(…, n)`` by a homogeneous matrix ``(m + 1, n + 1)``."""
    return coordinates @ matrix[:-1, :-1].T + matrix[:-1, -1]


def _parts(matrix: np.ndarray) -> tuple[list[int], list[bool]]:
    """Give of every axis which one it becomes, and whether it is turned round."""
    columns = matrix[:-1, :-1].T
    axes = [int(np.argmax(np.abs(column))) for column in columns]
    return axes, [bool(column[axis] < 0) for axis, column in zip(axes, columns, strict=True)]
