"""Windowed squared normalised cross-correlation: assumes a local linear relation of intensities, of either sign.

Avants et al., Symmetric diffeomorphic image registration with cross-correlation: evaluating automated labeling of
elderly and neurodegenerative brain, Med. Image Anal. 2008, doi:10.1016/j.media.2007.06.004.
"""

from __future__ import annotations

from torch import Tensor

from likeness.losses._correlation import WindowedLoss, squared_correlation
from likeness.losses.base import Registration, mean_per_pair

CARD = {
    "title": "NCC²",
    "order": 110,
    "colour": "#117733",
    "marker": "^",
    "formula": r"1-\frac{1}{|\Omega|}\sum_{x}\frac{\mathrm{cov}_x(m,f)^2}{\mathrm{var}_x(m)\,\mathrm{var}_x(f)}",
    "range": [0, 1],
    "doi": "10.1016/j.media.2007.06.004",
    "supervision": "none",
    "window": "a cube, `window` voxels a side",
    "invariances": ["offset", "scale", "inversion"],
    "options": {"window": {"default": 9, "odd": True, "minimum": 3, "maximum": 127, "tune": [5, 7, 9, 13, 17, 25, 35]}},
}


class Loss(WindowedLoss):
    """One minus the squared correlation in a cubic window around every voxel.

    Args:
        window: edge length in voxels, odd.
    """

    def __init__(self, *, window: int) -> None:
        super().__init__(window)

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean over the voxels of each pair, ``(batch,)``."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Return one minus the squared local correlation, ``(batch, 1, *spatial)``."""
        return 1 - squared_correlation(pair.moved, *self.known(pair))
