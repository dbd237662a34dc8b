"""MIND-SSC: self-similarity context, a descriptor of local structure that is independent of the modality.

Heinrich et al., Towards realtime multimodal fusion for image-guided interventions using self-similarities, MICCAI 2013,
doi:10.1007/978-3-642-40811-3_24.

The patches around the neighbours of a voxel, ``dilation`` away along each axis, are compared with each other: all pairs
of neighbours on different axes, 4 pairs in 2D and 12 in 3D. With s_c the mean squared difference of pair c, the
descriptor is exp(-(s_c - min s) / v), where v is the mean of s - min s over the pairs. The loss is the mean squared
difference of the descriptors of both images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import combinations, product
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from likeness.losses._arithmetic import box_sum, check_images, full_precision
from likeness.losses.base import Registration, SimilarityLoss

CARD = {
    "title": "MIND-SSC",
    "order": 130,
    "colour": "#AA4499",
    "marker": "P",
    "formula": r"\frac{1}{|\Omega||C|}\sum_{x,c}\left(\mathrm{MIND}_c(m,x)-\mathrm{MIND}_c(f,x)\right)^2",
    "range": [0, 1],
    "doi": "10.1007/978-3-642-40811-3_24",
    "supervision": "none",
    "window": "patches of 2 · `radius` + 1 voxels a side, `dilation` voxels apart",
    "invariances": ["offset", "scale", "inversion"],
    "raw_grid": [0.015625, 0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0],
    "options": {
        "radius": {"default": 2, "minimum": 0, "maximum": 16, "tune": [1, 2, 3]},
        "dilation": {"default": 2, "minimum": 1, "maximum": 16, "tune": [1, 2, 3, 4]},
    },
}

NOISE_RATIO = 1e-3
"""The noise estimate v is clamped to between this factor and its inverse times the mean over the image."""
NOISE_FLOOR = 1e-10
"""Lower bound on v, so that constant images have a descriptor."""
SLAB = 16384
"""Voxels per slab, so that the descriptors fit into the cache of a CPU core."""


Box = tuple[Any, ...]
"""An index: an ellipsis and a slice per spatial axis."""


class _Offset(NamedTuple):
    """Indices into the extended image for the two ends of an offset between neighbours of a voxel.

    Two pairs of neighbours share each offset, on opposite sides of the voxel: their patch distances are the same map,
    read at two places.
    """

    near: Box
    far: Box
    reads: tuple[Box, Box]


def _offsets(size: tuple[int, ...], radius: int, dilation: int) -> list[_Offset]:
    """List the offsets for an image of this size: for every two axes one rising along both and one along the first
    only.

    The extended image starts ``radius + dilation`` voxels before the image. The patch maps of an offset start
    ``dilation`` voxels before it along the two axes of the offset, and with the image along a third.
    """

    def box(start: dict[int, int], elsewhere: int, margin: int, longer: int) -> Box:
        starts = [start.get(axis, elsewhere) for axis in range(len(size))]
        lengths = [n + 2 * margin + (longer if axis in start else 0) for axis, n in enumerate(size)]
        return (..., *(slice(a, a + n) for a, n in zip(starts, lengths, strict=True)))

    offsets = []
    for (i, j), rises in product(combinations(range(len(size)), 2), (True, False)):
        low, high = (0, dilation) if rises else (dilation, 0)
        near = box({i: 0, j: low}, dilation, radius, dilation)
        far = box({i: dilation, j: high}, dilation, radius, dilation)
        reads = box({i: 0, j: high}, 0, 0, 0), box({i: dilation, j: low}, 0, 0, 0)
        offsets.append(_Offset(near, far, reads))
    return offsets


def _extended(image: Tensor, radius: int, dilation: int) -> Tensor:
    """Pad an image by replication, as far as its patches reach."""
    return F.pad(image, [radius + dilation] * (2 * (image.dim() - 2)), mode="replicate")


def _patches(extended: Tensor, offsets: list[_Offset], window: int) -> list[Tensor]:
    """Mean squared difference of the patches at both ends of each offset."""
    share = 1 / window ** (extended.dim() - 2)
    return [box_sum((extended[o.near] - extended[o.far]).square(), window) * share for o in offsets]


def _read(patches: list[Tensor], offsets: list[_Offset]) -> list[Tensor]:
    """Return views ``(batch, 1, *spatial)`` of the distances of all pairs."""
    return [patch[place] for patch, offset in zip(patches, offsets, strict=True) for place in offset.reads]


def _typical_noise(distances: list[Tensor]) -> Tensor:
    """Mean noise estimate of the image, ``(batch, 1, 1, …)``; constant for the gradient, as in DeepSim."""
    with torch.no_grad():
        least = reduce(torch.minimum, distances)
        noise = sum(distances[1:], distances[0]) / len(distances) - least
        return noise.mean(tuple(range(1, noise.dim())), keepdim=True)


def _bounds(typical: Tensor) -> tuple[Tensor, Tensor]:
    """Minimum and maximum of the noise estimate."""
    return (typical * NOISE_RATIO).clamp(min=NOISE_FLOOR), (typical / NOISE_RATIO).clamp(min=NOISE_FLOOR)


def _descriptor(distances: Tensor, typical: Tensor) -> Tensor:
    """Convert patch distances ``(batch, pairs, *spatial)`` to descriptor entries of the same shape."""
    distances = distances - distances.amin(1, keepdim=True)
    noise = distances.mean(1, keepdim=True).clamp(*_bounds(typical))
    return torch.exp(-distances / noise)


@full_precision
def mind_ssc(image: Tensor, radius: int, dilation: int) -> Tensor:
    """Self-similarity context descriptor of an image.

    Heinrich et al., MICCAI 2013, doi:10.1007/978-3-642-40811-3_24.

    Args:
        image: ``(batch, 1, *spatial)``.
        radius: patch radius in voxels; a patch is ``2 * radius + 1`` voxels wide.
        dilation: distance of the patch centres from the voxel, in voxels.

    Returns:
        ``(batch, 4, *spatial)`` in 2D, ``(batch, 12, *spatial)`` in 3D, in (0, 1]; 1 everywhere for a constant image.

    Raises:
        ValueError: if the image has more than one channel or is neither 2D nor 3D.
    """
    _check_grey("mind_ssc", image, image)
    offsets = _offsets(image.shape[2:], radius, dilation)
    distances = _read(_patches(_extended(image, radius, dilation), offsets, 2 * radius + 1), offsets)
    return _descriptor(torch.cat(distances, dim=1), _typical_noise(distances))


@full_precision
def mind_slabs(image: Tensor, radius: int, dilation: int) -> Iterator[Tensor]:
    """Yield the descriptors of an image in slabs along its first spatial axis; see :func:`mind_ssc`."""
    offsets = _offsets(image.shape[2:], radius, dilation)
    distances = _read(_patches(_extended(image, radius, dilation), offsets, 2 * radius + 1), offsets)
    typical = _typical_noise(distances)
    cut = (torch.cat([d.narrow(2, *slab) for d in distances], dim=1) for slab in _slabs(distances[0]))
    return (_descriptor(slab, typical) for slab in cut)


@full_precision
def mind_difference(
    moved: Tensor,
    fixed: Tensor,
    radius: int,
    dilation: int,
    described: Iterable[Tensor] | None = None,
    share: Tensor | None = None,
) -> Tensor:
    """Mean squared difference of the self-similarity context descriptors of each pair.

    Equal to ``(mind_ssc(moved) - mind_ssc(fixed)).square().mean()`` per pair, without storing a complete descriptor.

    Args:
        moved: ``(batch, 1, *spatial)``.
        fixed: of the same shape; receives no gradient.
        radius: see :func:`mind_ssc`.
        dilation: see :func:`mind_ssc`.
        described: precomputed result of :func:`mind_slabs` for ``fixed``.
        share: weight of each voxel, ``(batch, 1, *spatial)``, with mean 1; by default uniform.

    Returns:
        ``(batch,)`` in [0, 1]; once differentiable in ``moved`` and ``share``.

    Raises:
        ValueError: if the shapes differ, or an image has more than one channel or is neither 2D nor 3D.
    """
    _check_grey("mind_difference", moved, fixed)
    offsets = _offsets(moved.shape[2:], radius, dilation)
    described = mind_slabs(fixed.detach(), radius, dilation) if described is None else described
    return _DescriptorDifference.apply(_extended(moved, radius, dilation), described, offsets, 2 * radius + 1, share)


def _check_grey(function: str, moved: Tensor, fixed: Tensor) -> None:
    check_images(function, moved, fixed)
    if moved.shape[1] != 1:
        msg = f"{function}: the image has {moved.shape[1]} channels; give one"
        raise ValueError(msg)


class _DescriptorDifference(torch.autograd.Function):
    """Mean squared difference of descriptors, computed together with its gradient.

    Descriptors are computed slab by slab, so that they fit into the CPU cache and never need memory for a whole image.
    """

    @staticmethod
    def forward(
        ctx: Any,
        moved: Tensor,
        others: Iterable[Tensor],
        offsets: list[_Offset],
        window: int,
        share: Tensor | None,
    ) -> Tensor:
        patches = _patches(moved, offsets, window)
        distances = _read(patches, offsets)
        typical = _typical_noise(distances)
        slopes = [torch.zeros_like(patch) for patch in patches] if ctx.needs_input_grad[0] else []
        total, squares = moved.new_zeros(len(moved)), []
        for slab, other in zip(_slabs(distances[0]), others, strict=True):
            own = torch.cat([d.narrow(2, *slab) for d in distances], dim=1)
            counts = None if share is None else share.narrow(2, *slab)
            square, slope = _slab_difference(own, other, typical, bool(slopes), counts)
            total += (square if counts is None else square * counts).flatten(1).sum(1)
            squares += [square] * ctx.needs_input_grad[4]
            if slope is not None:
                for part, whole in zip(slope.split(1, dim=1), _read(slopes, offsets), strict=True):
                    whole.narrow(2, *slab).add_(part)
        count = distances[0][0].numel() * len(distances)
        pull = _pull(slopes, moved, offsets, window).mul_(1 / count) if slopes else None
        ctx.save_for_backward(pull, torch.cat(squares, dim=2).mul_(1 / count) if squares else None)
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None, Tensor | None]:
        by_moved, by_share = (
            None if part is None else part * gradient.view(-1, *[1] * (part.dim() - 1)) for part in ctx.saved_tensors
        )
        return by_moved, None, None, None, by_share


def _slabs(image: Tensor) -> Iterator[tuple[int, int]]:
    """Split the first spatial axis into (start, length): thin slabs for the CPU cache, a single one on a GPU."""
    slices = image.shape[2]
    thick = max(1, SLAB * slices // image.numel()) if image.device.type == "cpu" else slices
    for start in range(0, slices, thick):
        yield start, min(thick, slices - start)


def _slab_difference(
    distances: Tensor, other: Tensor, typical: Tensor, wanted: bool, share: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Return the sum over entries of squared differences to another descriptor, ``(batch, 1, *slab)``.

    If ``wanted``, also return the gradient of their sum over voxels, weighted by ``share``.
    """
    least, at = distances.min(1, keepdim=True)
    above = distances - least
    spread = above.mean(1, keepdim=True)
    low, high = _bounds(typical)
    rate = 1 / spread.clamp(low, high)
    entries = (above * -rate).exp_()
    difference = entries - other
    squares = difference.square().sum(1, keepdim=True)
    if not wanted:
        return squares, None
    # with e = exp(-a r): de/da = -r e, and de/dr = -a e, where r = 1/mean(a) unless bounded, a = d - min d
    pull = difference.mul_(entries).mul_(2 if share is None else 2 * share)
    by_rate = -(pull * above).sum(1, keepdim=True)
    free = (spread > low) & (spread < high)
    slope = pull.mul_(-rate).sub_(by_rate * rate.square() * free / distances.shape[1])
    return squares, slope.scatter_add_(1, at, -slope.sum(1, keepdim=True))


