"""Classical methods: registration of each pair by another program, without a loss of the study.

Such a kind of method is a module beside this one, whose card (:mod:`likeness.methods.kinds`) names under ``path`` the
setting that takes the place of λ, several values of which are tried. It has a function::

    register(moving, fixed, spacing, variant, lam, folder, **settings) -> field

``moving`` and ``fixed`` are :func:`channels`, ``spacing`` is the voxel size along each axis, ``variant`` an entry of
the setting ``variants`` or ``None`` without that setting, ``lam`` a value of the path, ``folder`` a place for temporary
files, and ``settings`` all other settings. It returns ``(*spatial, dims)``, float32, in voxels of the fixed grid,
pointing into the moving image; NaN if it fails. The same arguments give the same field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

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

Register = Callable[[Tensor, Tensor, Sequence[float], float, Path], np.ndarray]


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the registrations of a classical method, except data."""

    kind: str
    variant: str | None
    path: list[float]
    """Values of the setting that takes the place of λ, from smooth to rough fields."""
    settings: Mapping[str, Any] = field(default_factory=dict)


def registration(recipe: Recipe) -> Register:
    """Return the function that registers a pair, ``(moving, fixed, spacing, lam, folder)``."""
    register = import_module(f"likeness.methods.{recipe.kind}").register

    def one(moving: Tensor, fixed: Tensor, spacing: Sequence[float], lam: float, folder: Path) -> np.ndarray:
        return register(moving, fixed, spacing, recipe.variant, lam, folder, **recipe.settings)

    return one


def register_pairs(
    dataset: Dataset,
    recipe: Recipe,
    extractor: nn.Module | None,
    folder: Path,
    label: str,
    saved: Callable[[], object] = lambda: None,
) -> None:
    """Register all validation and test pairs of a dataset along the whole path.

    Args:
        dataset: prepared dataset.
        recipe: kind, variant, path and settings.
        extractor: extractor whose features are registered too.
        folder: folder of the fields, see :mod:`likeness.fields`; existing ones are kept.
        label: label of the progress bar.
        saved: called whenever something was saved.

    Raises:
        SystemExit: on SIGTERM, after the results so far have been saved.
    """
    register, path = registration(recipe), recipe.path
    loader = Loader(dataset, torch.device("cpu"))
    pairs = dataset.registered
    folder.mkdir(parents=True, exist_ok=True)
    with told_to_stop() as stop, progress.bar(0, len(pairs) * len(path), label) as shown:
        for pair in pairs:
            waiting = [lam for lam in path if not fields.place(folder, lam, *pair).exists()]
            shown.update(len(path) - len(waiting))
            images = [channels(loader.images([id]), extractor) for id in pair] if waiting else []
            for lam in waiting:
                moving, fixed = images
                field = register(moving, fixed, dataset.spacing, lam, folder)
                with atomic_write(fields.place(folder, lam, *pair)) as temporary:
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
