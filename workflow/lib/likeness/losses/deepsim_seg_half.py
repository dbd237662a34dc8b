"""DeepSim-seg with a network trained on half of the labels: a control for scoring on the labels used in training.

Czolbe et al., Semantic similarity metrics for image registration, Med. Image Anal. 2023,
doi:10.1016/j.media.2023.102830.
"""

from __future__ import annotations

from likeness.losses._features import FeatureLoss

CARD = {
    "title": "DeepSim-seg, half",
    "order": 415,
    "colour": "#EE3377",
    "marker": "H",
    "formula": (
        r"1-\frac{1}{|L|}\sum_{l\in L}\frac{1}{|\Omega_l|}\sum_{x\in\Omega_l}"
        r"\frac{\langle F_l(m)(x),F_l(f)(x)\rangle}{\|F_l(m)(x)\|\,\|F_l(f)(x)\|}"
    ),
    "range": [0, 2],
    "doi": "10.1016/j.media.2023.102830",
    "supervision": "labels",
    "extractor": "segmentation_half",
    "requires": {
        "label": "its feature extractor learns to segment the labels of the training subjects",
        "labels": "its feature extractor learns half of the scored labels, but there is only one",
    },
    "shares": ["_features"],
}


class Loss(FeatureLoss):
    """Dissimilarity of the features of a segmentation network trained on half of the labels."""
