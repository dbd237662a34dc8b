"""The built-in datasets by name, known without computing or importing anything of them."""

from __future__ import annotations

import ast
import importlib
from functools import lru_cache
from pathlib import Path
from typing import Any

RECIPES = {
    "mni-brain": "likeness.datasets.mni_brain",
    "mni-head": "likeness.datasets.mni_head",
    "cells": "likeness.datasets.cells",
    "mni-brain-3d": "likeness.datasets.mni_brain_3d",
}
"""The module of each; its ``make(folder, *, seed, **options)`` writes the raw dataset folder."""


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
    own = defaults(name)
    for option in options:
        if option not in own:
            msg = f"built-in dataset '{name}' has no option '{option}'; its options are {', '.join(own)}"
            raise ValueError(msg)
    importlib.import_module(RECIPES[name]).make(Path(folder), seed=seed, **options)


@lru_cache
def defaults(name: str) -> dict[str, Any]:
    """Give the options of a built-in dataset with their defaults, without importing its module.

    Raises:
        KeyError: if there is no such dataset.
    """
    path = Path(__file__).with_name(RECIPES[checked(name)].rsplit(".", 1)[1] + ".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    make = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "make")
    pairs = zip(make.args.kwonlyargs, make.args.kw_defaults, strict=True)
    return {argument.arg: ast.literal_eval(default) for argument, default in pairs if default is not None}


def checked(name: str) -> str:
    """Give the name of a built-in dataset back.

    Raises:
        KeyError: if there is no such dataset.
    """
    if name not in RECIPES:
        msg = f"no built-in dataset '{name}'; there are {', '.join(RECIPES)}"
        raise KeyError(msg)
    return name
