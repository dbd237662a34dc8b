"""The likeness of features of a small diffusion model that was trained on the dataset's images, without labels.

DGIR, MICCAI 2025, takes them from a model of natural images. What such training is worth, this loss cannot tell.
"""

from __future__ import annotations

from typing import ClassVar

from likeness.losses._diffusion import DiffusionLoss

CARD = {
    "title": "In-domain DDPM",
    "order": 310,
    "colour": "#EE7733",
    "marker": "d",
    "formula": (
        r"1-\frac{1}{C|\Omega|}\sum_{c,x}"
        r"\frac{\mathrm{cov}_{G_x}(F_c(m_t),F_c(f_t))}{\sqrt{\mathrm{var}_{G_x}(F_c(m_t))\,\mathrm{var}_{G_x}(F_c(f_t))}}"
    ),
    "range": [0, 2],
    "doi": None,
    "supervision": "in-domain",
    "extractor": "denoiser",
    "noise": {2: "draws", 3: "slices"},
    "shares": ["_features", "_pictures", "_diffusion"],
}


class Loss(DiffusionLoss):
    """Dissimilarity of the features of the coarsest stage of a denoiser's decoder.

    Of a network of three stages it is at a quarter of the resolution, like DGIR's on pictures.
    """

    published: ClassVar = {2: ("up0",), 3: ("up0",)}
