"""Normalised mutual information inside the mask: content that only one image has is excluded.

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
    "requires": {"mask": "it counts voxels only where the masks of both images have content"},
    "invariances": ["inversion"],
    # with fewer bins the windows overlap so much that the value of constant images leaves the range
    "options": {"bins": {"default": 64, "minimum": 3, "maximum": 1024, "tune": [16, 24, 32, 48, 64, 96, 128]}},
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
        """Return the value of each pair, ``(batch,)``; 0 if the masks do not overlap."""
        weight = required("nmi_masked", "mask", pair.mask)
        known = pair.kept((self, "fixed"), lambda: known_windows(pair.fixed, self.bins)) if pair.keeps else None
        return -normalised_mutual_information(pair.moved, pair.fixed, self.bins, weight, known)

    def extra_repr(self) -> str:
        """Show the number of bins in ``repr``."""
        return f"bins={self.bins}"
