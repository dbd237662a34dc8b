"""DeepSim with the untrained initial network of DeepSim-seg: a control for the effect of the architecture alone.

Czolbe et al., Semantic similarity metrics for image registration, Med. Image Anal. 2023,
doi:10.1016/j.media.2023.102830.
"""

from __future__ import annotations

from likeness.losses._features import FeatureLoss

CARD = {
    "title": "DeepSim, untrained",
    "order": 170,
    "colour": "#777777",
    "marker": "h",
    "formula": (
        r"1-\frac{1}{|L|}\sum_{l\in L}\frac{1}{|\Omega_l|}\sum_{x\in\Omega_l}"
        r"\frac{\langle F_l(m)(x),F_l(f)(x)\rangle}{\|F_l(m)(x)\|\,\|F_l(f)(x)\|}"
    ),
    "range": [0, 2],
    "doi": "10.1016/j.media.2023.102830",
    "supervision": "none",
    "extractor": "untrained",
    "shares": ["_features"],
}


class Loss(FeatureLoss):
    """Dissimilarity of an untrained network's features."""
