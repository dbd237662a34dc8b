"""Windowed squared cross-correlation with statistics from inside the mask only.

Padfield, Masked object registration in the Fourier domain, IEEE Trans. Image Process. 2012,
doi:10.1109/TIP.2011.2181402, for a single window as large as the image.
"""

from __future__ import annotations

from torch import Tensor

from likeness.losses._arithmetic import full_precision, per_voxel_share
from likeness.losses._correlation import WindowedLoss, box_mean, squared_correlation
from likeness.losses.base import Registration, mean_per_pair, required

CARD = {
    "title": "NCC², masked",
    "order": 115,
    "colour": "#44AA99",
    "marker": "v",
    "formula": (
        r"1-\frac{\sum_x w(x)\,\mathrm{cov}_{x,w}(m,f)^2/"
        r"\left(\mathrm{var}_{x,w}(m)\,\mathrm{var}_{x,w}(f)\right)}{\sum_x w(x)}"
    ),
    "range": [0, 1],
    "doi": "10.1109/TIP.2011.2181402",
    "supervision": "none",
    "window": "a cube, `window` voxels a side",
    "requires": {"mask": "it correlates the images only where the masks of both have content"},
    "invariances": ["offset", "scale", "inversion"],
    "options": {"window": {"default": 9, "odd": True, "minimum": 3, "maximum": 127, "tune": [5, 7, 9, 13, 17, 25, 35]}},
}


@full_precision
def masked_decorrelation(moved: Tensor, fixed: Tensor, weight: Tensor, window: int) -> Tensor:
    """One minus the squared correlation inside the mask, weighted such that the plain mean is the mean inside the mask.

    Args:
        moved: ``(batch, 1, *spatial)``.
        fixed: of the same shape.
        weight: of the same shape, non-negative; weights the voxels of a window, and the window by its centre;
            differentiable.
        window: edge length in voxels, odd.

    Returns:
        ``(batch, 1, *spatial)``, 0 outside the mask.

    Raises:
        ValueError: if the shapes differ or the window is even.
    """
    return per_voxel_share(1 - squared_correlation(moved, fixed, box_mean(window, moved, weight)), weight)


class Loss(WindowedLoss):
    """One minus the windowed squared correlation inside the warped moving mask times the fixed one.

    Args:
        window: edge length in voxels, odd.
    """

    def __init__(self, *, window: int) -> None:
        super().__init__(window)

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean inside the mask of each pair, ``(batch,)``."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Return the weighted local value, ``(batch, 1, *spatial)``."""
        mask = required("ncc_masked", "mask", pair.mask)
        return masked_decorrelation(pair.moved, pair.fixed, mask, self.window)
