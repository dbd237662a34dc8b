"""Local correlation of features of ADM, a diffusion model of natural images.

DGIR, MICCAI 2025, arXiv:2506.02419; the network is from Dhariwal and Nichol, Diffusion models beat GANs on image
synthesis, NeurIPS 2021, arXiv:2105.05233.
"""

from __future__ import annotations

from typing import ClassVar

from likeness.losses._diffusion import DiffusionLoss

CARD = {
    "title": "DGIR, ADM",
    "order": 210,
    "colour": "#0077BB",
    "marker": (6, 1, 0),
    "formula": (
        r"1-\frac{1}{C|\Omega|}\sum_{c,x}"
        r"\frac{\mathrm{cov}_{G_x}(F_c(m_t),F_c(f_t))}{\sqrt{\mathrm{var}_{G_x}(F_c(m_t))\,\mathrm{var}_{G_x}(F_c(f_t))}}"
    ),
    "range": [0, 2],
    "doi": "10.48550/arXiv.2506.02419",
    "supervision": "external",
    "extractor": "adm",
    "raw_grid": [0.5, 1.0, 1.5, 2.0, 4.0],
    "noise": {2: "draws", 3: "slices"},
    "shares": ["_features", "_pictures", "_diffusion"],
    "options": {"taps": {"items": {"enum": ["down", "up"]}}},
}


class Loss(DiffusionLoss):
    """Dissimilarity of ADM's features: ``output_blocks[10]`` in 2D and ``input_blocks[11]`` in 3D, as in DGIR."""

    published: ClassVar = {2: ("up",), 3: ("down",)}
