"""DeepSim-AE: cosine dissimilarity of features of an autoencoder trained on the dataset's images, without labels.

Czolbe et al., Semantic similarity metrics for image registration, Med. Image Anal. 2023,
doi:10.1016/j.media.2023.102830.
"""

from __future__ import annotations

from likeness.losses._features import FeatureLoss

CARD = {
    "title": "DeepSim-AE",
    "order": 300,
    "colour": "#CC6677",
    "marker": "X",
    "formula": (
        r"1-\frac{1}{|L|}\sum_{l\in L}\frac{1}{|\Omega_l|}\sum_{x\in\Omega_l}"
        r"\frac{\langle F_l(m)(x),F_l(f)(x)\rangle}{\|F_l(m)(x)\|\,\|F_l(f)(x)\|}"
    ),
    "range": [0, 2],
    "doi": "10.1016/j.media.2023.102830",
    "supervision": "in-domain",
    "extractor": "autoencoder",
    "shares": ["_features"],
}


class Loss(FeatureLoss):
    """Dissimilarity of an autoencoder's features."""
