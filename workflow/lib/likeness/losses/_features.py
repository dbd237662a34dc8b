"""Dissimilarity of feature maps, shared by all losses that compare features of a frozen network.

Czolbe et al., Semantic similarity metrics for image registration, Med. Image Anal. 2023,
doi:10.1016/j.media.2023.102830, use the cosine over channels; DGIR, MICCAI 2025, arXiv:2506.02419, the local
correlation. The squared distance is that of perceptual losses (Johnson et al., ECCV 2016, arXiv:1603.08155).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from likeness.extractors.base import Extractor, pad
from likeness.geometry import warp
from likeness.interpolation import along
from likeness.losses._arithmetic import check_images, full_precision, per_voxel_share
from likeness.losses._correlation import LocalMean, Statistics, gaussian_mean, gaussian_statistics, moments
from likeness.losses.base import Registration, SimilarityLoss, mean_per_pair, required

SMALLEST_NORM = 1e-3
SMALLEST_VARIANCE = 1e-6
"""Added to variances and covariance, so that features that are constant in both images count as correlated."""

Comparator = Literal["cosine", "lncc", "l2"]
Order = Literal["after", "before"]

OPTIONS = {
    "levels": {
        "default": None,
        "type": ["array", "null"],
        "items": {"type": "integer", "minimum": 0},
        "minItems": 1,
        "uniqueItems": True,
        "tune": [None, [0], [1], [0, 1]],
    },
    "comparator": {"default": "cosine", "enum": ["cosine", "lncc", "l2"], "tune": ["cosine", "lncc"]},
    "zero_mean": {"default": False, "with": {"comparator": "cosine"}, "tune": [False, True]},
    "sigma": {
        "default": 4.0,
        "minimum": 0.5,
        "maximum": 64,
        "with": {"comparator": "lncc"},
        "tune": [1.0, 2.0, 3.0, 4.0, 8.0],
    },
    "masked": {"default": False},
    "extract": {"default": "after", "enum": ["after", "before"]},
}
"""Options shared by the losses on features, see ``shares`` in :mod:`.base`."""


@full_precision
def cosine_dissimilarity(moved: Tensor, fixed: Tensor, zero_mean: bool) -> Tensor:
    """One minus the cosine similarity of the feature vectors of two images, per position.

    Czolbe et al., Med. Image Anal. 2023, doi:10.1016/j.media.2023.102830.

    Args:
        moved: ``(batch, channel, *spatial)``.
        fixed: of the same shape.
        zero_mean: subtract the mean over channels at every position first.

    Returns:
        ``(batch, 1, *spatial)`` in [0, 2]; 1 where a feature vector is zero.

    Raises:
        ValueError: if the shapes differ.
    """
    check_images("cosine_dissimilarity", moved, fixed)
    if zero_mean:
        moved = moved - moved.mean(1, keepdim=True)
        fixed = fixed - fixed.mean(1, keepdim=True)
    return 1 - _Cosine.apply(moved, fixed)


class _Cosine(torch.autograd.Function):
    """Cosine similarity over channels.

    The explicit gradient needs one tensor of the size of the features instead of several; on the finest features these
    determine the peak memory of a step.
    """

    @staticmethod
    def forward(ctx: Any, moved: Tensor, fixed: Tensor) -> Tensor:
        # much faster over channels than torch.linalg.vector_norm
        norms = [f.square().sum(1, keepdim=True).sqrt_() for f in (moved, fixed)]
        inverse = [norm.clamp(min=SMALLEST_NORM).reciprocal_() for norm in norms]
        cosine = (moved * fixed).sum(1, keepdim=True).mul_(inverse[0]).mul_(inverse[1])
        ctx.save_for_backward(moved, fixed, cosine, *inverse, *(norm >= SMALLEST_NORM for norm in norms))
        return cosine

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        moved, fixed, cosine, *rest = ctx.saved_tensors
        inverse, free = rest[:2], rest[2:]
        across = gradient * inverse[0] * inverse[1]
        found: list[Tensor | None] = []
        for k, (own, other) in enumerate(((moved, fixed), (fixed, moved))):
            # a clamped norm is constant
            along = -gradient * cosine * inverse[k].square() * free[k]
            found.append((other * across).addcmul_(own, along) if ctx.needs_input_grad[k] else None)
        return tuple(found)


@full_precision
def correlation_dissimilarity(
    moved: Tensor,
    fixed: Tensor,
    sigma: float,
    shares: Sequence[Tensor] | None = None,
    known: tuple[Statistics, LocalMean] | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """One minus the local correlation of features under a Gaussian window, averaged over channels.

    DGIR, MICCAI 2025, arXiv:2506.02419. Unlike there, windows at the border use only positions inside, so that constant
    features give 0.

    Args:
        moved: ``(batch, channel, *spatial)``.
        fixed: of the same shape.
        sigma: standard deviation of the Gaussian in positions of the feature maps.
        shares: weights along every axis, the fraction of each position inside the image, see :func:`inside`.
        known: precomputed result of :func:`gaussian_statistics` for the fixed features.
        weight: ``(batch, 1, *spatial)``, further weight of each position in a window, non-negative; differentiable.

    Returns:
        ``(batch, 1, *spatial)`` in [0, 2]; 0 where the features of both images are constant.

    Raises:
        ValueError: if the shapes differ or ``sigma`` is not positive.
    """
    check_images("correlation_dissimilarity", moved, fixed)
    covariance, *variances = moments(moved, *(known or (fixed, gaussian_mean(sigma, moved, shares, weight))))
    covariance = covariance + _excess(covariance, *variances)
    product = (variances[0] + SMALLEST_VARIANCE) * (variances[1] + SMALLEST_VARIANCE)
    return 1 - ((covariance + SMALLEST_VARIANCE) * torch.rsqrt(product)).mean(1, keepdim=True)


def _excess(covariance: Tensor, *variances: Tensor) -> Tensor:
    """Return the correction that restores |cov| ≤ √(var·var), which rounding of large activations can violate.

    It has no gradient, because a covariance can legitimately reach the bound.
    """
    found, first, second = (value.detach() for value in (covariance, *variances))
    largest = (first * second).sqrt_()
    nearest = torch.minimum(found, largest)
    return torch.maximum(nearest, largest.neg_(), out=nearest).sub_(found)


@full_precision
def squared_dissimilarity(moved: Tensor, fixed: Tensor, variance: Tensor) -> Tensor:
    """Squared distance of the feature vectors of two images, per position, relative to the variance of the fixed ones.

    Johnson et al., Perceptual losses for real-time style transfer and super-resolution, ECCV 2016, arXiv:1603.08155.
    One number for all channels keeps their relative weight, which the cosine and the local correlation do not; the
    distance of unit vectors, which is common too, would be the cosine again.

    Args:
        moved: ``(batch, channel, *spatial)``.
        fixed: of the same shape.
        variance: ``(batch,)``, see :func:`total_variance`.

    Returns:
        ``(batch, 1, *spatial)``, non-negative; the mean is 1 for the mean of the fixed features, about 2 for unrelated
        features of the same distribution.

    Raises:
        ValueError: if the shapes differ.
    """
    check_images("squared_dissimilarity", moved, fixed)
    return (moved - fixed).square().sum(1, keepdim=True) / variance.view(-1, *[1] * (moved.dim() - 1))


@full_precision
def total_variance(features: Tensor, pairs: int) -> Tensor:
    """Return the variance over positions, summed over channels.

    Args:
        features: ``(batch, channel, *spatial)``; any offset.
        pairs: number of pairs in the batch; the sections of a pair share one value, so that those of air count little.

    Returns:
        ``(batch,)``, positive.
    """
    sections = len(features) // pairs
    positions = features.unflatten(0, (pairs, sections)).transpose(1, 2).flatten(2)
    return (positions.var(2, correction=0).sum(1) + SMALLEST_VARIANCE).repeat_interleave(sections)


def inside(like: Tensor, extent: Sequence[int], shape: Sequence[int]) -> list[Tensor] | None:
    """Return the fraction of every position of a feature map that lies inside the image rather than in its padding.

    Args:
        like: feature map, ``(batch, channel, *spatial)``.
        extent: field of view of the feature map, in voxels from the first one.
        shape: spatial shape of the image.

    Returns:
        Fractions in [0, 1] along every axis, ``(positions,)``, whose product is the fraction of a position; ``None``
        without padding.
    """
    if tuple(extent) == tuple(shape):
        return None
    found = []
    for positions, covered, size in zip(like.shape[2:], extent, shape, strict=True):
        at = torch.arange(positions, device=like.device, dtype=torch.promote_types(like.dtype, torch.float32))
        found.append((size * positions / covered - at).clamp(0, 1))
    return found


class Level(NamedTuple):
    """Dissimilarity of two feature maps."""

    values: Tensor
    """``(batch, 1, *spatial)``."""
    shares: list[Tensor] | None
    """See :func:`inside`."""
    weight: Tensor | None = None
    """Weight of every position, with mean 1 over each pair, in place of ``shares``; see :func:`covered`."""

    def mean(self) -> Tensor:
        """Return the mean over each image, ``(batch,)``, without the padding and what a mask excludes."""
        if self.weight is not None:
            return mean_per_pair(self.values * self.weight)
        if self.shares is None:
            return mean_per_pair(self.values)
        weighted = self.values
        for axis, share in enumerate(self.shares, start=2):
            weighted = weighted * (share / share.mean()).view([-1 if k == axis else 1 for k in range(weighted.dim())])
        return mean_per_pair(weighted)


def covered(mask: Tensor, extent: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Return the share of every position of feature maps that lies inside the image and its mask.

    Args:
        mask: ``(batch, 1, *spatial)``, in [0, 1].
        extent: field of view of the feature maps, in voxels from the first one.
        shape: spatial shape of the feature maps.

    Returns:
        ``(batch, 1, *shape)`` in [0, 1]; differentiable.
    """
    beyond = [n for size, wanted in zip(mask.shape[2:], extent, strict=True) for n in (wanted - size, 0)]
    return _pool(F.pad(mask, beyond[::-1]), shape)


