"""Cosine dissimilarity of features of Anatomix, a 3D network pretrained on synthetic volumes of random contrast.

Dey et al., Learning general-purpose biomedical volume representations using randomized synthesis, ICLR 2025,
arXiv:2411.02372.
"""

from __future__ import annotations

from likeness.extractors.anatomix import Anatomix
from likeness.losses._features import Comparator, FeatureLoss, Order

CARD = {
    "title": "Anatomix",
    "order": 240,
    "colour": "#DD1144",
    "marker": "$♠$",
    "formula": (
        r"1-\frac{1}{|\Omega|}\sum_{x\in\Omega}"
        r"\frac{\langle F(m)(\phi(x)),F(f)(x)\rangle}{\|F(m)(\phi(x))\|\,\|F(f)(x)\|}"
    ),
    "range": [0, 2],
    "doi": "10.48550/arXiv.2411.02372",
    "dimensions": [3],
    "supervision": "external",
    "extractor": "anatomix",
    "invariances": ["offset", "scale"],
    "shares": ["_features"],
    "options": {"levels": None, "extract": {"default": "before"}},
}


class Loss(FeatureLoss):
    """Dissimilarity of Anatomix's features.

    Args:
        extractor: pretrained network.
        comparator: see :class:`FeatureLoss`.
        zero_mean: see :class:`FeatureLoss`.
        sigma: see :class:`FeatureLoss`.
        masked: see :class:`FeatureLoss`.
        extract: see :class:`FeatureLoss`; the authors extract before warping.
    """

    def __init__(
        self,
        extractor: Anatomix,
        *,
        comparator: Comparator,
        zero_mean: bool,
        sigma: float,
        masked: bool,
        extract: Order,
    ) -> None:
        super().__init__(
            extractor,
            levels=None,
            comparator=comparator,
            zero_mean=zero_mean,
            sigma=sigma,
            masked=masked,
            extract=extract,
        )
