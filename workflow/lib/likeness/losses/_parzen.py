"""Parzen windows of cubic B-splines, whose weights sum to one, shared by losses with few bins.

Thévenaz and Unser, Optimization of mutual information for multiresolution image registration, IEEE Trans. Image
Process. 2000, doi:10.1109/83.887976.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

REACH = 4
"""Number of bins that a window covers."""


class Windows(NamedTuple):
    """Weights of intensities in the bins around them."""

    cells: Tensor
    """Indices of the bins, ``(batch, REACH, n)``, below ``bins + 2``."""
    weights: Tensor
    """Weights in [0, 2/3], ``(batch, REACH, n)``, whose sum over the bins is one; differentiable in the intensities."""


def padded(bins: int) -> int:
    """Return the number of bins with the two outside [0, 1], which windows at the ends reach."""
    return bins + 2


def windows(intensities: Tensor, bins: int) -> Windows:
    """Compute the windows of intensities.

    Args:
        intensities: ``(batch, n)``, clamped to [0, 1].
        bins: number of bins whose centres span [0, 1], at least 2.
    """
    position = intensities.clamp(0, 1) * (bins - 1)
    first = position.detach().floor().clamp(max=bins - 2)
    t = position - first
    s = 1 - t
    t2, s2 = t * t, s * s
    weights = torch.stack([s2 * s, 4 - 3 * t2 * (1 + s), 4 - 3 * s2 * (1 + t), t2 * t], dim=1) / 6
    steps = torch.arange(REACH, device=intensities.device)
    return Windows(first.long()[:, None] + steps[:, None], weights)
