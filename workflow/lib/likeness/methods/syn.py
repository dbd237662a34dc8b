"""SyN, the symmetric diffeomorphic registration of ANTs, which many would take instead of a loss.

Avants et al., Med. Image Anal. 2008, doi:10.1016/j.media.2007.06.004, by antspyx, https://github.com/ANTsX/ANTsPy. Its
settings are ANTs' own, without an affine step: what is compared here is deformable, from one start. ANTs has no weight
of a regulariser; how much it smooths the whole field after every step, by default not at all, leads from smooth to
rough fields instead and stands for λ. How much it smooths each step does not: a smoother step is a longer one, since
ANTs scales steps by their largest displacement, and fields get no smoother by it.

With the features of an extractor, as Czolbe et al., doi:10.1016/j.media.2023.102830, have it, the image and every
channel of every level, upsampled to it, are registered together: the image by the measure of ``mi``, each channel by
mean squares with a weight of 1. Each is scaled to unit norm first.
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
            "description": "The forms of it that are run: mi (mutual information) and cc (cross-correlation) with the "
            "settings of ANTs, or the name of a loss that compares features, whose extractor's are further channels of "
            "the images.",
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "uniqueItems": True,
            "default": ["mi", "cc"],
        },
        "smoothing": {
            "description": "How much the whole field is smoothed after every step, the variance of a Gaussian in "
            "voxels: its path from smooth to rough fields. ANTs itself does not smooth it, 0.",
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
        "mi": "mutual information of 32 bins by 32, as ANTs has it by default",
        "cc": "the square of local cross-correlation in windows of 9 voxels a side",
    },
}

MEASURES = {"mi": ("mattes", 32), "cc": ("CC", 4)}
"""Of the card's variants, the measure and its number of bins or radius, as ANTs takes them."""


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
        dataset: prepared.
        variant: see :func:`register`.
        path: variances in voxels.
        extractor: whose features are registered too.
        folder: for the fields, see :mod:`likeness.fields`; those that are there already are kept.
        label: for the progress bar.
        saved: called whenever something was saved.

    Raises:
        SystemExit: if the process is told to stop (SIGTERM), after what was registered is saved.
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
                    msg = f"{label}: told to stop; what was registered is saved, the next run goes on from there"
                    raise SystemExit(msg)


def channels(image: Tensor, extractor: nn.Module | None) -> Tensor:
    """Give what is registered of an image: itself, and where there is an extractor all its features.

    Args:
        image: ``(1, 1, *spatial)`` in [0, 1].
        extractor: see :mod:`likeness.extractors.base`.

    Returns:
        ``(channels, *spatial)``; beside features every channel has unit norm.
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
    """Register one pair by SyN, on one thread and the same for the same input.

    Args:
        moving: ``(channels, *spatial)``, see :func:`channels`.
        fixed: like it.
        spacing: size of a voxel along each axis, any unit.
        variant: of :data:`MEASURES`, or anything else for the measure of ``mi``.
        smoothing: of the whole field after every step, variance in voxels.
        folder: for the files that ANTs hands its results over by; they are gone afterwards.

    Returns:
        ``(*spatial, dims)`` float32, voxels of the fixed grid, pointing into the moving image; NaN where ANTs fails.
    """
    # ITK reads it when its first filter runs; threads add up differently every time
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
    # the images lie at the origin with their axes along those of the world: millimetres are voxels times the spacing
    return (field / np.array(spacing, dtype=np.float64)).astype(np.float32)


def picture(values: np.ndarray, spacing: Sequence[float]) -> ants.ANTsImage:
    """Make an image of ANTs' of ``(*spatial)``, at the origin and with its axes along those of the world."""
    import ants

    return ants.from_numpy(np.ascontiguousarray(values, dtype=np.float32), spacing=[float(s) for s in spacing])
