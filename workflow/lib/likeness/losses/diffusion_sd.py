"""The likeness of features that emerge in Stable Diffusion, a diffusion model of natural pictures with captions.

Rombach et al., CVPR 2022, arXiv:2112.10752; as correspondence Tang et al., Emergent correspondence from image diffusion
(DIFT), NeurIPS 2023, arXiv:2306.03881.
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
    "dimensions": [2, 3],
    "supervision": "external",
    "extractor": "stable_diffusion",
    "requires": {},
    "invariances": [],
    "grid": [0.1, 0.3, 1.0],
    "raw_grid": [0.125, 0.25, 0.5, 1.0, 2.0],
    "noise": {2: "draws", 3: "slices"},
    "coarse": "A position of its features covers sixteen voxels along each axis: what moves by less it hardly sees.",
    "limits": {
        "taps": {
            "type": ["array", "null"],
            "items": {"enum": ["middle", "up0", "up1", "up2", "up3"]},
            "minItems": 1,
            "uniqueItems": True,
        },
        "timestep": {"minimum": 0, "maximum": 999},
        "draws": {"minimum": 1, "maximum": 64},
        "sigma": {"minimum": 0.5, "maximum": 64, "with": {"comparator": "lncc"}},
    },
}


class Loss(DiffusionLoss):
    """Dissimilarity of the features of Stable Diffusion's denoising network.

    Args:
        extractor: the network.
        taps: see :class:`DiffusionLoss`; by default DIFT's, the second block of the decoder.
        timestep: see :class:`DiffusionLoss`; by default DIFT's.
        draws: see :class:`DiffusionLoss`; DIFT takes eight.
        comparator: see :class:`FeatureLoss`; DIFT compares by the cosine.
        zero_mean: see :class:`FeatureLoss`.
        sigma: see :class:`FeatureLoss`.
        extract: see :class:`PictureLoss`.
        slices: how many sections of a volume.
    """

    published: ClassVar = {2: ("up1",), 3: ("up1",)}

    def __init__(
        self,
        extractor: StableDiffusion,
        *,
        taps: Sequence[str] | None = None,
        timestep: int = 261,
        draws: int = 1,
        comparator: Comparator = "cosine",
        zero_mean: bool = False,
        sigma: float = 4.0,
        extract: Order = "after",
        slices: int = 4,
    ) -> None:
        super().__init__(
            extractor,
            taps=taps,
            timestep=timestep,
            draws=draws,
            comparator=comparator,
            zero_mean=zero_mean,
            sigma=sigma,
            extract=extract,
            slices=slices,
        )
