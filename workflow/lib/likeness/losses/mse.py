"""Mean squared difference of intensities.

Balakrishnan et al., VoxelMorph: a learning framework for deformable medical image registration, IEEE Trans. Med.
Imaging 2019, doi:10.1109/TMI.2019.2897538.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from likeness.losses._arithmetic import check_images, full_precision
from likeness.losses.base import Registration, SimilarityLoss

CARD = {
    "title": "MSE",
    "order": 100,
    "colour": "#332288",
    "marker": "o",
    "formula": r"\frac{1}{|\Omega|}\sum_{x\in\Omega}\left(m(x)-f(x)\right)^2",
    "range": [0, 1],
    "doi": "10.1109/TMI.2019.2897538",
    "dimensions": [2, 3],
    "supervision": "none",
    "extractor": None,
    "requires": {},
    "invariances": [],
    "grid": [0.1, 0.3, 1.0],
    "raw_grid": [0.005, 0.01, 0.02, 0.04, 0.08],
}


@full_precision
def squared_difference(moved: Tensor, fixed: Tensor) -> Tensor:
    """Squared difference per voxel and channel, in the shape of the images.

    Raises:
        ValueError: if the shapes differ.
    """
    check_images("squared_difference", moved, fixed)
    return (moved - fixed).square()


@full_precision
def mean_squared_difference(moved: Tensor, fixed: Tensor) -> Tensor:
    """Mean of :func:`squared_difference`, in one pass that keeps no image of differences."""
    check_images("mean_squared_difference", moved, fixed)
    return F.mse_loss(moved, fixed)


class Loss(SimilarityLoss):
    """Mean squared difference."""

    def forward(self, pair: Registration) -> Tensor:
        """Give the mean over voxels and pairs."""
        return mean_squared_difference(pair.moved, pair.fixed)

    def map(self, pair: Registration) -> Tensor:
        """Give the squared difference per voxel."""
        return squared_difference(pair.moved, pair.fixed)
