"""Mean squared difference inside the mask: content that only one image has is excluded.

Brett et al., Spatial normalization of brain images with focal lesions using cost function masking, NeuroImage 2001,
doi:10.1006/nimg.2001.0845.
"""

from __future__ import annotations

from torch import Tensor

from likeness.losses._arithmetic import check_weight, full_precision, per_voxel_share
from likeness.losses.base import Registration, SimilarityLoss, mean_per_pair, required
from likeness.losses.mse import squared_difference

CARD = {
    "title": "MSE, masked",
    "order": 105,
    "colour": "#88CCEE",
    "marker": "s",
    "formula": r"\frac{\sum_x w(x)\left(m(x)-f(x)\right)^2}{\sum_x w(x)}",
    "range": [0, 1],
    "doi": "10.1006/nimg.2001.0845",
    "supervision": "none",
    "requires": {"mask": "it compares the images only where the masks of both have content"},
    "raw_grid": [0.005, 0.01, 0.02, 0.04, 0.08],
}


@full_precision
def masked_squared_difference(moved: Tensor, fixed: Tensor, weight: Tensor) -> Tensor:
    """Squared difference per voxel, weighted such that the plain mean is the mean inside the mask.

    Args:
        moved: ``(batch, 1, *spatial)``.
        fixed: of the same shape.
        weight: of the same shape, non-negative; differentiable.

    Returns:
        ``(batch, 1, *spatial)``, 0 outside the mask.

    Raises:
        ValueError: if the shapes differ.
    """
    difference = squared_difference(moved, fixed)
    check_weight("masked_squared_difference", weight, moved)
    return per_voxel_share(difference, weight)


class Loss(SimilarityLoss):
    """Mean squared difference inside the warped moving mask times the fixed one."""

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean inside the mask of each pair, ``(batch,)``."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Return the weighted squared difference per voxel."""
        return masked_squared_difference(pair.moved, pair.fixed, required("mse_masked", "mask", pair.mask))
