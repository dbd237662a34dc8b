"""Features of 2D networks, applied to 2D images and to random sections of volumes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from likeness.extractors.base import Extractor
from likeness.extractors.sections import random_axis_and_sections, sections
from likeness.geometry import warp
from likeness.losses._features import Comparator, FeatureLoss, Level, Order, resampled
from likeness.losses.base import Registration

OPTIONS = {"slices": {"default": 4, "minimum": 1, "maximum": 512}}
"""Options shared by the losses with 2D networks, see ``shares`` in :mod:`.base`."""
SECTIONS = 1
"""Key of the random stream for sections."""


class PictureLoss(FeatureLoss):
    """Dissimilarity of the features of a 2D network.

    For volumes, random sections along one random axis are compared: new ones in every training step, as in DGIR (MICCAI
    2025, arXiv:2506.02419); in per-pair optimisation the same ones throughout, so that more ``slices`` are better.

    Args:
        extractor: 2D network.
        levels: see :class:`FeatureLoss`.
        comparator: see :class:`FeatureLoss`.
        zero_mean: see :class:`FeatureLoss`.
        sigma: see :class:`FeatureLoss`.
        masked: see :class:`FeatureLoss`.
        extract: see :class:`FeatureLoss`; ``"before"`` extracts all sections of a moving volume, because a section of
            the moved volume mixes several of them.
        slices: number of sections of a volume.
    """

    def __init__(
        self,
        extractor: Extractor,
        *,
        levels: Sequence[int] | None,
        comparator: Comparator,
        zero_mean: bool,
        sigma: float,
        masked: bool,
        extract: Order,
        slices: int,
    ) -> None:
        super().__init__(
            extractor,
            levels=levels,
            comparator=comparator,
            zero_mean=zero_mean,
            sigma=sigma,
            masked=masked,
            extract=extract,
        )
        self.slices = slices

    def coarsens(self, dims: int) -> bool:
        """Return ``False`` in 3D: random sections of volumes are taken at full resolution only."""
        return dims == 2

    def map(self, pair: Registration) -> Tensor | None:
        """Return the dissimilarity per pixel in 2D; ``None`` in 3D, where only a few sections are compared."""
        return super().map(pair) if pair.fixed.dim() == 4 else None

    def _dissimilarities(self, pair: Registration) -> list[Level]:
        if pair.fixed.dim() == 4:
            return super()._dissimilarities(pair)
        axis, positions = random_axis_and_sections(tuple(pair.fixed.shape[2:]), self.slices, pair.randomness(SECTIONS))
        fixed = pair.kept((self, "fixed"), lambda: self._features(sections(pair.fixed, axis, positions), pair))
        if self.extract == "after":
            moved = self._features(sections(pair.moved, axis, positions), pair)
        else:
            moved = self._warped_sections(pair, axis, positions)
        mask = self._mask(pair)
        mask = None if mask is None else sections(mask, axis, positions)
        return self._compared(pair, moved, fixed, within(pair.fixed.shape[2:], axis), mask)

    def _warped_sections(self, pair: Registration, axis: int, positions: list[int]) -> list[Tensor]:
        """Extract every section of the moving volumes, stack and warp the features, and take sections of the result."""
        shape = pair.moving.shape[2:]
        across = shape[axis]
        every = list(range(across))
        levels = pair.kept((self, "moving"), lambda: self._features(sections(pair.moving, axis, every), pair))
        covered = self.extractor.extent(within(shape, axis))
        extent = [*covered[:axis], across, *covered[axis:]]
        found = []
        for level in levels:
            pile = level.unflatten(0, (len(pair.moving), across)).movedim(1, 2 + axis)
            displacement = resampled(pair.displacement, extent, pile.shape[2:])
            found.append(sections(warp(pile, displacement), axis, positions))
        return found


def within(shape: Sequence[int], axis: int) -> list[int]:
    """Return the shape of a section of a volume across ``axis``."""
    return [size for k, size in enumerate(shape) if k != axis]
