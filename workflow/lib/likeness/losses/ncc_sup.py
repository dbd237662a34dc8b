"""Windowed squared cross-correlation of the images plus the mean squared difference of their warped one-hot labels.

Czolbe et al., Semantic similarity metrics for image registration, Med. Image Anal. 2023,
doi:10.1016/j.media.2023.102830, where it is called NCC+sup.
"""

from __future__ import annotations

from torch import Tensor

from likeness.losses._correlation import WindowedLoss, squared_correlation
from likeness.losses.base import Registration, mean_per_pair, required
from likeness.losses.mse import squared_difference

CARD = {
    "title": "NCC² + labels",
    "order": 400,
    "colour": "#999933",
    "marker": "<",
    "formula": r"\mathcal{L}_{\mathrm{NCC}^2}(m,f)+\frac{1}{|L||\Omega|}\sum_{l,x}\left(m_l(x)-f_l(x)\right)^2",
    "range": [0, 2],
    "doi": "10.1016/j.media.2023.102830",
    "supervision": "labels",
    "window": "a cube, `window` voxels a side",
    "requires": {"label": "it compares the labels of the training images while training"},
    "invariances": ["offset", "scale", "inversion"],
    "oracle": True,
    "only_trained": "it reads the labels of the pair, which are not available when a new pair is registered",
    "options": {"window": {"default": 9, "odd": True, "minimum": 3, "maximum": 127, "tune": [5, 7, 9, 13, 17, 25, 35]}},
}


class Loss(WindowedLoss):
    """Windowed squared correlation of the images plus mean squared difference of the labels, with equal weights.

    Args:
        window: edge length in voxels, odd.
    """

    def __init__(self, *, window: int) -> None:
        super().__init__(window)

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean over the voxels and labels of each pair, ``(batch,)``."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Return the sum of both terms per voxel, the label term averaged over labels."""
        moved_labels = required("ncc_sup", "label", pair.moved_labels)
        fixed_labels = required("ncc_sup", "label", pair.fixed_labels)
        labels = squared_difference(moved_labels, fixed_labels).mean(1, keepdim=True)
        return 1 - squared_correlation(pair.moved, *self.known(pair)) + labels
