"""MIND-SSC inside the mask: content that only one image has is excluded, except as seen by patches at its edge.

Heinrich et al., Towards realtime multimodal fusion for image-guided interventions using self-similarities, MICCAI 2013,
doi:10.1007/978-3-642-40811-3_24; the mask as in Brett et al., NeuroImage 2001, doi:10.1006/nimg.2001.0845.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likeness.losses._arithmetic import per_voxel_share
from likeness.losses.base import Registration, SimilarityLoss, required
from likeness.losses.mind import mind_difference, mind_slabs, mind_ssc

CARD = {
    "title": "MIND-SSC, masked",
    "order": 135,
    "colour": "#CC99BB",
    "marker": (5, 0, 180),
    "formula": r"\frac{\sum_{x,c}w(x)\left(\mathrm{MIND}_c(m,x)-\mathrm{MIND}_c(f,x)\right)^2}{|C|\sum_x w(x)}",
    "range": [0, 1],
    "doi": "10.1007/978-3-642-40811-3_24",
    "supervision": "none",
    "window": "patches of 2 · `radius` + 1 voxels a side, `dilation` voxels apart",
    "requires": {"mask": "it compares the images only where the masks of both have content"},
    "invariances": ["offset", "scale", "inversion"],
    "raw_grid": [0.015625, 0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0],
    "options": {
        "radius": {"default": 2, "minimum": 0, "maximum": 16, "tune": [1, 2, 3]},
        "dilation": {"default": 2, "minimum": 1, "maximum": 16, "tune": [1, 2, 3, 4]},
    },
}


class Loss(SimilarityLoss):
    """Mean squared difference of the descriptors inside the warped moving mask times the fixed one.

    Args:
        radius: patch radius in voxels; a patch is ``2 * radius + 1`` voxels wide.
        dilation: distance of the patch centres from the voxel, in voxels.
    """

    def __init__(self, *, radius: int, dilation: int) -> None:
        super().__init__()
        self.radius, self.dilation = radius, dilation

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean inside the mask of each pair, ``(batch,)``."""
        weight = required("mind_masked", "mask", pair.mask).to(pair.fixed)
        share = per_voxel_share(torch.ones_like(weight), weight)
        described = pair.kept((self, "slabs"), lambda: self._slabs(pair)) if pair.keeps else None
        return mind_difference(pair.moved, pair.fixed, self.radius, self.dilation, described, share)

    def _slabs(self, pair: Registration) -> list[Tensor]:
        return list(mind_slabs(pair.fixed, self.radius, self.dilation))

    def map(self, pair: Registration) -> Tensor:
        """Return the weighted squared difference of the descriptors, averaged over their entries."""
        moved = mind_ssc(pair.moved, self.radius, self.dilation)
        fixed = pair.kept((self, "fixed"), lambda: mind_ssc(pair.fixed, self.radius, self.dilation))
        difference = (moved - fixed).square().mean(1, keepdim=True)
        return per_voxel_share(difference, required("mind_masked", "mask", pair.mask).to(difference))

    def extra_repr(self) -> str:
        """Show the options in ``repr``."""
        return f"radius={self.radius}, dilation={self.dilation}"
