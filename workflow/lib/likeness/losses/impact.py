"""IMPACT: cosine dissimilarity of layers of a network for whole-body segmentation.

Boussot et al., IMPACT: A generic semantic loss for multimodal image registration, arXiv:2503.24121.
"""

from __future__ import annotations

from collections.abc import Sequence

from likeness.extractors.impact import Impact
from likeness.losses._features import Comparator, FeatureLoss, Order

CARD = {
    "title": "IMPACT",
    "order": 260,
    "colour": "#22BB22",
    "marker": "$▰$",
    "formula": (
        r"1-\frac{1}{|L|}\sum_{l\in L}\frac{1}{|\Omega_l|}\sum_{x\in\Omega_l}"
        r"\frac{\langle F_l(m)(x),F_l(f)(x)\rangle}{\|F_l(m)(x)\|\,\|F_l(f)(x)\|}"
    ),
    "range": [0, 2],
    "doi": "10.48550/arXiv.2503.24121",
    "dimensions": [3],
    "supervision": "external",
    "extractor": "impact",
    "invariances": ["offset", "scale"],
    "shares": ["_features"],
}
RECOMMENDED = (1,)
"""Layers that the authors use for images of similar contrast; for MR and CT they use the deepest, 6."""


class Loss(FeatureLoss):
    """Dissimilarity of the layers of one of IMPACT's TorchScript models.

    Args:
        extractor: pretrained model.
        levels: indices of the layers to compare, from 0; by default the second only, as the authors recommend. Layers
            behind the last of these are not computed.
        comparator: see :class:`FeatureLoss`.
        zero_mean: see :class:`FeatureLoss`.
        sigma: see :class:`FeatureLoss`.
        masked: see :class:`FeatureLoss`.
        extract: see :class:`FeatureLoss`; "after" is the authors' Jacobian mode, "before" their static mode.
    """

    def __init__(
        self,
        extractor: Impact,
        *,
        levels: Sequence[int] | None,
        comparator: Comparator,
        zero_mean: bool,
        sigma: float,
        masked: bool,
        extract: Order,
    ) -> None:
        levels = RECOMMENDED if levels is None else levels
        super().__init__(
            extractor,
            levels=levels,
            comparator=comparator,
            zero_mean=zero_mean,
            sigma=sigma,
            masked=masked,
            extract=extract,
        )
        extractor.cut(max(levels) + 1)
