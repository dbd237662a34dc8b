"""Windowed normalised cross-correlation: assumes a local increasing linear relation of intensities.

Czolbe et al., Semantic similarity metrics for image registration, Med. Image Anal. 2023,
doi:10.1016/j.media.2023.102830, where it is compared with the squared form of :mod:`likeness.losses.ncc`.
"""

from __future__ import annotations

from torch import Tensor

from likeness.losses._correlation import WindowedLoss, correlation
from likeness.losses.base import Registration, mean_per_pair

CARD = {
    "title": "NCC",
    "order": 112,
    "colour": "#225522",
    "marker": ">",
    "formula": r"1-\frac{1}{|\Omega|}\sum_{x}\frac{\mathrm{cov}_x(m,f)}{\sqrt{\mathrm{var}_x(m)\,\mathrm{var}_x(f)}}",
    "range": [0, 2],
    "doi": "10.1016/j.media.2023.102830",
    "supervision": "none",
    "window": "a cube, `window` voxels a side",
    "invariances": ["offset", "scale"],
    "options": {"window": {"default": 9, "odd": True, "minimum": 3, "maximum": 127, "tune": [5, 7, 9, 13, 17, 25, 35]}},
}


class Loss(WindowedLoss):
    """One minus the correlation in a cubic window around every voxel.

    Args:
        window: edge length in voxels, odd.
    """

    def __init__(self, *, window: int) -> None:
        super().__init__(window)

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean over the voxels of each pair, ``(batch,)``."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Return one minus the local correlation, ``(batch, 1, *spatial)``."""
        return 1 - correlation(pair.moved, *self.known(pair))
