"""Local correlation of features of a small diffusion model trained on the dataset's images, without labels.

DGIR, MICCAI 2025, arXiv:2506.02419, uses a model of natural images; this loss says nothing about such pretraining.
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

    With three stages this is a quarter of the resolution, like DGIR's features in 2D.
    """

    published: ClassVar = {2: ("up0",), 3: ("up0",)}
