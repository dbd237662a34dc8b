"""Local normalised cross-correlation under Gaussian windows of several sizes, averaged over the sizes.

Shen et al., Networks for joint affine and non-parametric image registration, CVPR 2019, doi:10.1109/CVPR.2019.00435,
combine kernels of several sizes. The correlation is that of :mod:`likeness.losses.lncc`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from likeness.interpolation import pitch
from likeness.losses._correlation import LocalMean, Statistics, correlation, gaussian_statistics
from likeness.losses.base import Registration, SimilarityLoss, mean_per_pair

CARD = {
    "title": "LNCC, multi-scale",
    "order": 116,
    "formula": (
        r"1-\frac{1}{|S|\,|\Omega|}\sum_{\sigma\in S}\sum_{x}"
        r"\frac{\mathrm{cov}_{G_{\sigma,x}}(m,f)}{\sqrt{\mathrm{var}_{G_{\sigma,x}}(m)\,\mathrm{var}_{G_{\sigma,x}}(f)}}"
    ),
    "range": [0, 2],
    "doi": "10.1109/CVPR.2019.00435",
    "supervision": "none",
    "window": (
        "Gaussians, of `sigmas` times the smallest side of a full-resolution voxel along every axis and at every level"
    ),
    "invariances": ["offset", "scale"],
    "options": {
        "sigmas": {
            "default": [2.0, 4.0, 8.0],
            "type": "array",
            "items": {"type": "number", "minimum": 0.5, "maximum": 64},
            "minItems": 1,
            "maxItems": 8,
            "uniqueItems": True,
        }
    },
}

SMALLEST_SIGMA = 0.5
"""Lower bound on the window along an axis, in voxels of the grid: a narrower one would hold a single voxel."""


def in_voxels(sigma: float, pair: Registration) -> list[float]:
    """Convert a physical standard deviation to voxels of the grid of a pair, along every axis.

    Args:
        sigma: multiple of the smallest side of a voxel of the full-resolution images.
        pair: at full resolution or in a coarser form; voxels are isotropic where it has no spacing.
    """
    whole = pair.finer or pair
    shape = whole.fixed.shape[2:]
    spacing = whole.spacing or (1.0,) * len(shape)
    # an axis of one voxel has no distance between voxels
    steps = [max(step, 1.0) for step in pitch(shape, pair.fixed.shape[2:])]
    sides = [side * step for side, step in zip(spacing, steps, strict=True)]
    return [max(sigma * min(spacing) / side, SMALLEST_SIGMA) for side in sides]


class Loss(SimilarityLoss):
    """One minus the local correlation under a Gaussian window, averaged over several windows.

    The windows have one physical size on all axes, however anisotropic the voxels, and on all levels of an
    optimisation, but are at least half a voxel of the level.

    Args:
        sigmas: standard deviations of the Gaussians, in multiples of the smallest side of a full-resolution voxel.
    """

    def __init__(self, *, sigmas: Sequence[float]) -> None:
        super().__init__()
        self.sigmas = tuple(sigmas)

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean over windows and voxels of each pair, ``(batch,)``."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Return one minus the local correlation, averaged over the windows, ``(batch, 1, *spatial)``."""
        found = [correlation(pair.moved, *known) for known in pair.kept((self, "fixed"), lambda: self._known(pair))]
        return 1 - torch.stack(found).mean(0)

    def _known(self, pair: Registration) -> list[tuple[Statistics, LocalMean]]:
        return [gaussian_statistics(pair.fixed, in_voxels(sigma, pair)) for sigma in self.sigmas]

    def extra_repr(self) -> str:
        """Show the window sizes in ``repr``."""
        return f"sigmas={self.sigmas}"