def _pull(slopes: list[Tensor], extended: Tensor, offsets: list[_Offset], window: int) -> Tensor:
    """Backpropagate the gradient of the patch distances to the extended image."""
    result = torch.zeros_like(extended)
    share = 1 / window ** (extended.dim() - 2)
    for slope, offset in zip(slopes, offsets, strict=True):
        difference = extended[offset.near] - extended[offset.far]
        difference *= box_sum(slope, window, window - 1) * (2 * share)
        result[offset.near] += difference
        result[offset.far] -= difference
    return result


class Loss(SimilarityLoss):
    """Mean squared difference of self-similarity context descriptors.

    Args:
        radius: patch radius in voxels; a patch is ``2 * radius + 1`` voxels wide.
        dilation: distance of the patch centres from the voxel, in voxels.
    """

    def __init__(self, *, radius: int, dilation: int) -> None:
        super().__init__()
        self.radius, self.dilation = radius, dilation

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean over the descriptor entries and voxels of each pair, ``(batch,)``."""
        described = pair.kept((self, "slabs"), lambda: self._slabs(pair)) if pair.keeps else None
        return mind_difference(pair.moved, pair.fixed, self.radius, self.dilation, described)

    def _slabs(self, pair: Registration) -> list[Tensor]:
        return list(mind_slabs(pair.fixed, self.radius, self.dilation))

    def map(self, pair: Registration) -> Tensor:
        """Return the squared difference of the descriptors, averaged over their entries, ``(batch, 1, *spatial)``."""
        moved = mind_ssc(pair.moved, self.radius, self.dilation)
        fixed = pair.kept((self, "fixed"), lambda: mind_ssc(pair.fixed, self.radius, self.dilation))
        return (moved - fixed).square().mean(1, keepdim=True)

    def extra_repr(self) -> str:
        """Show the options in ``repr``."""
        return f"radius={self.radius}, dilation={self.dilation}"
