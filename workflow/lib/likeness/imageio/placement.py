"""Location of the voxels of a prepared image in space and in the array of its file.

Preparation reorients images to the closest canonical orientation, so the array alone does not contain this information.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

METRES = {"m": 1.0, "meter": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "micron": 1e-6, "nm": 1e-9}
"""Units of length in metres, by the names in headers and configurations."""


APART = 0.5
"""Distance, in voxels, from which on the places that two headers give to one voxel are not the same."""


@dataclass(frozen=True)
class Placement:
    """Location of the voxels of a prepared image.

    Attributes:
        shape: shape of the prepared array.
        stored: map from homogeneous voxel coordinates of the array in the file to those of the prepared array, ``(dims
            + 1, dims + 1)``: a signed permutation with offsets, the identity for a picture. Singleton axes that the
            dataset does not have are omitted.
        affine: map from homogeneous voxel coordinates of the prepared array to millimetres, ``(physical + 1, dims +
            1)``, x to the right, y anterior, z superior; ``None`` for a picture, which has no location. A 2D file has
            two physical axes, a volume of one slice three.
    """

    shape: tuple[int, ...]
    stored: np.ndarray
    affine: np.ndarray | None = None

    @property
    def dims(self) -> int:
        """Number of spatial axes."""
        return len(self.shape)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of the array in the file."""
        return tuple(self.shape[int(np.argmax(np.abs(column)))] for column in self.stored[:-1, :-1].T)


def in_millimetres(affine: np.ndarray, unit: str) -> np.ndarray:
    """Convert an affine ``(4, 4)`` to millimetres; unknown units are assumed to be millimetres."""
    scaled = affine.astype(np.float64)
    scaled[:-1] *= METRES.get(unit, 1e-3) / 1e-3
    return scaled


def turn(array: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Reorient ``(*from, …)`` to ``(*to, …)`` by a signed permutation of voxel coordinates; further axes stay last."""
    return reorder(array, *_parts(matrix))


def reorder(array: np.ndarray, axes: Sequence[int], flips: Sequence[bool]) -> np.ndarray:
    """Flip and permute axes, ``axes[i]`` being the new position of axis ``i``; further axes stay last."""
    turned = np.flip(array, tuple(i for i, flip in enumerate(flips) if flip))
    return np.transpose(turned, (*np.argsort(axes), *range(len(axes), array.ndim)))


def turn_back(array: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Invert :func:`turn`."""
    axes, flips = _parts(matrix)
    turned = np.transpose(array, (*axes, *range(len(axes), array.ndim)))
    return np.flip(turned, tuple(i for i, flip in enumerate(flips) if flip))


def points(shape: tuple[int, ...]) -> np.ndarray:
    """Return the coordinates of all voxels, ``(*shape, dims)``, float64."""
    return np.moveaxis(np.indices(shape, dtype=np.float64), 0, -1)


def applied(matrix: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Transform coordinates ``(…, n)`` by a homogeneous matrix ``(m + 1, n + 1)``."""
    return coordinates @ matrix[:-1, :-1].T + matrix[:-1, -1]


def furthest(difference: np.ndarray, shape: Sequence[int]) -> float:
    """Return the largest distance between two places of the same voxel of a grid.

    Args:
        difference: of the two affines, ``(physical + 1, dims + 1)``.
        shape: of the grid; axes beyond ``dims`` are ignored.
    """
    dims = difference.shape[1] - 1
    reach = [max(size - 1, 0) for size in (*shape, *[1] * dims)[:dims]]
    corners = np.stack(np.meshgrid(*[[0, end] for end in reach], indexing="ij"), -1).reshape(-1, dims)
    return float(np.linalg.norm(applied(difference, corners), axis=1).max())


def apart(moving: Placement, fixed: Placement) -> float | None:
    """Return how far apart the headers of two images place the same voxel, in millimetres; the most over the grid.

    ``None`` if one of them has no location, or if they have not the same axes.
    """
    if moving.affine is None or fixed.affine is None or moving.affine.shape != fixed.affine.shape:
        return None
    return furthest(moving.affine - fixed.affine, fixed.shape)


def voxel_size(affine: np.ndarray) -> np.ndarray:
    """Return the size of a voxel along each axis, from a map to physical coordinates."""
    return np.linalg.norm(affine[:-1, :-1], axis=0)


def _parts(matrix: np.ndarray) -> tuple[list[int], list[bool]]:
    """Return the new position of every axis, and whether it is reversed."""
    columns = matrix[:-1, :-1].T
    axes = [int(np.argmax(np.abs(column))) for column in columns]
    return axes, [bool(column[axis] < 0) for axis, column in zip(axes, columns, strict=True)]
