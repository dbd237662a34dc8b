"""SyN, the symmetric diffeomorphic registration of ANTs, as a classical baseline.

Avants et al., Med. Image Anal. 2008, doi:10.1016/j.media.2007.06.004, through antspyx, https://github.com/ANTsX/ANTsPy.
The settings are ANTs' defaults, without an affine step, because only deformable registration is compared. ANTs has no
regularisation weight; instead of λ, the smoothing of the total field after every step, by default none, is varied from
smooth to rough fields. The smoothing of each update is not suitable: ANTs scales steps by their largest displacement,
so smoother steps become longer, and fields do not become smoother.

With the features of an extractor, see :func:`likeness.methods.classical.channels`, as in Czolbe et al.,
doi:10.1016/j.media.2023.102830, the image and all feature channels are registered jointly: the image with the metric of
``mi``, each channel with mean squares and weight 1. Each is scaled to unit norm first.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    import ants

CARD = {
    "title": "SyN",
    "order": 800,
    "colour": "#000000",
    "marker": "$▮$",
    "uses_loss": False,
    "has_lam": True,
    "seeded": False,
    "trained": False,
    "optimised": False,
    "settings": {
        "variants": {
            "description": "Variants to run: mi (mutual information) and cc (cross-correlation) with the default "
            "settings of ANTs, or the name of a loss that compares features, whose feature maps are registered as "
            "additional channels.",
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "uniqueItems": True,
            "default": ["mi", "cc"],
        },
        "smoothing": {
            "description": "Smoothing of the total field after every step, as the variance of a Gaussian in voxels: "
            "the path from smooth to rough fields. The default of ANTs is 0, no smoothing.",
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 10000},
            "minItems": 1,
            "maxItems": 100,
            "uniqueItems": True,
            "digits": 6,
            "default": [10, 3, 1, 0.3, 0],
        },
    },
    "path": "smoothing",
    "variants": {
        "mi": "mutual information with 32 by 32 bins, the default of ANTs",
        "cc": "squared local cross-correlation in windows of 9 voxels per side",
    },
}

MEASURES = {"mi": ("mattes", 32), "cc": ("CC", 4)}
"""ANTs' name of the metric of each variant, and its number of bins or radius."""


def register(
    moving: Tensor, fixed: Tensor, spacing: Sequence[float], variant: str, smoothing: float, folder: Path
) -> np.ndarray:
    """Register one pair by SyN, single-threaded and deterministically.

    Args:
        moving: ``(channels, *spatial)``, see :func:`likeness.methods.classical.channels`.
        fixed: likewise.
        spacing: voxel size along each axis, any unit.
        variant: key of :data:`MEASURES`; any other uses the metric of ``mi``.
        smoothing: smoothing of the total field after every step, as a variance in voxels.
        folder: folder for temporary files of ANTs.

    Returns:
        ``(*spatial, dims)``, float32, in voxels of the fixed grid, pointing into the moving image; NaN if ANTs fails.
    """
    # read by ITK when its first filter runs; with several threads, sums are not reproducible
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    import ants

    ants.config.set_ants_deterministic(on=True, seed_value=1)
    both = zip(fixed.cpu().numpy(), moving.cpu().numpy(), strict=True)
    pictures = [(picture(one, spacing), picture(other, spacing)) for one, other in both]
    metric, sampling = MEASURES.get(variant, MEASURES["mi"])
    extras = [["meansquares", one, other, 1, 0] for one, other in pictures[1:]]
    with TemporaryDirectory(dir=folder) as place:
        try:
            ants.registration(
                *pictures[0],
                type_of_transform="SyNOnly",
                syn_metric=metric,
                syn_sampling=sampling,
                total_sigma=smoothing,
                multivariate_extras=extras or None,
                outprefix=f"{place}/",
            )
        except RuntimeError:
            return np.full((*fixed.shape[1:], len(spacing)), np.nan, np.float32)
        field = ants.image_read(f"{place}/1Warp.nii.gz").numpy()
    # the images have identity orientation, so dividing by the spacing converts physical units to voxels
    return (field / np.array(spacing, dtype=np.float64)).astype(np.float32)


def picture(values: np.ndarray, spacing: Sequence[float]) -> ants.ANTsImage:
    """Convert an array ``(*spatial)`` to an ANTs image with identity orientation at the origin."""
    import ants

    return ants.from_numpy(np.ascontiguousarray(values, dtype=np.float32), spacing=[float(s) for s in spacing])
