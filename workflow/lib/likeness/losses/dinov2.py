"""Cosine dissimilarity of patch tokens of DINOv2, a vision transformer pretrained on natural images without labels.

Oquab et al., DINOv2: Learning robust visual features without supervision, TMLR 2024, arXiv:2304.07193.
"""

from __future__ import annotations

from collections.abc import Sequence

from likeness.extractors.dinov2 import DINOv2
from likeness.losses._features import Comparator, Order
from likeness.losses._pictures import PictureLoss

CARD = {
    "title": "DINOv2",
    "order": 250,
    "colour": "#1F1FE0",
    "marker": "$♥$",
    "formula": (
        r"1-\frac{1}{|L|}\sum_{l\in L}\frac{1}{|\Omega_l|}\sum_{x\in\Omega_l}"
        r"\frac{\langle F_l(m)(x),F_l(f)(x)\rangle}{\|F_l(m)(x)\|\,\|F_l(f)(x)\|}"
    ),
    "range": [0, 2],
    "doi": "10.48550/arXiv.2304.07193",
    "supervision": "external",
    "extractor": "dinov2",
    "noise": {3: "slices"},
    "shares": ["_features", "_pictures"],
    "options": {
        "levels": None,
        "taps": {
            "default": None,
            "type": ["array", "null"],
            "items": {"type": "integer", "minimum": 0, "maximum": 11},
            "minItems": 1,
            "uniqueItems": True,
        },
        "sigma": {"default": 1.0},
    },
}


class Loss(PictureLoss):
    """Dissimilarity of DINOv2's patch tokens.

    Args:
        extractor: pretrained network.
        taps: indices of the blocks whose tokens are compared, from 0; by default the last one.
        comparator: see :class:`FeatureLoss`.
        zero_mean: see :class:`FeatureLoss`.
        sigma: see :class:`FeatureLoss`; a position is a patch of 14 pixels.
        masked: see :class:`FeatureLoss`.
        extract: see :class:`PictureLoss`.
        slices: see :class:`PictureLoss`.
    """

    def __init__(
        self,
        extractor: DINOv2,
        *,
        taps: Sequence[int] | None,
        comparator: Comparator,
        zero_mean: bool,
        sigma: float,
        masked: bool,
        extract: Order,
        slices: int,
    ) -> None:
        super().__init__(
            extractor,
            levels=None,
            comparator=comparator,
            zero_mean=zero_mean,
            sigma=sigma,
            masked=masked,
            extract=extract,
            slices=slices,
        )
        extractor.cut(taps)
