"""Soft Dice of the true labels: the supervised reference, an upper bound for image similarity.

Milletari et al., V-Net, 3DV 2016, doi:10.1109/3DV.2016.79.
"""

from __future__ import annotations

from torch import Tensor

from likeness.losses._overlap import soft_dice_dissimilarity
from likeness.losses.base import Registration, SimilarityLoss, required

CARD = {
    "title": "Dice of labels",
    "order": 430,
    "colour": "#663311",
    "marker": "x",
    "formula": r"1-\frac{1}{|L|}\sum_{l}\frac{2\sum_x m_l(x)f_l(x)}{\sum_x m_l(x)^2+f_l(x)^2}",
    "range": [0, 1],
    "doi": "10.1109/3DV.2016.79",
    "supervision": "labels",
    "requires": {"label": "it compares the labels of the training images while training"},
    "invariances": ["offset", "scale", "inversion", "monotone"],
    "oracle": True,
}


class Loss(SimilarityLoss):
    """One minus the soft Dice of all labels, background included; the images are not used."""

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean over the labels of each pair, ``(batch,)``."""
        moved = required("dice_sup", "label", pair.moved_labels)
        return soft_dice_dissimilarity(moved, required("dice_sup", "label", pair.fixed_labels))
