"""The built-in datasets by name, known without computing or importing anything of them."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """A built-in dataset: ``module`` has ``make(folder, *, seed, **options)``; ``parts`` are what its subjects have."""

    module: str
    spatial_dims: int
    parts: tuple[str, ...]


RECIPES = {
    "mni-brain": Recipe("likeness.data.mni_brain", 2, ("image", "label", "mask", "field")),
    "mni-head": Recipe("likeness.data.mni_head", 2, ("image", "label", "mask", "unmatched", "field")),
    "cells": Recipe("likeness.data.cells", 2, ("image", "label", "field")),
    "mni-brain-3d": Recipe("likeness.data.mni_brain_3d", 3, ("image", "label", "mask", "field")),
}


def make(name: str, folder: str | Path, seed: int, **options: Any) -> None:
    """Write the raw folder of a built-in dataset, whole or not at all.

    Args:
        name: one of :data:`RECIPES`.
        folder: where it is to appear.
        seed: the same seed gives the same bytes.
        options: the recipe's own, see its ``make``.

    Raises:
        KeyError: if there is no such dataset.
        ValueError: if the recipe has no such option.
    """
    recipe = importlib.import_module(_find(name).module)
    known = [key for key in inspect.signature(recipe.make).parameters if key not in ("folder", "seed")]
    for option in options:
        if option not in known:
            msg = f"built-in dataset '{name}' has no option '{option}'; its options are {', '.join(known)}"
            raise ValueError(msg)
    recipe.make(Path(folder), seed=seed, **options)


def describe(name: str) -> dict[str, Any]:
    """Tell ``spatial_dims`` and ``parts`` of a built-in dataset, for parsing.

    Raises:
        KeyError: if there is no such dataset.
    """
    recipe = _find(name)
    return {"spatial_dims": recipe.spatial_dims, "parts": list(recipe.parts)}


def _find(name: str) -> Recipe:
    if name not in RECIPES:
        msg = f"no built-in dataset '{name}'; there are {', '.join(RECIPES)}"
        raise KeyError(msg)
    return RECIPES[name]
