"""Soft Dice of the predictions of DeepSim-seg's network: a control that uses its output instead of its features.

Milletari et al., V-Net, 3DV 2016, doi:10.1109/3DV.2016.79.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likeness.extractors.encoder import UNetExtractor
from likeness.geometry import warp
from likeness.losses._features import pooled
from likeness.losses._overlap import soft_dice_dissimilarity
from likeness.losses.base import Registration, SimilarityLoss

CARD = {
    "title": "Dice of predictions",
    "order": 420,
    "colour": "#009988",
    "marker": "8",
    "formula": r"1-\frac{1}{|L|}\sum_{l}\frac{2\sum_x P_l(m)(x)P_l(f)(x)}{\sum_x P_l(m)(x)^2+P_l(f)(x)^2}",
    "range": [0, 1],
    "doi": "10.1109/3DV.2016.79",
    "supervision": "labels",
    "extractor": "segmentation",
    "requires": {"label": "its feature extractor learns to segment the labels of the training subjects"},
}


class Loss(SimilarityLoss):
    """One minus the soft Dice of the class probabilities that a segmentation network predicts for both images.

    Args:
        extractor: segmentation network, which is frozen and stays in evaluation mode.
    """

    def __init__(self, extractor: UNetExtractor) -> None:
        super().__init__()
        self.extractor = extractor.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Loss:
        """Set the training mode of this module; the network always stays in evaluation mode."""
        super().train(mode)
        self.extractor.eval()
        return self

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean over the classes of each pair, ``(batch,)``."""
        if pair.finer is not None:
            return self._coarsely(pair, pair.finer)
        fixed = pair.kept((self, "fixed"), lambda: self._probabilities(pair.fixed))
        return soft_dice_dissimilarity(self._probabilities(pair.moved), fixed)

    def _coarsely(self, pair: Registration, finer: Registration) -> Tensor:
        size = finer.fixed.shape[2:]
        moving = pair.kept((self, "moving"), lambda: pooled(self._probabilities(finer.moving), size, pair))
        fixed = pair.kept((self, "fixed"), lambda: pooled(self._probabilities(finer.fixed), size, pair))
        return soft_dice_dissimilarity(warp(moving, pair.displacement), fixed)

    def _probabilities(self, image: Tensor) -> Tensor:
        logits = self.extractor.unet(image)
        return (logits if logits.dtype == torch.float64 else logits.float()).softmax(1)
