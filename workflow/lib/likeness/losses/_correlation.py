"""Local correlation coefficient of two images, shared by the losses of the NCC family."""

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
"""Variance below which a window counts as constant (a standard deviation of .001 of the intensity range)."""
REACH = 2
"""Usual truncation of Gaussian windows in standard deviations, as in DGIR (arXiv:2506.02419)."""

LocalMean = Callable[[Tensor], Tensor]
"""Function that maps values ``(batch, channel, *spatial)`` to their local means; the mean of ones is one."""
Moments = tuple[Tensor, Tensor, Tensor]
"""Local covariance and both local variances, non-negative."""


class Statistics(NamedTuple):
    """Local statistics of one image, which do not depend on the other image."""

    centred: Tensor
    """The image minus its mean."""
    mean: Tensor
    """Local mean of the centred image."""
    variance: Tensor


def statistics(mean: LocalMean, *images: Tensor) -> list[Statistics]:
    """Compute the local statistics of each image ``(batch, channel, *spatial)``."""
    # E[x²] - E[x]² loses precision for a large common offset
    centred = [_centred(image) for image in images]
    means = [mean(c) for c in centred]
    variances = [(mean(c * c) - m * m).clamp(min=0) for c, m in zip(centred, means, strict=True)]
    return [Statistics(*each) for each in zip(centred, means, variances, strict=True)]


def moments(moved: Tensor, fixed: Tensor | Statistics, mean: LocalMean) -> Moments:
    """Local covariance and variances of two images.

    Args:
        moved: ``(batch, channel, *spatial)``; any intensity offset.
        fixed: of the same shape, or its statistics under the same local mean.
        mean: local mean.
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
    """Pearson correlation in [-1, 1]; value and gradient are 0 where an image is constant."""
    covariance, variance_a, variance_b = values
    return covariance * torch.rsqrt(variance_a.clamp(min=VARIANCE_FLOOR) * variance_b.clamp(min=VARIANCE_FLOOR))


def squared_coefficient(values: Moments) -> Tensor:
    """Squared Pearson correlation in [0, 1]; value and gradient are 0 where an image is constant."""
    covariance, variance_a, variance_b = values
    return covariance * covariance / (variance_a.clamp(min=VARIANCE_FLOOR) * variance_b.clamp(min=VARIANCE_FLOOR))


def box_mean(window: int, image: Tensor, weight: Tensor | None = None) -> LocalMean:
    """Create the local mean over cubic windows.

    Only voxels inside the image and the mask are averaged.

    Args:
        window: edge length in voxels, odd.
        image: ``(batch, channel, *spatial)``, an example of the images to average.
        weight: ``(batch, 1, *spatial)``, weight of each voxel, non-negative.

    Raises:
        ValueError: if the window is even or the weight is on another grid.
    """
    if window % 2 == 0:
        msg = f"box_mean: the window is {window}, but must be odd to be centred"
        raise ValueError(msg)
    if weight is None:
        inside = 1 / box_sum(image.new_ones(1, 1, *image.shape[2:]), window, window // 2)
        return lambda values: box_sum(values, window, window // 2) * inside
    check_weight("box_mean", weight, image)
    inside = 1 / box_sum(weight, window, window // 2).clamp(min=SMALLEST_WEIGHT)
    return lambda values: box_sum(values * weight, window, window // 2) * inside


def gaussian_mean(
    sigma: float | Sequence[float],
    image: Tensor,
    shares: Sequence[Tensor] | None = None,
    weight: Tensor | None = None,
    reach: float = REACH,
) -> LocalMean:
    """Create the local mean under a Gaussian window, truncated at ``reach`` standard deviations and at the border.

    Args:
        sigma: standard deviation in voxels, positive; one for all axes or one for each.
        image: ``(batch, channel, *spatial)``, an example of the images to average.
        shares: non-negative weights along every axis; the weight of a voxel is their product.
        weight: ``(batch, 1, *spatial)``, further weight of each voxel, non-negative; differentiable.
        reach: distance in standard deviations, rounded up to whole voxels.

    Raises:
        ValueError: if ``sigma`` is not positive or the weight is on another grid.
    """
    sigmas = [sigma] * (image.dim() - 2) if isinstance(sigma, int | float) else [*sigma]
    if min(sigmas) <= 0:
        msg = f"gaussian_mean: sigma is {sigma} but must be positive"
        raise ValueError(msg)
    ones = [image.new_ones(n) for n in image.shape[2:]]
    weights = [_gaussian_matrix(share.to(image), s, reach) for share, s in zip(shares or ones, sigmas, strict=True)]

    def smooth(values: Tensor) -> Tensor:
        return separable_product(values, weights)

    if weight is None:
        return smooth
    check_weight("gaussian_mean", weight, image)
    inside = 1 / smooth(weight).clamp(min=SMALLEST_WEIGHT)
    return lambda values: smooth(values * weight) * inside


class _SeparableProduct(torch.autograd.Function):
    """Product with a matrix along every spatial axis, in full precision even for a backward pass under autocast."""

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


def separable_product(values: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Multiply values ``(batch, channel, *spatial)`` by a matrix ``(new, old)`` along every spatial axis.

    Unlike :func:`likeness.interpolation.along`, it has full precision in a backward pass under autocast, too.
    """
    return _SeparableProduct.apply(values, *matrices)


