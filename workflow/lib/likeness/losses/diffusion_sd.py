"""Cosine dissimilarity of features of Stable Diffusion, a diffusion model of captioned natural images.

Rombach et al., CVPR 2022, arXiv:2112.10752; for correspondence: Tang et al., Emergent correspondence from image
diffusion (DIFT), NeurIPS 2023, arXiv:2306.03881.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from likeness.extractors.stable_diffusion import StableDiffusion
from likeness.losses._diffusion import DiffusionLoss
from likeness.losses._features import Comparator, Order

CARD = {
    "title": "Stable Diffusion",
    "order": 270,
    "colour": "#DD33DD",
    "marker": "$◗$",
    "formula": (
        r"1-\frac{1}{|\Omega|}\sum_{x\in\Omega}"
        r"\frac{\langle F(m_t)(x),F(f_t)(x)\rangle}{\|F(m_t)(x)\|\,\|F(f_t)(x)\|}"
    ),
    "range": [0, 2],
    "doi": "10.48550/arXiv.2306.03881",
    "supervision": "external",
    "extractor": "stable_diffusion",
    "noise": {2: "draws", 3: "slices"},
    "coarse": "A position of its features covers sixteen voxels along each axis; smaller displacements hardly matter.",
    "shares": ["_features", "_pictures", "_diffusion"],
    "options": {
        "taps": {"items": {"enum": ["middle", "up0", "up1", "up2", "up3"]}},
        "timestep": {"default": 261, "type": "integer", "tune": [60, 100, 180, 261, 340]},
        "comparator": {"default": "cosine"},
        "sigma": {"default": 4.0, "type": "number", "tune": [1.0, 2.0, 3.0, 4.0, 8.0]},
    },
}


class Loss(DiffusionLoss):
    """Dissimilarity of the features of Stable Diffusion's denoising network.

    Args:
        extractor: pretrained network.
        taps: see :class:`DiffusionLoss`; by default DIFT's, the second block of the decoder.
        timestep: see :class:`DiffusionLoss`; by default DIFT's.
        draws: see :class:`DiffusionLoss`; DIFT uses eight.
        comparator: see :class:`FeatureLoss`; DIFT uses the cosine.
        zero_mean: see :class:`FeatureLoss`.
        sigma: see :class:`FeatureLoss`.
        masked: see :class:`FeatureLoss`.
        extract: see :class:`PictureLoss`.
        slices: number of sections of a volume.
    """

    published: ClassVar = {2: ("up1",), 3: ("up1",)}

    def __init__(
        self,
        extractor: StableDiffusion,
        *,
        taps: Sequence[str] | None,
        timestep: int,
        draws: int,
        comparator: Comparator,
        zero_mean: bool,
        sigma: float,
        masked: bool,
        extract: Order,
        slices: int,
    ) -> None:
        super().__init__(
            extractor,
            taps=taps,
            timestep=timestep,
            draws=draws,
            comparator=comparator,
            zero_mean=zero_mean,
            sigma=sigma,
            masked=masked,
            extract=extract,
            slices=slices,
        )
