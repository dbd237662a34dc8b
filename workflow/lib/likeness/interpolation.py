"""Interpolation and smoothing along the axes of a grid, as products of matrices.

A grid spans an image from its first voxel to its last along every axis, however many points it has: that of control
points, that of a coarser image. A matrix ``(new, old)`` takes the values at one to those at another.
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
"""Rows up to which a matrix is multiplied as a whole, and as many of a larger one as are multiplied at once."""


def pitch(shape: Sequence[int], control: Sequence[int]) -> list[float]:
    """Give the distance between neighbouring control points along every axis, in voxels."""
    return [(size - 1) / max(points - 1, 1) for size, points in zip(shape, control, strict=True)]


def along(values: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Apply a matrix ``(new, old)`` along every spatial axis of ``(batch, channel, *spatial)``.

    As products of matrices, whose gradient on a processor takes a fraction of that of ``interpolate``, and as products
    of one image each, which have the same bits whatever else is in the batch. A matrix may not be changed in place.
    """
    for axis, matrix in enumerate(matrices):
        before, after = values.shape[2 : 2 + axis], values.shape[3 + axis :]
        count = values.shape[0] * values.shape[1] * prod(before)
        product = _Product.apply(values.reshape(count, -1, prod(after)), matrix)
        values = product.reshape(*values.shape[:2], *before, len(matrix), *after)
    return values


class _Block(NamedTuple):
    """Some rows of a matrix, and the columns outside of which these are zero."""

    rows: slice
    columns: slice
    part: Tensor


@lru_cache(maxsize=256)
def _blocks(matrix: Tensor) -> list[_Block]:
    """Cut a matrix into rows that reach but few columns, as those of interpolation and smoothing do."""
    found: list[_Block] = []
    # on a GPU a product takes less time than it takes to ask for it
    together = ROWS if matrix.device.type == "cpu" and len(matrix) > WHOLE else len(matrix)
    for part in matrix.split(together):
        first = found[-1].rows.stop if found else 0
        reached = part.any(0).nonzero().flatten()
        columns = slice(int(reached[0]), int(reached[-1]) + 1) if len(reached) else slice(0, 1)
        found.append(_Block(slice(first, first + len(part)), columns, part[:, columns].contiguous()))
    return found


class _Product(torch.autograd.Function):
    """Products ``(count, new, after)`` of a matrix ``(new, old)`` and values ``(count, old, after)``, by its blocks."""

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
    """Give the matrix ``(size, points)`` of linear interpolation between points of which the outermost coincide."""
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
    """Give the matrix ``(size, points)`` of uniform cubic B-splines with a knot at every point."""
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
    """Give the matrix ``(points, points)`` that smooths by a Gaussian of ``sigma`` points, mirrored at the border.

    It is symmetric, so that smoothing a gradient is the gradient of smoothing.
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
    """Give the matrix ``(size, points)`` that smooths by half the new distance, if that is larger, and interpolates."""
    between = linear(points, size)
    return between @ gaussian(points, 0.5 * (points - 1) / max(size - 1, 1)) if size < points else between
