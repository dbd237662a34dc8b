"""Local normalised cross-correlation under a Gaussian window.

Cachier et al., Iconic feature based nonrigid registration: the PASHA algorithm, Comput. Vis. Image Underst. 2003,
doi:10.1016/S1077-3142(03)00002-X. DGIR and GradICON use it on intensities and, in
:mod:`likeness.losses._features`, on features.
"""

from __future__ import annotations

from torch import Tensor

from likeness.losses._correlation import correlation, gaussian_statistics
from likeness.losses.base import Registration, SimilarityLoss, mean_per_pair

CARD = {
    "title": "LNCC, Gaussian",
    "order": 117,
    "colour": "#999944",
    "marker": (4, 1, 0),
    "formula": (
        r"1-\frac{1}{|\Omega|}\sum_{x}"
        r"\frac{\mathrm{cov}_{G_x}(m,f)}{\sqrt{\mathrm{var}_{G_x}(m)\,\mathrm{var}_{G_x}(f)}}"
    ),
    "range": [0, 2],
    "doi": "10.1016/S1077-3142(03)00002-X",
    "supervision": "none",
    "window": "a Gaussian, of `sigma` voxels",
    "invariances": ["offset", "scale"],
    "options": {"sigma": {"default": 3.0, "minimum": 0.5, "maximum": 64, "tune": [1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0]}},
}


class Loss(SimilarityLoss):
    """One minus the local correlation under a Gaussian window.

    Args:
        sigma: standard deviation of the Gaussian in voxels.
    """

    def __init__(self, *, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean over the voxels of each pair, ``(batch,)``."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Return one minus the local correlation, ``(batch, 1, *spatial)``."""
        known = pair.kept((self, "fixed"), lambda: gaussian_statistics(pair.fixed, self.sigma))
        return 1 - correlation(pair.moved, *known)

    def extra_repr(self) -> str:
        """Show the window size in ``repr``."""
        return f"sigma={self.sigma}"
