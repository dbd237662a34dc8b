"""Mean squared difference of intensities.

Balakrishnan et al., VoxelMorph: a learning framework for deformable medical image registration, IEEE Trans. Med.
Imaging 2019, doi:10.1109/TMI.2019.2897538.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from likeness.losses._arithmetic import check_images, full_precision
from likeness.losses.base import Registration, SimilarityLoss, mean_per_pair

CARD = {
    "title": "MSE",
    "order": 100,
    "colour": "#332288",
    "marker": "o",
    "formula": r"\frac{1}{|\Omega|}\sum_{x\in\Omega}\left(m(x)-f(x)\right)^2",
    "range": [0, 1],
    "doi": "10.1109/TMI.2019.2897538",
    "supervision": "none",
    "raw_grid": [0.005, 0.01, 0.02, 0.04, 0.08],
}


@full_precision
def squared_difference(moved: Tensor, fixed: Tensor) -> Tensor:
    """Squared difference per voxel and channel, in the shape of the images.

    Raises:
        ValueError: if the shapes differ.
    """
    check_images("squared_difference", moved, fixed)
    # keeps no difference image for the gradient, unlike (moved - fixed).square()
    return F.mse_loss(moved, fixed, reduction="none")


class Loss(SimilarityLoss):
    """Mean squared difference of the intensities."""

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean over the voxels of each pair, ``(batch,)``."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Return the squared difference per voxel, ``(batch, 1, *spatial)``."""
        return squared_difference(pair.moved, pair.fixed)