def _gaussian_matrix(counts: Tensor, sigma: float, reach: float) -> Tensor:
    """Weights ``(length, length)`` of the voxels of a line in the mean around each of them; rows sum to one.

    Multiplication with a dense matrix of a few hundred rows is faster than convolution with a kernel of seventeen.
    """
    at = torch.arange(len(counts), dtype=counts.dtype, device=counts.device)
    distance = (at[:, None] - at).abs()
    weights = torch.exp(-0.5 * (distance / sigma).square()) * (distance <= math.ceil(reach * sigma)) * counts
    return weights / weights.sum(1, keepdim=True).clamp(min=SMALLEST_WEIGHT)


@full_precision
def box_statistics(image: Tensor, window: int) -> tuple[Statistics, LocalMean]:
    """Compute the local statistics of an image ``(batch, channel, *spatial)`` in cubic windows, and the local mean.

    Args:
        image: intensities of order 1; any offset.
        window: edge length in voxels, odd; at the border only voxels inside the image count.

    Raises:
        ValueError: if the window is even.
    """
    mean = box_mean(window, image)
    return statistics(mean, image)[0], mean


@full_precision
def gaussian_statistics(
    image: Tensor, sigma: float | Sequence[float], shares: Sequence[Tensor] | None = None, reach: float = REACH
) -> tuple[Statistics, LocalMean]:
    """Compute the local statistics of an image ``(batch, channel, *spatial)`` under a Gaussian, and the local mean.

    Args:
        image: any offset.
        sigma: standard deviation of the window in voxels, positive; one for all axes or one for each.
        shares: see :func:`gaussian_mean`.
        reach: see :func:`gaussian_mean`.

    Raises:
        ValueError: if ``sigma`` is not positive.
    """
    mean = gaussian_mean(sigma, image, shares, reach=reach)
    return statistics(mean, image)[0], mean


@full_precision
def correlation(moved: Tensor, fixed: Tensor | Statistics, mean: LocalMean) -> Tensor:
    """Local Pearson correlation of two images.

    Under a Gaussian: Cachier et al., Iconic feature based nonrigid registration: the PASHA algorithm, Comput. Vis.
    Image Underst. 2003, doi:10.1016/S1077-3142(03)00002-X.

    Args:
        moved: ``(batch, channel, *spatial)``, intensities of order 1; any offset.
        fixed: of the same shape, or its statistics under the same local mean.
        mean: local mean, see :func:`box_mean` and :func:`gaussian_mean`.

    Returns:
        ``(batch, channel, *spatial)`` in [-1, 1]; once differentiable in the images.

    Raises:
        ValueError: if the shapes differ.
    """
    check_images("correlation", moved, fixed.centred if isinstance(fixed, Statistics) else fixed)
    return coefficient(moments(moved, fixed, mean))


@full_precision
def squared_correlation(moved: Tensor, fixed: Tensor | Statistics, mean: LocalMean) -> Tensor:
    """Local squared Pearson correlation of two images.

    Avants et al., Symmetric diffeomorphic image registration with cross-correlation, Med. Image Anal. 2008,
    doi:10.1016/j.media.2007.06.004.

    Args:
        moved: ``(batch, channel, *spatial)``, intensities of order 1; any offset.
        fixed: of the same shape, or its statistics under the same local mean.
        mean: local mean, see :func:`box_mean`.

    Returns:
        ``(batch, channel, *spatial)`` in [0, 1]; once differentiable in the images and the weight of the mean.

    Raises:
        ValueError: if the shapes differ.
    """
    check_images("squared_correlation", moved, fixed.centred if isinstance(fixed, Statistics) else fixed)
    return squared_coefficient(moments(moved, fixed, mean))


@full_precision
def standardised(image: Tensor) -> Tensor:
    """Standardise whole images to mean 0 and variance 1.

    Args:
        image: ``(batch, channel, *spatial)``, intensities of order 1; any offset.

    Returns:
        ``(batch, channel, *spatial)``; the mean over voxels of the product of two results is the Pearson correlation in
        [-1, 1], 0 if an image is constant.
    """
    axes = tuple(range(2, image.dim()))
    centred = image - image.mean(axes, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(axes, keepdim=True).clamp(min=VARIANCE_FLOOR))


class WindowedLoss(SimilarityLoss):
    """Base class of losses with a cubic window.

    Args:
        window: edge length in voxels, odd.
    """

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def known(self, pair: Registration) -> tuple[Statistics, LocalMean]:
        """Return the statistics of the fixed image, which are kept for all displacements, and the local mean."""
        return pair.kept((self, "fixed"), lambda: box_statistics(pair.fixed, self.window))

    def extra_repr(self) -> str:
        """Show the window size in ``repr``."""
        return f"window={self.window}"
