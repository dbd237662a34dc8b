"""SyN, the symmetric diffeomorphic registration of ANTs, as a classical baseline.

Avants et al., Med. Image Anal. 2008, doi:10.1016/j.media.2007.06.004, through antspyx, https://github.com/ANTsX/ANTsPy.
The settings are ANTs' defaults, without an affine step, because only deformable registration is compared. ANTs has no
regularisation weight; instead of λ, the smoothing of the total field after every step, by default none, is varied from
smooth to rough fields. The smoothing of each update is not suitable: ANTs scales steps by their largest displacement,
so smoother steps become longer, and fields do not become smoother.

With the features of an extractor, as in Czolbe et al., doi:10.1016/j.media.2023.102830, the image and all feature
channels of all levels, upsampled to the image, are registered jointly: the image with the metric of ``mi``, each
channel with mean squares and weight 1. Each is scaled to unit norm first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likeness import fields
from likeness.data.loading import Loader
from likeness.data.store import Dataset
from likeness.imageio.displacement import save
from likeness.runtime import progress
from likeness.runtime.atomic import atomic_write
from likeness.runtime.jobs import told_to_stop

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
    "variants": {
        "mi": "mutual information with 32 by 32 bins, the default of ANTs",
        "cc": "squared local cross-correlation in windows of 9 voxels per side",
    },
}

MEASURES = {"mi": ("mattes", 32), "cc": ("CC", 4)}
"""ANTs' name of the metric of each variant, and its number of bins or radius."""


def register_pairs(
    dataset: Dataset,
    variant: str,
    path: Sequence[float],
    extractor: nn.Module | None,
    folder: Path,
    label: str,
    saved: Callable[[], object] = lambda: None,
) -> None:
    """Register all validation and test pairs of a dataset at every smoothing of a path.

    Args:
        dataset: prepared dataset.
        variant: see :func:`register`.
        path: smoothing variances in voxels.
        extractor: extractor whose features are registered too.
        folder: folder of the fields, see :mod:`likeness.fields`; existing ones are kept.
        label: label of the progress bar.
        saved: called whenever something was saved.

    Raises:
        SystemExit: on SIGTERM, after the results so far have been saved.
    """
    loader = Loader(dataset, torch.device("cpu"))
    pairs = dataset.registered
    folder.mkdir(parents=True, exist_ok=True)
    with told_to_stop() as stop, progress.bar(0, len(pairs) * len(path), label) as shown:
        for pair in pairs:
            waiting = [smoothing for smoothing in path if not fields.place(folder, smoothing, *pair).exists()]
            shown.update(len(path) - len(waiting))
            images = [channels(loader.images([id]), extractor) for id in pair] if waiting else []
            for smoothing in waiting:
                moving, fixed = images
                field = register(moving, fixed, dataset.spacing, variant, smoothing, folder)
                with atomic_write(fields.place(folder, smoothing, *pair)) as temporary:
                    save(temporary, field)
                saved()
                shown.update()
                if stop.is_set():
                    msg = f"{label}: told to stop; finished pairs are saved, the next run will resume from there"
                    raise SystemExit(msg)


def channels(image: Tensor, extractor: nn.Module | None) -> Tensor:
    """Return the channels to register: the image, and with an extractor all its features.

    Args:
        image: ``(1, 1, *spatial)`` in [0, 1].
        extractor: see :mod:`likeness.extractors.base`.

    Returns:
        ``(channels, *spatial)``; with features every channel has unit norm.
    """
    if extractor is None:
        return image[0]
    shape = tuple(image.shape[2:])
    mode = "bicubic" if len(shape) == 2 else "trilinear"
    with torch.no_grad():
        covered: Any = extractor
        extent = covered.extent(shape)
        maps = [F.interpolate(found, extent, mode=mode, align_corners=False) for found in extractor(image)]
    inside = (slice(None), slice(None), *(slice(size) for size in shape))
    found = torch.cat([image, *(one[inside] for one in maps)], dim=1)[0]
    norms = found.flatten(1).norm(dim=1).view(-1, *[1] * len(shape))
    return found / norms.clamp(min=torch.finfo(found.dtype).tiny)


def register(
    moving: Tensor, fixed: Tensor, spacing: Sequence[float], variant: str, smoothing: float, folder: Path
) -> np.ndarray:
    """Register one pair by SyN, single-threaded and deterministically.

    Args:
        moving: ``(channels, *spatial)``, see :func:`channels`.
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
