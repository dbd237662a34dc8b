"""Normalised cross-correlation of whole images: assumes one increasing linear relation of intensities.

Lewis, Fast normalized cross-correlation, Vision Interface 1995, for a template as large as the image.
"""

from __future__ import annotations

from torch import Tensor

from likeness.losses._correlation import standardised
from likeness.losses.base import Registration, SimilarityLoss, mean_per_pair

CARD = {
    "title": "NCC, global",
    "order": 118,
    "colour": "#5566AA",
    "marker": (4, 1, 45),
    "formula": r"1-\frac{\mathrm{cov}(m,f)}{\sqrt{\mathrm{var}(m)\,\mathrm{var}(f)}}",
    "range": [0, 2],
    "doi": None,
    "supervision": "none",
    "invariances": ["offset", "scale"],
}


class Loss(SimilarityLoss):
    """One minus the correlation over all voxels."""

    def forward(self, pair: Registration) -> Tensor:
        """Return one minus the coefficient of each pair, ``(batch,)``."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Return one minus each voxel's contribution to the coefficient; can be negative."""
        fixed = pair.kept((self, "fixed"), lambda: standardised(pair.fixed))
        return 1 - standardised(pair.moved) * fixed