def _pool(values: Tensor, shape: Sequence[int]) -> Tensor:
    """Average over the area of every position of a coarser grid."""
    pool: Any = F.adaptive_avg_pool2d if len(shape) == 2 else F.adaptive_avg_pool3d
    return pool(values, tuple(shape))


def area_resampled(values: Tensor, shape: Sequence[int]) -> Tensor:
    """Resample a map to another grid over the same field of view by area averaging.

    Args:
        values: ``(batch, channel, *spatial)``.
        shape: new spatial shape.

    Returns:
        ``(batch, channel, *shape)`` with the same mean, which interpolation would not preserve.
    """
    for axis, new in enumerate(shape, start=2):
        old = values.shape[axis]
        low = torch.arange(new, dtype=values.dtype, device=values.device)[:, None] / new
        edge = torch.arange(old, dtype=values.dtype, device=values.device) / old
        overlap = torch.minimum(low + 1 / new, edge + 1 / old) - torch.maximum(low, edge)
        values = torch.tensordot(values, overlap.clamp(min=0) * new, dims=([axis], [1])).movedim(-1, axis)
    return values


def resampled(displacement: Tensor, extent: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Resample a displacement to the grid of feature maps, in units of their positions.

    Args:
        displacement: ``(batch, dims, *spatial)`` in voxels.
        extent: field of view of the feature maps, in voxels from the first one; the displacement is extrapolated to it.
        shape: spatial shape of the feature maps.

    Returns:
        ``(batch, dims, *shape)``: means over the area of each position, each component in positions of its axis.
    """
    coarse = _pool(pad(displacement, extent), shape)
    ratio = [new / old for new, old in zip(shape, extent, strict=True)]
    return coarse * torch.tensor(ratio, dtype=torch.float64).to(coarse).view(1, -1, *[1] * len(shape))


def pooled(values: Tensor, extent: Sequence[int], pair: Registration) -> Tensor:
    """Resample feature maps of full-resolution images to the grid of their coarser form.

    Args:
        values: ``(batch, channel, *spatial)``.
        extent: field of view of the maps, in voxels of the full-resolution images from the first one.
        pair: coarser form, whose outermost voxels coincide with those of the images.

    Returns:
        ``(batch, channel, *grid)``: Gaussian-weighted means; the standard deviation is half a coarse voxel, and at
        least half a position.
    """
    assert pair.finer is not None
    matrices = []
    for positions, covered, size, points in zip(
        values.shape[2:], extent, pair.finer.fixed.shape[2:], pair.fixed.shape[2:], strict=True
    ):
        stride, step = covered / positions, (size - 1) / max(points - 1, 1)
        centres = (torch.arange(points, dtype=torch.float64) * step + 0.5) / stride - 0.5
        away = (torch.arange(positions, dtype=torch.float64) - centres[:, None]) / (0.5 * max(step / stride, 1))
        matrices.append((-0.5 * away.square()).softmax(1).float())
    return along(values, matrices)


class HandMade(Protocol):
    """Features that are no network's, such as those of a bank of filters, with the interface of an extractor."""

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Map images ``(batch, 1, *spatial)`` to a list of ``(batch, channels, *coarser)``, finest first."""

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the field of view of every feature map of an image of ``shape``, in voxels from the first one."""


class FeatureLoss(SimilarityLoss):
    """Dissimilarity of features, averaged over the positions of each level, then over levels.

    Positions are weighted by the fraction of them inside the image; otherwise the far border, which is replicated where
    a network needs padding, would count several times.

    Args:
        extractor: network that returns a list of feature maps for images ``(batch, 1, *spatial)``; it is frozen and
            stays in evaluation mode. Or hand-made features.
        levels: indices of the feature maps to compare, 0 being the finest; ``None`` for all.
        comparator: ``"cosine"`` for the cosine over the channels of a position, ``"lncc"`` for the local correlation of
            each channel, ``"l2"`` for the squared distance over the variance of the fixed image's features, for which
            features are extracted in full precision even under autocast.
        zero_mean: for the cosine: subtract the mean over channels at every position first.
        sigma: for the correlation: standard deviation of its Gaussian in positions of the feature maps.
        masked: compare only inside the warped moving mask times the fixed one, by the share of each position that is
            inside; features themselves see the whole image.
        extract: ``"after"`` extracts features of the moved image; ``"before"`` extracts those of the moving image and
            warps them with the displacement resampled to their grid, so that no gradient passes through the network.

    Raises:
        ValueError: if ``levels`` is empty.
    """

    extractor: Extractor | HandMade

    def __init__(
        self,
        extractor: Extractor | HandMade,
        *,
        levels: Sequence[int] | None,
        comparator: Comparator,
        zero_mean: bool,
        sigma: float,
        masked: bool,
        extract: Order,
    ) -> None:
        super().__init__()
        if levels is not None and not levels:
            msg = "levels: the list is empty; name at least one level, or null for all"
            raise ValueError(msg)
        self.extractor = extractor.requires_grad_(False) if isinstance(extractor, nn.Module) else extractor
        self.levels = None if levels is None else tuple(levels)
        self.comparator = comparator
        self.zero_mean = zero_mean
        self.sigma = sigma
        self.masked = masked
        self.extract = extract
        self.train(self.training)

    def train(self, mode: bool = True) -> FeatureLoss:
        """Set the training mode of this module; the extractor always stays in evaluation mode."""
        super().train(mode)
        if isinstance(self.extractor, nn.Module):
            self.extractor.eval()
        return self

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean over levels and positions of each pair, ``(batch,)``, and over the sections of a volume."""
        levels = torch.stack([level.mean() for level in self._dissimilarities(pair)])
        return levels.mean(0).view(len(pair.fixed), -1).mean(1)

    def map(self, pair: Registration) -> Tensor | None:
        """Return the dissimilarity per voxel, resampled from every level to the grid of the images."""
        shape = pair.fixed.shape[2:]
        levels = [area_resampled(level.values, self.extractor.extent(shape)) for level in self._dissimilarities(pair)]
        within: tuple[Any, ...] = (..., *(slice(size) for size in shape))
        values, mask = torch.stack(levels).mean(0)[within], self._mask(pair)
        return values if mask is None else per_voxel_share(values, mask.to(values))

    def _mask(self, pair: Registration) -> Tensor | None:
        return required(self.__module__.rpartition(".")[2], "mask", pair.mask) if self.masked else None

    def _dissimilarities(self, pair: Registration) -> list[Level]:
        if pair.finer is not None:
            return self._coarsely(pair, pair.finer)
        fixed = pair.kept((self, "fixed"), lambda: self._features(pair.fixed, pair))
        return self._compared(pair, self._moved_features(pair), fixed, pair.fixed.shape[2:], self._mask(pair))

    def _coarsely(self, pair: Registration, finer: Registration) -> list[Level]:
        """Compare features of full-resolution images on a coarser grid, where those of the moving image are warped."""
        extent = self.extractor.extent(finer.fixed.shape[2:])

        def features(image: Tensor) -> list[Tensor]:
            return [pooled(level, extent, pair) for level in self._features(image, finer)]

        moving = pair.kept((self, "moving"), lambda: features(finer.moving))
        fixed = pair.kept((self, "fixed"), lambda: features(finer.fixed))
        moved = [warp(level, pair.displacement) for level in moving]
        return self._compared(pair, moved, fixed, None, self._mask(pair))

    def _moved_features(self, pair: Registration) -> list[Tensor]:
        if self.extract == "after":
            return self._features(pair.moved, pair)
        moving = pair.kept((self, "moving"), lambda: self._features(pair.moving, pair))
        extent = self.extractor.extent(pair.moving.shape[2:])
        return [warp(level, resampled(pair.displacement, extent, level.shape[2:])) for level in moving]

    def _compared(
        self,
        pair: Registration,
        moved: Sequence[Tensor],
        fixed: Sequence[Tensor],
        shape: Sequence[int] | None,
        mask: Tensor | None,
    ) -> list[Level]:
        """Compare the feature maps of images of ``shape``; ``None`` if the maps have no padding."""
        shares: list[list[Tensor] | None] = [None] * len(fixed)
        weights: list[Tensor | None] = [None] * len(fixed)
        extent = None if shape is None else self.extractor.extent(shape)
        if mask is not None:
            weights = [mask if extent is None else covered(mask, extent, level.shape[2:]) for level in fixed]
        elif shape is not None and extent is not None:
            shares = [inside(level, extent, shape) for level in fixed]
        levels = []
        for place, (own, other) in enumerate(zip(moved, fixed, strict=True)):
            values = self._values(pair, place, own, other, shares[place], weights[place])
            weight = weights[place]
            if weight is not None:
                of_pair = weight.to(values).unflatten(0, (len(pair.fixed), -1))
                weight = per_voxel_share(torch.ones_like(of_pair), of_pair).flatten(0, 1)
            levels.append(Level(values, shares[place], weight))
        return levels

    def _values(
        self,
        pair: Registration,
        place: int,
        moved: Tensor,
        fixed: Tensor,
        shares: list[Tensor] | None,
        weight: Tensor | None,
    ) -> Tensor:
        """Return the dissimilarity of the feature maps of one level, ``(batch, 1, *spatial)``."""
        if self.comparator == "cosine":
            return cosine_dissimilarity(moved, fixed, self.zero_mean)
        if self.comparator == "l2":
            pairs = len(pair.fixed)
            return squared_dissimilarity(
                moved, fixed, pair.kept((self, "variance", place), lambda: total_variance(fixed, pairs))
            )
        known = None
        # as large as the features, so only if they are reused; inside a mask, which moves, they change
        if pair.keeps and weight is None:
            known = pair.kept((self, "statistics", place), lambda: gaussian_statistics(fixed, self.sigma, shares))
        return correlation_dissimilarity(moved, fixed, self.sigma, shares, known, weight)

    def _features(self, image: Tensor, pair: Registration) -> list[Tensor]:
        # rounding the features to bfloat16 changes small differences of them by a sixth
        precisely = torch.autocast(image.device.type, enabled=False) if self.comparator == "l2" else nullcontext()
        with precisely:
            features = self._extract(image, pair)
        if self.levels is None:
            return features
        if not all(0 <= level < len(features) for level in self.levels):
            msg = f"levels: {list(self.levels)} requested, but the extractor has levels 0 to {len(features) - 1}"
            raise ValueError(msg)
        return [features[level] for level in self.levels]

    def _extract(self, image: Tensor, pair: Registration) -> list[Tensor]:  # noqa: ARG002
        return list(self.extractor(image))

    def extra_repr(self) -> str:
        """Show the options in ``repr``."""
        how = {"cosine": f", zero_mean={self.zero_mean}", "lncc": f", sigma={self.sigma}"}.get(self.comparator, "")
        return f"levels={self.levels or 'all'}, {self.comparator}{how}, masked={self.masked}, extract={self.extract}"
