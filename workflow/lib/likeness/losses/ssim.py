"""Structural similarity: compares local means, variances and correlation under a Gaussian window.

Wang et al., Image quality assessment: from error visibility to structural similarity, IEEE Trans. Image Process. 2004,
doi:10.1109/TIP.2003.819861. Window and constants are theirs, for intensities in [0, 1].
"""

from __future__ import annotations

from torch import Tensor

from likeness.losses._arithmetic import check_images, full_precision
from likeness.losses._correlation import LocalMean, Statistics, gaussian_statistics, statistics
from likeness.losses.base import Registration, SimilarityLoss, mean_per_pair

CARD = {
    "title": "SSIM",
    "order": 119,
    "formula": (
        r"1-\frac{1}{|\Omega|}\sum_x\frac{\left(2\mu_x(m)\mu_x(f)+c_1\right)\left(2\,\mathrm{cov}_x(m,f)+c_2\right)}"
        r"{\left(\mu_x(m)^2+\mu_x(f)^2+c_1\right)\left(\mathrm{var}_x(m)+\mathrm{var}_x(f)+c_2\right)}"
    ),
    "range": [0, 2],
    "doi": "10.1109/TIP.2003.819861",
    "supervision": "none",
    "window": "a Gaussian, of `sigma` voxels",
    "options": {"sigma": {"default": 1.5, "minimum": 0.5, "maximum": 64}},
}

REACH = 3
"""Truncation of the window in standard deviations: 11 voxels a side for the default, as in the paper."""
C1, C2 = 0.01**2, 0.03**2
"""Constants that keep the quotients of means and of variances finite, as in the paper."""


@full_precision
def structural_similarity(moved: Tensor, fixed: Tensor, known: Statistics, mean: LocalMean) -> Tensor:
    """Structural similarity of two images.

    Wang et al., IEEE Trans. Image Process. 2004, doi:10.1109/TIP.2003.819861.

    Args:
        moved: ``(batch, channel, *spatial)``, intensities in [0, 1].
        fixed: of the same shape.
        known: statistics of ``fixed`` under the local mean.
        mean: local mean, see :func:`likeness.losses._correlation.gaussian_mean`.

    Returns:
        ``(batch, channel, *spatial)`` in [-1, 1], 1 where the images are equal; once differentiable in ``moved``.

    Raises:
        ValueError: if the shapes differ.
    """
    check_images("structural_similarity", moved, fixed)
    [own] = statistics(mean, moved)
    covariance = mean(own.centred * known.centred) - own.mean * known.mean
    # statistics are those of centred images, but luminance needs the means of the images themselves
    a, b = (image - s.centred + s.mean for image, s in ((moved, own), (fixed, known)))
    luminance = (2 * a * b + C1) / (a * a + b * b + C1)
    return luminance * (2 * covariance + C2) / (own.variance + known.variance + C2)


class Loss(SimilarityLoss):
    """One minus the structural similarity.

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
        """Return one minus the structural similarity, ``(batch, 1, *spatial)``."""
        known = pair.kept((self, "fixed"), lambda: gaussian_statistics(pair.fixed, self.sigma, reach=REACH))
        return 1 - structural_similarity(pair.moved, pair.fixed, *known)

    def extra_repr(self) -> str:
        """Show the window size in ``repr``."""
        return f"sigma={self.sigma}"
