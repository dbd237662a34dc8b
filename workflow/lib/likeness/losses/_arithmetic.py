"""Shared arithmetic of losses: shape checks, full precision under autocast, masked means, box sums."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

P = ParamSpec("P")
R = TypeVar("R")

SMALLEST_WEIGHT = 1e-6
"""Lower bound on sums of mask weights, in voxels, so that an empty mask gives 0 instead of 0/0."""


def check_images(function: str, moved: Tensor, fixed: Tensor) -> None:
    """Check that two tensors ``(batch, channel, *spatial)`` have equal shapes and two or three spatial axes.

    Raises:
        ValueError: otherwise; the message starts with ``function``, the name of the caller.
    """
    if moved.shape != fixed.shape:
        msg = f"{function}: moved has shape {tuple(moved.shape)} but fixed has {tuple(fixed.shape)}; give equal shapes"
        raise ValueError(msg)
    if moved.dim() not in (4, 5):
        msg = f"{function}: images have shape {tuple(moved.shape)}; give (batch, channel, *spatial) in 2D or 3D"
        raise ValueError(msg)


def check_weight(function: str, weight: Tensor, image: Tensor) -> None:
    """Check that a weight ``(batch, 1, *spatial)`` is on the grid of ``image``.

    Raises:
        ValueError: otherwise; the message starts with ``function``, the name of the caller.
    """
    expected = (image.shape[0], 1, *image.shape[2:])
    if tuple(weight.shape) != expected:
        msg = f"{function}: the weight has shape {tuple(weight.shape)} but the images need {expected}"
        raise ValueError(msg)


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to compute in float32 (or float64, if given) even under autocast or with half-precision
    input.

    Variances are differences of nearly equal numbers, and histograms are sums of very many; the 8-bit mantissa of
    bfloat16 would lose both.
    """

    def raised(value: Any) -> Any:
        half = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
        return value.float() if half else value

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next((a.device.type for a in (*args, *kwargs.values()) if isinstance(a, Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return function(*map(raised, args), **{key: raised(value) for key, value in kwargs.items()})

    return wrapper


def per_voxel_share(values: Tensor, weight: Tensor) -> Tensor:
    """Scale ``values`` by a weight such that the plain mean over a pair equals the weighted mean.

    Args:
        values: ``(batch, 1, *spatial)``.
        weight: ``(batch, 1, *spatial)``, non-negative.

    Returns:
        ``(batch, 1, *spatial)``; 0 everywhere for pairs with zero weight.
    """
    axes = tuple(range(1, weight.dim()))
    voxels = weight[0].numel()
    total = weight.sum(axes, keepdim=True).clamp(min=SMALLEST_WEIGHT)
    return values * weight * (voxels / total)


def _running_sum(values: Tensor, axis: int, window: int) -> Tensor:
    """Sum ``window`` neighbours along an axis, which becomes ``window - 1`` entries shorter.

    Sums over 1, 2, 4, … neighbours are combined according to the binary digits of the window: four additions for a
    window of nine. Unlike differences of a cumulative sum, this has no cancellation errors.
    """
    length = values.shape[axis] - window + 1
    total, offset, width, power = None, 0, 1, values
    while True:
        if window & width:
            piece = power.narrow(axis, offset, length)
            total = piece if total is None else total + piece
            offset += width
        if 2 * width > window:
            assert total is not None
            return total
        shorter = power.shape[axis] - width
        power = power.narrow(axis, 0, shorter) + power.narrow(axis, width, shorter)
        width *= 2


class _BoxSum(torch.autograd.Function):
    """Box sum over zero-padded axes; its adjoint is the box sum with the complementary padding."""

    @staticmethod
    def compute(values: Tensor, window: int, padding: int) -> Tensor:
        spatial = values.dim() - 2
        for axis in range(spatial):
            if padding:
                after = 2 * (spatial - 1 - axis)
                values = F.pad(values, [0] * after + [padding, padding])
            values = _running_sum(values, 2 + axis, window)
        return values

    @staticmethod
    def forward(ctx: Any, values: Tensor, window: int, padding: int) -> Tensor:
        ctx.window, ctx.padding = window, padding
        return _BoxSum.compute(values, window, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _BoxSum.compute(gradient, ctx.window, ctx.window - 1 - ctx.padding), None, None


def box_sum(values: Tensor, window: int, padding: int = 0) -> Tensor:
    """Sum over a cubic window around every position.

    Args:
        values: ``(batch, channel, *spatial)``.
        window: edge length of the window in voxels.
        padding: zeros added at both ends of every axis, at most ``window - 1``. 0 returns only positions whose window
            lies inside; ``window // 2`` returns all positions, for an odd window.

    Returns:
        ``(batch, channel, *(n + 2 * padding - window + 1))``; once differentiable.

    Raises:
        ValueError: if the window is larger than a padded axis.
    """
    if min(values.shape[2:]) + 2 * padding < window:
        msg = f"box_sum: a window of {window} does not fit into {tuple(values.shape[2:])} padded by {padding}"
        raise ValueError(msg)
    return _BoxSum.apply(values, window, padding)


class _TransposedProduct(torch.autograd.Function):
    """Matrix product whose backward pass is not lowered by autocast, unlike that of ``@``."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        return left.mT @ right

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left, right = ctx.saved_tensors
        with torch.autocast(gradient.device.type, enabled=False):
            return (
                right @ gradient.mT if ctx.needs_input_grad[0] else None,
                left @ gradient if ctx.needs_input_grad[1] else None,
            )


def transposed_product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply the transpose of matrices ``(..., n, rows)`` by ``(..., n, columns)``, to ``(..., rows, columns)``.

    Call it from a function in full precision; the gradient then has it too, even in a backward pass under autocast.
    """
    return _TransposedProduct.apply(left, right)
