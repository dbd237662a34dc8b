"""Normalised mutual information over all voxels, from a joint histogram with Gaussian Parzen windows.

Studholme et al., An overlap invariant entropy measure of 3D medical image alignment, Pattern Recognition 1999,
doi:10.1016/S0031-3203(98)00091-0. Bins and windows as in DeepSim, doi:10.1016/j.media.2023.102830: bin centres from 0
to 1, and windows with a full width at half maximum of ``1 / bins``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from likeness.losses._arithmetic import SMALLEST_WEIGHT, check_images, check_weight, full_precision
from likeness.losses.base import Registration, SimilarityLoss

CARD = {
    "title": "NMI",
    "order": 120,
    "colour": "#DDCC77",
    "marker": "D",
    "formula": r"-\frac{H(m)+H(f)}{H(m,f)}",
    "range": [-2, -1],
    "doi": "10.1016/S0031-3203(98)00091-0",
    "supervision": "none",
    "invariances": ["inversion"],
    # with fewer bins the windows overlap so much that the value of constant images leaves the range
    "options": {"bins": {"default": 64, "minimum": 3, "maximum": 1024, "tune": [16, 24, 32, 48, 64, 96, 128]}},
}

REACH = 2
"""Number of bins on each side of the nearest one that a window covers; beyond, it is below 2e-8 of its maximum."""
SMALLEST_PROBABILITY = 1e-5
"""Added inside the logarithm, as in DeepSim, because an empty bin would have an infinite gradient."""


class _JointHistogram(torch.autograd.Function):
    """Joint histogram of rows of intensities and weights; values per voxel are recomputed rather than stored.

    Without a weight every voxel counts once. Precomputed windows of the fixed image are reused.
    """

    @staticmethod
    def forward(
        ctx: Any, moved: Tensor, fixed: Tensor, weight: Tensor | None, bins: int, known: Known | None
    ) -> Tensor:
        ctx.save_for_backward(moved, fixed, weight)
        ctx.bins, ctx.known = bins, known
        side = bins + 2 * REACH
        histogram = moved.new_zeros(moved.shape[0], side, side)
        for index, (row, others) in enumerate(zip(histogram, known or _windows(fixed, bins), strict=True)):
            for part, far in zip(_chunks(moved[index]), others, strict=True):
                near = _Windows(moved[index, part], bins)
                counted = far.weights if weight is None else far.weights * weight[index, part]
                weights = near.weights[:, None] * counted
                row.view(-1).scatter_add_(0, _cells(near, far).view(-1), weights.view(-1))
        return histogram[:, REACH:-REACH, REACH:-REACH]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        moved, fixed, weight = ctx.saved_tensors
        padded = F.pad(gradient, [REACH] * 4)
        known = ctx.known or _windows(fixed, ctx.bins)
        images = (padded, moved, known), (padded.mT.contiguous(), fixed, _windows(moved, ctx.bins))
        pulls: list[Tensor | None] = []
        for wanted, (cells, image, others) in zip(ctx.needs_input_grad, images, strict=False):
            pull = _pull(cells, image, others, ctx.bins, slope=True) if wanted else None
            pulls.append(pull if pull is None or weight is None else pull * weight)
        known = ctx.known or _windows(fixed, ctx.bins)
        towards_weight = _pull(padded, moved, known, ctx.bins, slope=False) if ctx.needs_input_grad[2] else None
        return pulls[0], pulls[1], towards_weight, None, None


class _Windows:
    """Weights ``(2 * REACH + 1, n)`` of n intensities in the bins around them, and their derivatives.

    ``first`` is the first of these bins, as an index into a histogram padded by ``REACH`` bins on each side.
    """

    def __init__(self, intensities: Tensor, bins: int) -> None:
        self.side = bins + 2 * REACH
        position = intensities * (bins - 1)
        nearest = position.round()
        self.first = nearest.long()
        self.steps = torch.arange(2 * REACH + 1, device=intensities.device)
        width = (bins - 1) / bins / math.sqrt(8 * math.log(2))
        self.distance = (nearest - position + (self.steps - REACH)[:, None]).div_(width)
        self.weights = self.distance.square().mul_(-0.5).exp_()
        self.slope_scale = (bins - 1) / width

    def slopes(self) -> Tensor:
        """Derivatives of the weights with respect to the intensities."""
        return self.weights * self.distance * self.slope_scale


Known = Sequence[Sequence[_Windows]]
"""Windows of every image, chunk by chunk."""


def _cells(rows: _Windows, columns: _Windows) -> Tensor:
    """Indices of the histogram cells that n pairs of intensities contribute to, ``(rows, columns, n)``."""
    window = rows.steps[:, None, None] * rows.side + rows.steps[:, None]
    return window + (rows.first * rows.side + columns.first)


def _chunks(row: Tensor) -> Iterator[slice]:
    # on a CPU, the 25 weights and cells per voxel should stay in the cache between operations
    length = 4096 if row.device.type == "cpu" else 1 << 20
    for start in range(0, len(row), length):
        yield slice(start, start + length)


def _windows(images: Tensor, bins: int) -> Iterator[Iterator[_Windows]]:
    """Yield the windows of the chunks of each row of intensities."""
    for row in images:
        yield (_Windows(row[part], bins) for part in _chunks(row))


def _pull(gradient: Tensor, image: Tensor, others: Iterable[Iterable[_Windows]], bins: int, slope: bool) -> Tensor:
    """Backpropagate the gradient of the padded histogram to the image on its rows, or to the voxel weights.

    Args:
        gradient: gradient of the histogram, ``(batch, rows, columns)``.
        image: intensities on the rows, ``(batch, n)``.
        others: windows of the intensities on the columns.
        bins: number of bins per image.
        slope: whether to return the gradient of the image rather than of the weights.
    """
    result = torch.empty_like(image)
    for out, row, far_windows, cells in zip(result, image, others, gradient, strict=True):
        for part, far in zip(_chunks(row), far_windows, strict=True):
            near = _Windows(row[part], bins)
            index = _cells(near, far)
            felt = cells.view(-1).index_select(0, index.view(-1)).view(index.shape)
            out[part] = ((felt * far.weights).sum(1) * (near.slopes() if slope else near.weights)).sum(0)
    return result


def _entropy(probability: Tensor) -> Tensor:
    """Entropy over all axes except the first, in nats."""
    terms = probability * torch.log(probability + SMALLEST_PROBABILITY)
    return -terms.flatten(1).sum(1)


def _intensities(image: Tensor) -> Tensor:
    return image.clamp(0, 1).flatten(1)


@full_precision
def known_windows(image: Tensor, bins: int) -> Known:
    """Precompute the windows of images ``(batch, 1, *spatial)`` for several histograms, at six times their memory."""
    known = [list(row) for row in _windows(_intensities(image), bins)]
    for window in chain.from_iterable(known):
        # as large as the weights, and only needed for gradients, which a fixed image does not get
        del window.distance
    return known


@full_precision
def normalised_mutual_information(
    moved: Tensor, fixed: Tensor, bins: int, weight: Tensor | None = None, known: Known | None = None
) -> Tensor:
    """Sum of the marginal entropies of two images divided by their joint entropy, over all voxels.

    Studholme et al., Pattern Recognition 1999, doi:10.1016/S0031-3203(98)00091-0.

    Args:
        moved: ``(batch, 1, *spatial)``, intensities, clamped to [0, 1].
        fixed: of the same shape.
        bins: number of bins per image.
        weight: ``(batch, 1, *spatial)``, weight of each voxel, non-negative.
        known: precomputed result of :func:`known_windows` for ``fixed``.

    Returns:
        ``(batch,)``; 1 for independent images, at most 2, and 0 if all weights are 0. Once differentiable in both
        images and the weight.

    Raises:
        ValueError: if the shapes differ or there are fewer than two bins.
    """
    check_images("normalised_mutual_information", moved, fixed)
    if bins < 2:
        msg = f"normalised_mutual_information: {bins} bins cannot distinguish intensities; use at least 2"
        raise ValueError(msg)
    if weight is not None:
        check_weight("normalised_mutual_information", weight, moved)
        weight = weight.flatten(1)
    histogram = _JointHistogram.apply(_intensities(moved), _intensities(fixed), weight, bins, known)
    joint = histogram / histogram.sum((1, 2), keepdim=True).clamp(min=SMALLEST_WEIGHT)
    return (_entropy(joint.sum(2)) + _entropy(joint.sum(1))) / _entropy(joint).clamp(min=SMALLEST_WEIGHT)


class Loss(SimilarityLoss):
    """Negative normalised mutual information.

    Args:
        bins: number of bins per image.
    """

    def __init__(self, *, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, pair: Registration) -> Tensor:
        """Return the negative normalised mutual information of each pair, ``(batch,)``."""
        known = pair.kept((self, "fixed"), lambda: known_windows(pair.fixed, self.bins)) if pair.keeps else None
        return -normalised_mutual_information(pair.moved, pair.fixed, self.bins, known=known)

    def extra_repr(self) -> str:
        """Show the number of bins in ``repr``."""
        return f"bins={self.bins}"
