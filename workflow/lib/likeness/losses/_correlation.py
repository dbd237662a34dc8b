"""The correlation coefficient of two images around every voxel, shared by the losses of its family."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from likeness.losses._arithmetic import SMALLEST_WEIGHT, box_sum, check_images, check_weight, full_precision
from likeness.losses.base import Registration, SimilarityLoss

VARIANCE_FLOOR = 1e-6
"""Windows that vary less than this (a standard deviation of .001 of the intensity range) count as constant."""
REACH = 2
"""Standard deviations at which a Gaussian window is cut off, as in DGIR."""

LocalMean = Callable[[Tensor], Tensor]
"""Gives the mean of values ``(batch, channel, *spatial)`` around every voxel; the mean of ones is one."""
Moments = tuple[Tensor, Tensor, Tensor]
"""Covariance and both variances, not negative, around every voxel."""


class Statistics(NamedTuple):
    """What moments under a local mean need of one image, whatever the other one is."""

    centred: Tensor
    """The image without its offset."""
    mean: Tensor
    """Of the centred image, around every voxel."""
    variance: Tensor


def statistics(mean: LocalMean, *images: Tensor) -> list[Statistics]:
    """Give what moments need of each image ``(batch, channel, *spatial)``; any offset."""
    # E[x²] - E[x]² loses what a common offset makes large, so the offset goes first
    centred = [_centred(image) for image in images]
    means = [mean(c) for c in centred]
    variances = [(mean(c * c) - m * m).clamp(min=0) for c, m in zip(centred, means, strict=True)]
    return [Statistics(*each) for each in zip(centred, means, variances, strict=True)]


def moments(moved: Tensor, fixed: Tensor | Statistics, mean: LocalMean) -> Moments:
    """Covariance and variances of two images under a local mean.

    Args:
        moved: ``(batch, channel, *spatial)``; any offset.
        fixed: of the same shape, or what is known of it under the same mean.
        mean: gives the mean around every voxel.
    """
    if isinstance(fixed, Statistics):
        a, b = *statistics(mean, moved), fixed
    else:
        a, b = statistics(mean, moved, fixed)
    return mean(a.centred * b.centred) - a.mean * b.mean, a.variance, b.variance


def _centred(image: Tensor) -> Tensor:
    with torch.no_grad():
        offset = image.mean(tuple(range(2, image.dim())), keepdim=True)
    return image - offset


def coefficient(values: Moments) -> Tensor:
    """Pearson correlation in [-1, 1]; 0 where an image is constant, and so is the gradient."""
    covariance, variance_a, variance_b = values
    return covariance * torch.rsqrt(variance_a.clamp(min=VARIANCE_FLOOR) * variance_b.clamp(min=VARIANCE_FLOOR))


def squared_coefficient(values: Moments) -> Tensor:
    """Squared Pearson correlation in [0, 1]; 0 where an image is constant, and so is the gradient."""
    covariance, variance_a, variance_b = values
    return covariance * covariance / (variance_a.clamp(min=VARIANCE_FLOOR) * variance_b.clamp(min=VARIANCE_FLOOR))


def box_mean(window: int, image: Tensor, weight: Tensor | None = None) -> LocalMean:
    """Give the mean in a cubic window around every voxel.

    A window that reaches over the border, or out of the mask, takes its mean from the voxels inside alone.

    Args:
        window: edge length in voxels, odd.
        image: ``(batch, channel, *spatial)``, an image of those to come.
        weight: ``(batch, 1, *spatial)``, not negative: how much a voxel counts.

    Raises:
        ValueError: if the window is even or the weight is on another grid.
    """
    if window % 2 == 0:
        msg = f"box_mean: the window is {window} but must be odd, to have a centre"
        raise ValueError(msg)
    if weight is None:
        inside = 1 / box_sum(image.new_ones(1, 1, *image.shape[2:]), window, window // 2)
        return lambda values: box_sum(values, window, window // 2) * inside
    check_weight("box_mean", weight, image)
    inside = 1 / box_sum(weight, window, window // 2).clamp(min=SMALLEST_WEIGHT)
    return lambda values: box_sum(values * weight, window, window // 2) * inside


def gaussian_mean(sigma: float, image: Tensor, shares: Sequence[Tensor] | None = None) -> LocalMean:
    """Give the mean under a Gaussian around every voxel, cut at two standard deviations and at the border.

    Args:
        sigma: standard deviation in voxels, positive.
        image: ``(batch, channel, *spatial)``, an image of those to come.
        shares: along every axis, not negative, how much a voxel counts; their product is that of a voxel.

    Raises:
        ValueError: if ``sigma`` is not positive.
    """
    if sigma <= 0:
        msg = f"gaussian_mean: sigma is {sigma} but must be positive"
        raise ValueError(msg)
    ones = [image.new_ones(n) for n in image.shape[2:]]
    weights = [_gaussian_matrix(share.to(image), sigma) for share in shares or ones]
    return lambda values: _SeparableProduct.apply(values, *weights)


class _SeparableProduct(torch.autograd.Function):
    """Product with a matrix along every spatial axis, in full precision also in a backward pass under autocast."""

    @staticmethod
    def compute(values: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        with torch.autocast(values.device.type, enabled=False):
            for axis, matrix in enumerate(matrices, start=2):
                values = torch.tensordot(values, matrix, dims=([axis], [1])).movedim(-1, axis)
        return values

    @staticmethod
    def forward(ctx: Any, values: Tensor, *matrices: Tensor) -> Tensor:
        ctx.save_for_backward(*matrices)
        return _SeparableProduct.compute(values, matrices)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (
            _SeparableProduct.compute(gradient, [matrix.T for matrix in ctx.saved_tensors]),
            *[None for _ in ctx.saved_tensors],
        )


def _gaussian_matrix(counts: Tensor, sigma: float) -> Tensor:
    """Weights ``(length, length)`` of all voxels of a line in the mean around each; rows sum to one.

    A product with a dense matrix of a few hundred rows takes less time than a convolution with a kernel of seventeen.
    """
    at = torch.arange(len(counts), dtype=counts.dtype, device=counts.device)
    distance = (at[:, None] - at).abs()
    weights = torch.exp(-0.5 * (distance / sigma).square()) * (distance <= math.ceil(REACH * sigma)) * counts
    return weights / weights.sum(1, keepdim=True).clamp(min=SMALLEST_WEIGHT)


@full_precision
def box_statistics(image: Tensor, window: int) -> tuple[Statistics, LocalMean]:
    """Give what correlations in a cubic window need of one image ``(batch, channel, *spatial)``, and their mean.

    Args:
        image: intensities of the order of 1; any offset.
        window: edge length in voxels, odd. At the border it takes its statistics from the voxels inside alone.

    Raises:
        ValueError: if the window is even.
    """
    mean = box_mean(window, image)
    return statistics(mean, image)[0], mean


@full_precision
def gaussian_statistics(
    image: Tensor, sigma: float, shares: Sequence[Tensor] | None = None
) -> tuple[Statistics, LocalMean]:
    """Give what correlations under a Gaussian window need of one image ``(batch, channel, *spatial)``, and their mean.

    Args:
        image: any offset.
        sigma: standard deviation of the window in voxels, positive.
        shares: see :func:`gaussian_mean`.

    Raises:
        ValueError: if ``sigma`` is not positive.
    """
    mean = gaussian_mean(sigma, image, shares)
    return statistics(mean, image)[0], mean


@full_precision
def correlation(moved: Tensor, fixed: Tensor | Statistics, mean: LocalMean) -> Tensor:
    """Pearson correlation of two images under a local mean around every voxel.

    Under a Gaussian: Cachier et al., Iconic feature based nonrigid registration: the PASHA algorithm, Comput. Vis.
    Image Underst. 2003, doi:10.1016/S1077-3142(03)00002-X.

    Args:
        moved: ``(batch, channel, *spatial)``, intensities of the order of 1; any offset.
        fixed: of the same shape, or what is known of it under the same mean.
        mean: see :func:`box_mean` and :func:`gaussian_mean`.

    Returns:
        ``(batch, channel, *spatial)`` in [-1, 1]; once differentiable in the images.

    Raises:
        ValueError: if shapes differ.
    """
    check_images("correlation", moved, fixed.centred if isinstance(fixed, Statistics) else fixed)
    return coefficient(moments(moved, fixed, mean))


@full_precision
def squared_correlation(moved: Tensor, fixed: Tensor | Statistics, mean: LocalMean) -> Tensor:
    """Squared Pearson correlation of two images under a local mean around every voxel.

    Avants et al., Symmetric diffeomorphic image registration with cross-correlation, Med. Image Anal. 2008,
    doi:10.1016/j.media.2007.06.004.

    Args:
        moved: ``(batch, channel, *spatial)``, intensities of the order of 1; any offset.
        fixed: of the same shape, or what is known of it under the same mean.
        mean: see :func:`box_mean`.

    Returns:
        ``(batch, channel, *spatial)`` in [0, 1]; once differentiable in the images and the weight of the mean.

    Raises:
        ValueError: if shapes differ.
    """
    check_images("squared_correlation", moved, fixed.centred if isinstance(fixed, Statistics) else fixed)
    return squared_coefficient(moments(moved, fixed, mean))


@full_precision
def standardised(image: Tensor) -> Tensor:
    """Shift and scale whole images to mean 0 and variance 1.

    Args:
        image: ``(batch, channel, *spatial)``, intensities of the order of 1; any offset.

    Returns:
        ``(batch, channel, *spatial)``; the mean over voxels of the product of two is the Pearson correlation in
        [-1, 1], 0 if an image is constant.
    """
    axes = tuple(range(2, image.dim()))
    centred = image - image.mean(axes, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(axes, keepdim=True).clamp(min=VARIANCE_FLOOR))


class WindowedLoss(SimilarityLoss):
    """What losses with a cubic window share.

    Args:
        window: edge length in voxels, odd.
    """

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def known(self, pair: Registration) -> tuple[Statistics, LocalMean]:
        """Give what is known of the fixed image whatever the moved one, and the mean in a window."""
        return pair.kept((self, "fixed"), lambda: box_statistics(pair.fixed, self.window))

    def extra_repr(self) -> str:
        """Name the window."""
        return f"window={self.window}"
