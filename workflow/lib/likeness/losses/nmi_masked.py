"""Normalised mutual information inside the mask: content that only one image has does not count.

Studholme et al., An overlap invariant entropy measure of 3D medical image alignment, Pattern Recognition 1999,
doi:10.1016/S0031-3203(98)00091-0; the mask as in Brett et al., NeuroImage 2001, doi:10.1006/nimg.2001.0845.
"""

from __future__ import annotations

from torch import Tensor

from likeness.losses.base import Registration, SimilarityLoss, required
from likeness.losses.nmi import known_windows, normalised_mutual_information

CARD = {
    "title": "NMI, masked",
    "order": 125,
    "colour": "#EECC66",
    "marker": "$♣$",
    "formula": r"-\frac{H_w(m)+H_w(f)}{H_w(m,f)}",
    "range": [-2, 0],
    "doi": "10.1016/S0031-3203(98)00091-0",
    "supervision": "none",
    "requires": {"mask": "it counts voxels only where the masks say that both images have content"},
    "invariances": ["inversion"],
    # the windows of two bins overlap so far that constant images leave the range
    "options": {"bins": {"default": 64, "minimum": 3, "maximum": 1024}},
}


class Loss(SimilarityLoss):
    """Negative normalised mutual information of the voxels in the warped moving mask times the fixed one.

    Args:
        bins: number of bins per image.
    """

    def __init__(self, *, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, pair: Registration) -> Tensor:
        """Give the negative of each pair's; 0 of one whose masks do not meet."""
        weight = required("nmi_masked", "mask", pair.mask)
        known = pair.kept((self, "fixed"), lambda: known_windows(pair.fixed, self.bins)) if pair.keeps else None
        return -normalised_mutual_information(pair.moved, pair.fixed, self.bins, weight, known)

    def extra_repr(self) -> str:
        """Name the bins."""
        return f"bins={self.bins}"
