"""Cosine dissimilarity of oriented Gaussian derivatives: a control for what learning adds to any features.

Koenderink and van Doorn, Representation of local geometry in the visual system, Biol. Cybern. 1987,
doi:10.1007/BF00318371. First and second derivatives in every direction are combinations of those along the axes
(Freeman and Adelson, doi:10.1109/34.93808). They are compared, level by level, as DeepSim's features are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from likeness.extractors.base import padded_to
from likeness.losses._arithmetic import full_precision
from likeness.losses._correlation import separable_product
from likeness.losses._features import Comparator, FeatureLoss, Order

CARD = {
    "title": "Derivative filters",
    "order": 160,
    "formula": (
        r"1-\frac{1}{|L|}\sum_{l\in L}\frac{1}{|\Omega_l|}\sum_{x\in\Omega_l}"
        r"\frac{\langle J_l(m)(x),J_l(f)(x)\rangle}{\|J_l(m)(x)\|\,\|J_l(f)(x)\|}"
    ),
    "range": [0, 2],
    "doi": "10.1007/BF00318371",
    "supervision": "none",
    "window": "Gaussians, of 1, 2 and 4 voxels, and with the local correlation another, of `sigma` positions",
    "invariances": ["offset", "scale"],
    "shares": ["_features"],
}

STRIDES = (2, 4, 8)
"""Voxels per position of each level, as in DeepSim's networks; the Gaussian of a level has half of that."""
REACH = 6
"""Truncation of the Gaussians in standard deviations; beyond, second derivatives would see the mean intensity."""


@lru_cache(maxsize=64)
def derivative(size: int, extent: int, stride: int, order: int) -> Tensor:
    """Return the matrix ``(extent // stride, size)`` of a Gaussian derivative along an axis, averaged over positions.

    Args:
        size: number of voxels; the last ones are replicated beyond both ends.
        extent: field of view in voxels from the first one, a multiple of ``stride``.
        stride: voxels per position; the Gaussian has half of that as standard deviation, the unit of the derivative.
        order: 0 for smoothing, 1 or 2.
    """
    sigma = stride / 2
    away = torch.arange(-math.ceil(REACH * sigma), math.ceil(REACH * sigma) + 1, dtype=torch.float64)
    bell = torch.exp(-0.5 * (away / sigma).square())
    polynomial = {0: torch.ones_like(away), 1: away / sigma, 2: (away / sigma).square() - 1}[order]
    kernel = polynomial * bell / bell.sum()
    matrix = torch.zeros(extent, size, dtype=torch.float64)
    rows = torch.arange(extent)
    for offset, weight in zip(away.long(), kernel, strict=True):
        matrix.index_put_((rows, (rows + offset).clamp(0, size - 1)), weight, accumulate=True)
    return matrix.unflatten(0, (-1, stride)).mean(1)


class Bank:
    """First and second Gaussian derivatives of images at three scales; nothing in it is learned."""

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the field of view of feature maps in voxels: the image, padded to multiples of the largest stride."""
        return padded_to([STRIDES[-1]] * len(shape), shape)

    @full_precision
    def __call__(self, image: Tensor) -> list[Tensor]:
        """Compute the derivatives.

        Args:
            image: ``(batch, 1, *spatial)``.

        Returns:
            For each scale, finest first, ``(batch, channels, *coarser)``: along every axis, then along every two, the
            mixed ones times √2, so that scalar products over channels do not depend on the orientation of the axes.
        """
        return [self._level(image, stride) for stride in STRIDES]

    def _level(self, image: Tensor, stride: int) -> Tensor:
        shape = image.shape[2:]
        extent, axes = self.extent(shape), range(len(shape))
        channels = []
        for along in [*((axis,) for axis in axes), *combinations_with_replacement(axes, 2)]:
            orders = [along.count(axis) for axis in axes]
            matrices = [derivative(*line, stride, order) for *line, order in zip(shape, extent, orders, strict=True)]
            found = separable_product(image, [matrix.to(image) for matrix in matrices])
            channels.append(found * math.sqrt(2) if len(set(along)) == 2 else found)
        return torch.cat(channels, dim=1)


class Loss(FeatureLoss):
    """Dissimilarity of Gaussian derivatives of the images.

    Args:
        levels: indices of the scales to compare, 0 being the finest; ``None`` for all.
        comparator: see :class:`FeatureLoss`.
        zero_mean: see :class:`FeatureLoss`.
        sigma: see :class:`FeatureLoss`.
        masked: see :class:`FeatureLoss`.
        extract: see :class:`FeatureLoss`.
    """

    def __init__(
        self,
        *,
        levels: Sequence[int] | None,
        comparator: Comparator,
        zero_mean: bool,
        sigma: float,
        masked: bool,
        extract: Order,
    ) -> None:
        super().__init__(
            Bank(),
            levels=levels,
            comparator=comparator,
            zero_mean=zero_mean,
            sigma=sigma,
            masked=masked,
            extract=extract,
        )
