"""The cosine dissimilarity of feature maps, shared by the DeepSim losses.

Czolbe et al., Semantic similarity metrics for image registration, Med. Image Anal. 2023,
doi:10.1016/j.media.2023.102830.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from likeness.losses._arithmetic import check_images, full_precision
from likeness.losses.base import Registration, SimilarityLoss

SMALLEST_SQUARED_NORM = 1e-6


@full_precision
def cosine_dissimilarity(moved: Tensor, fixed: Tensor, zero_mean: bool) -> Tensor:
    """One minus the cosine of the angle between the features of two images, position by position.

    Czolbe et al., Med. Image Anal. 2023, doi:10.1016/j.media.2023.102830.

    Args:
        moved: ``(batch, channel, *spatial)``.
        fixed: of the same shape.
        zero_mean: subtract the mean over channels at every position first.

    Returns:
        ``(batch, 1, *spatial)`` in [0, 2]; 1 where either feature vector is zero.

    Raises:
        ValueError: if shapes differ.
    """
    check_images("cosine_dissimilarity", moved, fixed)
    if zero_mean:
        moved = moved - moved.mean(1, keepdim=True)
        fixed = fixed - fixed.mean(1, keepdim=True)
    product = (moved * fixed).sum(1, keepdim=True)
    squared_norms = [f.square().sum(1, keepdim=True).clamp(min=SMALLEST_SQUARED_NORM) for f in (moved, fixed)]
    return 1 - product * torch.rsqrt(squared_norms[0] * squared_norms[1])


def spread(values: Tensor, shape: Sequence[int]) -> Tensor:
    """Resample a map to another grid over the same field of view, every new voxel the mean of the area it covers.

    Args:
        values: ``(batch, channel, *spatial)``.
        shape: the new spatial shape.

    Returns:
        ``(batch, channel, *shape)`` with the same mean, which interpolation would not keep.
    """
    for axis, new in enumerate(shape, start=2):
        old = values.shape[axis]
        low = torch.arange(new, dtype=values.dtype, device=values.device)[:, None] / new
        edge = torch.arange(old, dtype=values.dtype, device=values.device) / old
        overlap = torch.minimum(low + 1 / new, edge + 1 / old) - torch.maximum(low, edge)
        values = torch.tensordot(values, overlap.clamp(min=0) * new, dims=([axis], [1])).movedim(-1, axis)
    return values


class FeatureLoss(SimilarityLoss):
    """One minus the mean over levels, and over the positions of each, of the cosine over channels.

    Args:
        extractor: gives a list of feature maps for images ``(batch, 1, *spatial)``. It is frozen and stays in
            evaluation mode.
        levels: which of the feature maps to compare, counted from 0; ``None`` for all.
        zero_mean: subtract the mean over channels at every position first.

    Raises:
        ValueError: if ``levels`` is empty.
    """

    extractor: nn.Module

    def __init__(self, extractor: nn.Module, levels: Sequence[int] | None, zero_mean: bool) -> None:
        super().__init__()
        if levels is not None and not levels:
            msg = "levels: the list is empty; name at least one level, or null for all"
            raise ValueError(msg)
        self.extractor = extractor.requires_grad_(False)
        self.levels = None if levels is None else tuple(levels)
        self.zero_mean = zero_mean
        self.train(self.training)

    def train(self, mode: bool = True) -> FeatureLoss:
        """Set the mode of this module; the extractor stays in evaluation mode whatever trains around it."""
        super().train(mode)
        self.extractor.eval()
        return self

    def forward(self, pair: Registration) -> Tensor:
        """Give the mean over levels, positions and pairs."""
        return torch.stack([level.mean() for level in self._dissimilarities(pair)]).mean()

    def map(self, pair: Registration) -> Tensor:
        """Give the dissimilarity per voxel, every level spread over the grid of the images."""
        levels = [spread(level, pair.fixed.shape[2:]) for level in self._dissimilarities(pair)]
        return torch.stack(levels).mean(0)

    def _dissimilarities(self, pair: Registration) -> list[Tensor]:
        with torch.no_grad():
            fixed = self._features(pair.fixed)
        moved = self._features(pair.moved)
        return [cosine_dissimilarity(a, b, self.zero_mean) for a, b in zip(moved, fixed, strict=True)]

    def _features(self, image: Tensor) -> list[Tensor]:
        features = list(self.extractor(image))
        if self.levels is None:
            return features
        if not all(0 <= level < len(features) for level in self.levels):
            msg = f"levels: {list(self.levels)} asked for, but the extractor has levels 0 to {len(features) - 1}"
            raise ValueError(msg)
        return [features[level] for level in self.levels]

    def extra_repr(self) -> str:
        """Name the levels compared."""
        return f"levels={self.levels or 'all'}, zero_mean={self.zero_mean}"
