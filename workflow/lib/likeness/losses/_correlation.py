"""The windowed correlation coefficient of two images, shared by the losses of its family."""

from __future__ import annotations

import torch
from torch import Tensor

from likeness.losses._arithmetic import SMALLEST_WEIGHT, box_sum, check_images, check_weight, full_precision

VARIANCE_FLOOR = 1e-6
"""Windows that vary less than this (a standard deviation of .001 of the intensity range) count as constant."""


@full_precision
def squared_correlation(
    moved: Tensor,
    fixed: Tensor,
    window: int,
    weight: Tensor | None = None,
    floor: float = VARIANCE_FLOOR,
) -> Tensor:
    """Squared Pearson correlation of two images in a cubic window around every voxel.

    A window that reaches over the border, or out of the mask, takes its statistics from the voxels inside alone. Where
    a variance falls below the floor, the floor takes its place: the coefficient of constant images is 0, and so is its
    gradient.

    Avants et al., Symmetric diffeomorphic image registration with cross-correlation, Med. Image Anal. 2008,
    doi:10.1016/j.media.2007.06.004.

    Args:
        moved: ``(batch, channel, *spatial)``, intensities of the order of 1; any offset.
        fixed: of the same shape.
        window: edge length in voxels, odd.
        weight: ``(batch, 1, *spatial)``, not negative: how much a voxel counts in the statistics of its windows.
        floor: least variance.

    Returns:
        ``(batch, channel, *spatial)`` in [0, 1]; once differentiable in the images and the weight.

    Raises:
        ValueError: if shapes differ or the window is even.
    """
    check_images("squared_correlation", moved, fixed)
    if window % 2 == 0:
        msg = f"squared_correlation: the window is {window} but must be odd, to have a centre"
        raise ValueError(msg)
    if weight is None:
        inside = 1 / box_sum(moved.new_ones(1, 1, *moved.shape[2:]), window, window // 2)
    else:
        check_weight("squared_correlation", weight, moved)
        inside = 1 / box_sum(weight, window, window // 2).clamp(min=SMALLEST_WEIGHT)

    def mean(values: Tensor) -> Tensor:
        return box_sum(values if weight is None else values * weight, window, window // 2) * inside

    # E[x²] - E[x]² loses what a common offset makes large, so the offset goes first
    a, b = _centred(moved), _centred(fixed)
    mean_a, mean_b = mean(a), mean(b)
    variance_a = (mean(a * a) - mean_a * mean_a).clamp(min=floor)
    variance_b = (mean(b * b) - mean_b * mean_b).clamp(min=floor)
    covariance = mean(a * b) - mean_a * mean_b
    return covariance * covariance / (variance_a * variance_b)


def _centred(image: Tensor) -> Tensor:
    with torch.no_grad():
        offset = image.mean(tuple(range(2, image.dim())), keepdim=True)
    return image - offset
