"""NCC² of images without the content that the other lacks: the oracle of ignoring it, an upper bound for masks.

It reads the true map of that content, such as the skull that the extracted brain of another subject lacks, and makes it
as dark as the background. Avants et al., Med. Image Anal. 2008, doi:10.1016/j.media.2007.06.004, for the correlation.
"""

from __future__ import annotations

from torch import Tensor

from likeness.geometry import warp
from likeness.losses._correlation import WindowedLoss, box_statistics, squared_correlation
from likeness.losses.base import Registration, mean_per_pair, required

CARD = {
    "title": "NCC², extracted",
    "order": 435,
    "colour": "#B8860B",
    "marker": "$◣$",
    "formula": (
        r"1-\frac{1}{|\Omega|}\sum_{x}\frac{\mathrm{cov}_x(m',f')^2}{\mathrm{var}_x(m')\,\mathrm{var}_x(f')},\;"
        r"m'=m-u_m\,(m-\min m),\;f'=f-u_f\,(f-\min f)"
    ),
    "range": [0, 1],
    "doi": "10.1016/j.media.2007.06.004",
    "supervision": "labels",
    "window": "a cube, `window` voxels a side",
    "requires": {"unmatched": "it removes from each image what the other lacks, by the true map of it"},
    "invariances": ["offset", "scale"],
    "oracle": True,
    "options": {"window": {"default": 9, "odd": True, "minimum": 3, "maximum": 127}},
}


def extracted(image: Tensor, unmatched: Tensor | None) -> Tensor:
    """Set content without counterpart to the lowest intensity of its image.

    Args:
        image: ``(batch, 1, *spatial)``.
        unmatched: of the same shape, 1 where the content has no counterpart; ``None`` if all has one.
    """
    if unmatched is None:
        return image
    lowest = image.amin(tuple(range(1, image.dim())), keepdim=True)
    return image - unmatched.to(image) * (image - lowest)


class Loss(WindowedLoss):
    """One minus the squared correlation in a cubic window, of images without what the other lacks.

    Args:
        window: edge length in voxels, odd.
    """

    def __init__(self, *, window: int) -> None:
        super().__init__(window)

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean over the voxels of each pair, ``(batch,)``."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Return one minus the squared local correlation, ``(batch, 1, *spatial)``."""
        if pair.moving_unmatched is None:
            required("ncc_extracted", "map of unmatched content", pair.fixed_unmatched)
        moving = pair.kept((self, "moving"), lambda: extracted(pair.moving, pair.moving_unmatched))
        known = pair.kept(
            (self, "fixed"), lambda: box_statistics(extracted(pair.fixed, pair.fixed_unmatched), self.window)
        )
        return 1 - squared_correlation(warp(moving, pair.displacement), *known)
