"""Correlation ratio: assumes that the intensities of one image are a function of those of the other.

Roche et al., The correlation ratio as a new similarity measure for multimodal image registration, MICCAI 1998,
doi:10.1007/BFb0056301. Intensities of the image that predicts are counted with Parzen windows, so that the ratio is
differentiable in both images.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from likeness.losses._arithmetic import SMALLEST_WEIGHT, check_images, full_precision
from likeness.losses._correlation import VARIANCE_FLOOR
from likeness.losses._parzen import Windows, padded, windows
from likeness.losses.base import Registration, SimilarityLoss

CARD = {
    "title": "Correlation ratio",
    "order": 128,
    "formula": (
        r"1-\frac{1}{2}\left(\eta^2(m|f)+\eta^2(f|m)\right),"
        r"\quad\eta^2(y|x)=\frac{\mathrm{var}\left(\mathrm{E}[y|x]\right)}{\mathrm{var}(y)}"
    ),
    "range": [0, 1],
    "doi": "10.1007/BFb0056301",
    "supervision": "none",
    "invariances": ["inversion"],
    "options": {
        "bins": {"default": 20, "minimum": 3, "maximum": 1024},
        "direction": {"default": "both", "enum": ["both", "moved_from_fixed", "fixed_from_moved"]},
    },
}

Direction = Literal["both", "moved_from_fixed", "fixed_from_moved"]


@full_precision
def known_windows(image: Tensor, bins: int) -> Windows:
    """Compute the Parzen windows of images ``(batch, 1, *spatial)``, at twelve times their memory."""
    return windows(image.flatten(1), bins)


@full_precision
def correlation_ratio(values: Tensor, given: Windows, bins: int) -> Tensor:
    """Share of the variance of an image that a function of the other image's intensities explains.

    Roche et al., MICCAI 1998, doi:10.1007/BFb0056301.

    Args:
        values: intensities of the image to predict, ``(batch, 1, *spatial)``; any offset.
        given: windows of the image that predicts, see :func:`known_windows`.
        bins: number of bins of ``given``.

    Returns:
        ``(batch,)`` in [0, 1]; 0 where ``values`` are constant. Differentiable in ``values`` and the weights of
        ``given``.
    """
    values = values.flatten(1)
    centred = values - values.mean(1, keepdim=True)
    cells = given.cells.flatten(1)
    empty = values.new_zeros(len(values), padded(bins))
    counts = empty.scatter_add(1, cells, given.weights.flatten(1))
    sums = empty.scatter_add(1, cells, (given.weights * centred[:, None]).flatten(1))
    explained = (sums.square() / counts.clamp(min=SMALLEST_WEIGHT)).sum(1) / values.shape[1]
    return explained / centred.square().mean(1).clamp(min=VARIANCE_FLOOR)


class Loss(SimilarityLoss):
    """One minus the correlation ratio.

    Args:
        bins: number of bins of the image that predicts.
        direction: ``"moved_from_fixed"`` for the share of the moved image's variance that the fixed image explains,
            ``"fixed_from_moved"`` for the reverse, ``"both"`` for their mean.
    """

    def __init__(self, *, bins: int, direction: Direction) -> None:
        super().__init__()
        self.bins = bins
        self.direction = direction

    def forward(self, pair: Registration) -> Tensor:
        """Return one minus the correlation ratio of each pair, ``(batch,)``."""
        check_images("correlation_ratio", pair.moved, pair.fixed)
        found = []
        if self.direction != "fixed_from_moved":
            given = pair.kept((self, "fixed"), lambda: known_windows(pair.fixed, self.bins))
            found.append(correlation_ratio(pair.moved, given, self.bins))
        if self.direction != "moved_from_fixed":
            found.append(correlation_ratio(pair.fixed, known_windows(pair.moved, self.bins), self.bins))
        return 1 - torch.stack(found).mean(0)

    def extra_repr(self) -> str:
        """Show bins and direction in ``repr``."""
        return f"bins={self.bins}, direction={self.direction}"
