"""DeepSim-VGG: cosine dissimilarity of features of VGG-16 pretrained on natural images.

Czolbe et al., Semantic similarity metrics for image registration, Med. Image Anal. 2023,
doi:10.1016/j.media.2023.102830.
"""

from __future__ import annotations

from collections.abc import Sequence

from likeness.extractors.vgg import VGG
from likeness.losses._features import Comparator, Order
from likeness.losses._pictures import PictureLoss

CARD = {
    "title": "DeepSim-VGG",
    "order": 200,
    "colour": "#004488",
    "marker": "p",
    "formula": (
        r"1-\frac{1}{|L|}\sum_{l\in L}\frac{1}{|\Omega_l|}\sum_{x\in\Omega_l}"
        r"\frac{\langle F_l(m)(x),F_l(f)(x)\rangle}{\|F_l(m)(x)\|\,\|F_l(f)(x)\|}"
    ),
    "range": [0, 2],
    "doi": "10.1016/j.media.2023.102830",
    "supervision": "external",
    "extractor": "vgg",
    "noise": {3: "slices"},
    "shares": ["_features", "_pictures"],
    "options": {"levels": {"items": {"type": "integer", "minimum": 0, "maximum": 2}}, "imagenet": {"default": False}},
}


class Loss(PictureLoss):
    """Dissimilarity of the features of relu1_2, relu2_2 and relu3_3.

    Args:
        extractor: pretrained network.
        levels: see :class:`FeatureLoss`.
        comparator: see :class:`FeatureLoss`.
        zero_mean: see :class:`FeatureLoss`.
        sigma: see :class:`FeatureLoss`.
        masked: see :class:`FeatureLoss`.
        extract: see :class:`PictureLoss`.
        slices: see :class:`PictureLoss`.
        imagenet: normalise images as in the network's training; the published code does not.
    """

    def __init__(
        self,
        extractor: VGG,
        *,
        levels: Sequence[int] | None,
        comparator: Comparator,
        zero_mean: bool,
        sigma: float,
        masked: bool,
        extract: Order,
        slices: int,
        imagenet: bool,
    ) -> None:
        super().__init__(
            extractor,
            levels=levels,
            comparator=comparator,
            zero_mean=zero_mean,
            sigma=sigma,
            masked=masked,
            extract=extract,
            slices=slices,
        )
        extractor.imagenet = imagenet
