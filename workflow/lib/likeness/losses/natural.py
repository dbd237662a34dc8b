"""Cosine dissimilarity of features of EfficientNet-Lite0, a small network pretrained on natural images.

The weights need no download. Czolbe et al., Semantic similarity metrics for image registration, Med. Image Anal. 2023,
doi:10.1016/j.media.2023.102830, compare features of VGG-16 in this way; Tan and Le, EfficientNet, ICML 2019,
arXiv:1905.11946.
"""

from __future__ import annotations

from likeness.losses._pictures import PictureLoss

CARD = {
    "title": "Natural images",
    "order": 205,
    "colour": "#7A9A01",
    "marker": (7, 1, 0),
    "formula": (
        r"1-\frac{1}{|L|}\sum_{l\in L}\frac{1}{|\Omega_l|}\sum_{x\in\Omega_l}"
        r"\frac{\langle F_l(m)(x),F_l(f)(x)\rangle}{\|F_l(m)(x)\|\,\|F_l(f)(x)\|}"
    ),
    "range": [0, 2],
    "doi": "10.48550/arXiv.1905.11946",
    "supervision": "external",
    "extractor": "efficientnet",
    "noise": {3: "slices"},
    "shares": ["_features", "_pictures"],
    "options": {"levels": {"items": {"type": "integer", "minimum": 0, "maximum": 2}}},
}


class Loss(PictureLoss):
    """Dissimilarity of the features of the stem, at half the resolution, and of blocks at a quarter and an eighth."""
