"""Features of networks that know pictures only: of images as they are, of volumes in random sections."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from likeness.extractors.base import Extractor
from likeness.extractors.sections import random_axis_and_sections, sections
from likeness.geometry import warp
from likeness.losses._features import Comparator, FeatureLoss, Level, Order, resampled
from likeness.losses.base import Registration

OPTIONS = {"slices": {"default": 4, "minimum": 1, "maximum": 512}}
"""What losses share whose networks know pictures only, see ``shares`` in :mod:`.base`."""
SECTIONS = 1
"""Key of the randomness that the sections are drawn with."""


class PictureLoss(FeatureLoss):
    """Dissimilarity of the features of pictures.

    Of volumes, random sections along one random axis are compared: in a training other ones in every step, as in DGIR
    (MICCAI 2025); in the optimisation of a pair the same ones all along, the ``slices`` more the better.

    Args:
        extractor: a network for pictures.
        levels: see :class:`FeatureLoss`.
        comparator: see :class:`FeatureLoss`.
        zero_mean: see :class:`FeatureLoss`.
        sigma: see :class:`FeatureLoss`.
        extract: see :class:`FeatureLoss`; before warping, a section of the moved volume is a mixture of sections of the
            moving one, so that all of these are extracted.
        slices: number of sections of a volume that are compared in a step.
    """

    def __init__(
        self,
        extractor: Extractor,
        *,
        levels: Sequence[int] | None,
        comparator: Comparator,
        zero_mean: bool,
        sigma: float,
        extract: Order,
        slices: int,
    ) -> None:
        super().__init__(
            extractor, levels=levels, comparator=comparator, zero_mean=zero_mean, sigma=sigma, extract=extract
        )
        self.slices = slices

    def coarsens(self, dims: int) -> bool:
        """Tell that random sections of volumes are taken at full resolution alone."""
        return dims == 2

    def map(self, pair: Registration) -> Tensor | None:
        """Give the dissimilarity per pixel of pictures; a few sections of a volume are no map of it."""
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
        return self._compared(pair, moved, fixed, within(pair.fixed.shape[2:], axis))

    def _warped_sections(self, pair: Registration, axis: int, positions: list[int]) -> list[Tensor]:
        """Extract every section of the moving volumes, pile the features up, warp the pile and take sections of it."""
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
    """Give the shape of a section of a volume across ``axis``."""
    return [size for k, size in enumerate(shape) if k != axis]
