"""Interpolation and smoothing along the axes of a grid by matrix products.

All grids over an image, such as that of control points or of a coarser image, extend from its first to its last voxel
along every axis. A matrix ``(new, old)`` maps values on one grid to those on another.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

WHOLE, ROWS = 128, 32
"""Number of rows up to which a matrix is multiplied as a whole, and number of rows per block of larger matrices."""


def pitch(shape: Sequence[int], control: Sequence[int]) -> list[float]:
    """Return the distance between neighbouring control points along every axis, in voxels."""
    return [(size - 1) / max(points - 1, 1) for size, points in zip(shape, control, strict=True)]


def along(values: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Apply a matrix ``(new, old)`` along every spatial axis of ``(batch, channel, *spatial)``.

    On a CPU, the gradient of matrix products is much faster than that of ``interpolate``; one product per image makes
    the result bitwise independent of the batch. Matrices are cached and must not be modified.
    """
    for axis, matrix in enumerate(matrices):
        before, after = values.shape[2 : 2 + axis], values.shape[3 + axis :]
        count = values.shape[0] * values.shape[1] * prod(before)
        product = _Product.apply(values.reshape(count, -1, prod(after)), matrix)
        values = product.reshape(*values.shape[:2], *before, len(matrix), *after)
    return values


class _Block(NamedTuple):
    """A block of rows of a matrix, and the range of its non-zero columns."""

    rows: slice
    columns: slice
    part: Tensor


@lru_cache(maxsize=256)
def _blocks(matrix: Tensor) -> list[_Block]:
    """Split a matrix into blocks of rows with few non-zero columns, as in interpolation and smoothing."""
    found: list[_Block] = []
    # on a GPU, launching a product takes longer than computing it
    together = ROWS if matrix.device.type == "cpu" and len(matrix) > WHOLE else len(matrix)
    for part in matrix.split(together):
        first = found[-1].rows.stop if found else 0
        reached = part.any(0).nonzero().flatten()
        columns = slice(int(reached[0]), int(reached[-1]) + 1) if len(reached) else slice(0, 1)
        found.append(_Block(slice(first, first + len(part)), columns, part[:, columns].contiguous()))
    return found


class _Product(torch.autograd.Function):
    """Products ``(count, new, after)`` of a matrix ``(new, old)`` and values ``(count, old, after)``, by blocks."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, matrix: Tensor) -> Tensor:
        ctx.matrix, ctx.size = matrix, values.shape
        count, _, after = values.shape
        product = values.new_empty(count, len(matrix), after)
        for rows, columns, part in _blocks(matrix):
            weights = part.to(values)
            if after == 1:
                product[:, rows, 0] = values[:, columns, 0] @ weights.mT
            else:
                product[:, rows] = weights @ values[:, columns]
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        pull = gradient.new_zeros(ctx.size)
        for rows, columns, part in _blocks(ctx.matrix):
            weights = part.to(gradient)
            if ctx.size[2] == 1:
                pull[:, columns, 0] += gradient[:, rows, 0] @ weights
            else:
                pull[:, columns] += weights.mT @ gradient[:, rows]
        return pull, None


@lru_cache(maxsize=64)
def linear(points: int, size: int) -> Tensor:
    """Return the matrix ``(size, points)`` of linear interpolation between grids whose end points coincide."""
    place = torch.linspace(0, points - 1, size, dtype=torch.float64)
    first = place.floor().clamp(max=max(points - 2, 0)).long()
    matrix = torch.zeros(size, points, dtype=torch.float64)
    rows = torch.arange(size)
    matrix[rows, first] += 1 - (place - first)
    if points > 1:
        matrix[rows, first + 1] += place - first
    return matrix.float()


@lru_cache(maxsize=64)
def cubic(points: int, size: int) -> Tensor:
    """Return the matrix ``(size, points)`` of uniform cubic B-splines with a knot at every point."""
    place = torch.linspace(0, points - 1, size, dtype=torch.float64)
    first = place.floor().clamp(max=max(points - 2, 0))
    t = place - first
    bases = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    matrix = torch.zeros(size, points, dtype=torch.float64)
    for offset, basis in enumerate(bases, start=-1):
        column = (first.long() + offset).clamp(0, points - 1)
        matrix.index_put_((torch.arange(size), column), basis / 6, accumulate=True)
    return matrix.float()


@lru_cache(maxsize=64)
def gaussian(points: int, sigma: float) -> Tensor:
    """Return the matrix ``(points, points)`` of Gaussian smoothing by ``sigma`` points, with reflection at the border.

    It is symmetric, so that the gradient of smoothing is the smoothed gradient.
    """
    matrix = np.zeros((points, points))
    reach = int(np.ceil(4 * sigma))
    rows = np.arange(points)
    for offset in range(-reach, reach + 1):
        column = (rows + offset) % (2 * points)
        column = np.where(column >= points, 2 * points - 1 - column, column)
        np.add.at(matrix, (rows, column), np.exp(-0.5 * (offset / sigma) ** 2) if sigma > 0 else float(offset == 0))
    return torch.from_numpy(matrix / matrix.sum(1, keepdims=True)).float()


@lru_cache(maxsize=64)
def coarsening(points: int, size: int) -> Tensor:
    """Return the matrix ``(size, points)`` of linear interpolation; to a coarser grid with prior Gaussian smoothing."""
    between = linear(points, size)
    return between @ gaussian(points, 0.5 * (points - 1) / max(size - 1, 1)) if size < points else between
