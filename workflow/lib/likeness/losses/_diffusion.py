"""Features of a diffusion model's denoising network for images noised to a timestep.

DGIR, MICCAI 2025, arXiv:2506.02419; Tang et al., Emergent correspondence from image diffusion, NeurIPS 2023,
arXiv:2306.03881.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from likeness.extractors.noising import DiffusionExtractor
from likeness.losses._features import Comparator, Level, Order
from likeness.losses._pictures import PictureLoss
from likeness.losses.base import Registration

OPTIONS = {
    "levels": None,
    "taps": {
        "default": None,
        "type": ["array", "null"],
        "items": {"type": "string"},
        "minItems": 1,
        "uniqueItems": True,
    },
    "timestep": {
        "default": None,
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": 999,
        "tune": [None, 10, 30, 100, 200, 300],
    },
    "draws": {"default": 1, "minimum": 1, "maximum": 64},
    "comparator": {"default": "lncc"},
    "sigma": {"default": None, "type": ["number", "null"], "tune": [None, 1.0, 2.0, 8.0]},
}
"""Options shared by the losses on features of diffusion models, see ``shares`` in :mod:`.base`."""
PUBLISHED_TIMESTEP = {2: 60, 3: 50}
PUBLISHED_SIGMA = {2: 4.0, 3: 5.0}
NOISE = 2
"""Key of the random stream for noise."""


class DiffusionLoss(PictureLoss):
    """Dissimilarity of a denoising network's features.

    Both images get the same noise, a function of seed and step, so that the dissimilarity of identical images is 0.
    Layers behind the last tap are not computed.

    Args:
        extractor: denoising network.
        taps: layers whose outputs are compared, by the extractor's names; by default the published ones.
        timestep: noise level, from 0 (almost none) to 999 (pure noise); by default 60 in 2D and 50 in 3D.
        draws: number of noise samples over which features are averaged, as by Tang et al.; DGIR uses one.
        comparator: see :class:`FeatureLoss`.
        zero_mean: see :class:`FeatureLoss`.
        sigma: see :class:`FeatureLoss`; by default 4 in 2D and 5 in 3D.
        masked: see :class:`FeatureLoss`.
        extract: see :class:`PictureLoss`.
        slices: number of sections of a volume.
    """

    extractor: DiffusionExtractor
    published: ClassVar[Mapping[int, Sequence[str]]]
    """Default taps by number of dimensions."""

    def __init__(
        self,
        extractor: DiffusionExtractor,
        *,
        taps: Sequence[str] | None,
        timestep: int | None,
        draws: int,
        comparator: Comparator,
        zero_mean: bool,
        sigma: float | None,
        masked: bool,
        extract: Order,
        slices: int,
    ) -> None:
        super().__init__(
            extractor,
            levels=None,
            comparator=comparator,
            zero_mean=zero_mean,
            sigma=PUBLISHED_SIGMA[2],
            masked=masked,
            extract=extract,
            slices=slices,
        )
        self.taps = taps
        self.timestep = timestep
        self.draws = draws
        self.sigma_by_hand = sigma

    def _dissimilarities(self, pair: Registration) -> list[Level]:
        dims = pair.fixed.dim() - 2
        self.sigma = self.sigma_by_hand or PUBLISHED_SIGMA[dims]
        self.extractor.cut(self.taps or self.published[dims])
        return super()._dissimilarities(pair)

    def _extract(self, image: Tensor, pair: Registration) -> list[Tensor]:
        dims = pair.fixed.dim() - 2
        timestep = PUBLISHED_TIMESTEP[dims] if self.timestep is None else self.timestep
        taps = self.taps or self.published[dims]
        sources = [pair.randomness(NOISE), *(pair.randomness(NOISE, draw) for draw in range(1, self.draws))]
        drawn = [self.extractor(image, source, timestep, taps) for source in sources]
        return [sum(levels[1:], levels[0]) / self.draws for levels in zip(*drawn, strict=True)]

    def extra_repr(self) -> str:
        """Show the options in ``repr``."""
        return f"taps={self.taps}, timestep={self.timestep}, draws={self.draws}, {super().extra_repr()}"
