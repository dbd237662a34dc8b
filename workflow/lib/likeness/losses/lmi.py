"""Local mutual information: the mutual information within overlapping patches, averaged over the patches.

Klein et al., Automatic segmentation of the prostate in 3D MR images by atlas matching using localized mutual
information, Med. Phys. 2008, doi:10.1118/1.2842076. Theirs draws patches at random; here they lie on a grid, half a
patch apart, so that every patch counts at every evaluation. Joint histograms have Parzen windows of cubic B-splines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from likeness.extractors.base import pad, padded_to
from likeness.losses._arithmetic import SMALLEST_WEIGHT, check_images, full_precision, transposed_product
from likeness.losses._parzen import padded, windows
from likeness.losses.base import Registration, SimilarityLoss, mean_per_pair

CARD = {
    "title": "Local MI",
    "order": 127,
    "formula": r"-\frac{1}{|P|}\sum_{p\in P}H_p(m)+H_p(f)-H_p(m,f)",
    "range": [None, 0],
    "doi": "10.1118/1.2842076",
    "supervision": "none",
    "window": "cubes, `window` voxels a side, half of that apart",
    "invariances": ["inversion"],
    "options": {
        "window": {"default": 16, "multipleOf": 2, "minimum": 4, "maximum": 128},
        "bins": {"default": 16, "minimum": 3, "maximum": 64},
    },
}

SMALLEST_PROBABILITY = 1e-12
"""Lower bound inside the logarithm, because an empty bin would have an infinite gradient."""


def blocks(values: Tensor, sides: Sequence[int]) -> Tensor:
    """Cut ``(batch, *spatial)``, whose axes are multiples of ``sides``, into blocks ``(batch, *grid, voxels)``."""
    dims = len(sides)
    cut = values.reshape(
        len(values), *(n for size, side in zip(values.shape[1:], sides, strict=True) for n in (size // side, side))
    )
    order = [0, *range(1, 2 * dims, 2), *range(2, 2 * dims + 1, 2)]
    return cut.permute(order).flatten(1 + dims)


@full_precision
def block_windows(image: Tensor, window: int, bins: int) -> Tensor:
    """Compute the Parzen windows of all voxels, block by block.

    Args:
        image: ``(batch, 1, *spatial)``, intensities, clamped to [0, 1].
        window: edge length of a patch in voxels, even; a block has half of it.
        bins: number of bins.

    Returns:
        Weights, ``(batch, *grid, voxels, bins + 2)``; 0 for voxels of a block that are outside the image.
    """
    shape = image.shape[2:]
    sides = [window // 2] * len(shape)
    extent = padded_to(sides, shape)
    cut = blocks(pad(image, extent)[:, 0], sides)
    found = windows(cut.flatten(1), bins)
    weights = found.weights
    if extent != tuple(shape):
        real = image.new_zeros(1, *extent)
        inside: Any = (..., *(slice(size) for size in shape))
        real[inside] = 1
        weights = weights * blocks(real, sides).flatten(1)[:, None]
    dense = weights.new_zeros(len(image), cut[0].numel(), padded(bins))
    return dense.scatter(2, found.cells.mT, weights.mT).view(*cut.shape, -1)


def _entropy(probability: Tensor) -> Tensor:
    """Entropy over the last axis, in nats."""
    return -(probability * probability.clamp(min=SMALLEST_PROBABILITY).log()).sum(-1)


@full_precision
def local_mutual_information(moved: Tensor, fixed: Tensor) -> Tensor:
    """Mutual information of two images in every patch of two blocks a side.

    Args:
        moved: Parzen windows, see :func:`block_windows`.
        fixed: likewise, of the other image.

    Returns:
        ``(batch, patches)`` in nats, non-negative; where the grid of blocks is one block wide, so are the patches. Once
        differentiable.
    """
    dims = moved.dim() - 3
    joint = transposed_product(moved, fixed)
    for axis in range(1, 1 + dims):
        blocks_along = joint.shape[axis]
        if blocks_along > 1:
            joint = joint.narrow(axis, 0, blocks_along - 1) + joint.narrow(axis, 1, blocks_along - 1)
    joint = joint.flatten(1, dims)
    joint = joint / joint.sum((2, 3), keepdim=True).clamp(min=SMALLEST_WEIGHT)
    return _entropy(joint.sum(3)) + _entropy(joint.sum(2)) - _entropy(joint.flatten(2))


class Loss(SimilarityLoss):
    """Negative mutual information, averaged over overlapping patches.

    Args:
        window: edge length of the patches in voxels, even; neighbouring patches share half of it.
        bins: number of bins per image; few, because a patch has few voxels.
    """

    def __init__(self, *, window: int, bins: int) -> None:
        super().__init__()
        self.window = window
        self.bins = bins

    def forward(self, pair: Registration) -> Tensor:
        """Return the negative mean over the patches of each pair, ``(batch,)``."""
        check_images("local_mutual_information", pair.moved, pair.fixed)
        fixed = pair.kept((self, "fixed"), lambda: block_windows(pair.fixed, self.window, self.bins))
        return -mean_per_pair(local_mutual_information(block_windows(pair.moved, self.window, self.bins), fixed))

    def extra_repr(self) -> str:
        """Show window and bins in ``repr``."""
        return f"window={self.window}, bins={self.bins}"
