"""Find the built-in datasets by name, without importing or computing them."""

from __future__ import annotations

import ast
import importlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from likeness.userinput import cards

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """List all built-in datasets."""
    return [name.replace("_", "-") for name in cards.names(FOLDER)]


def module(name: str) -> str:
    """Return the module of a built-in dataset.

    Raises:
        KeyError: if there is no such dataset.
    """
    return f"likeness.datasets.{path(name).stem}"


def path(name: str) -> Path:
    """Return the source file of a built-in dataset.

    Raises:
        KeyError: if there is no such dataset.
    """
    if name not in names():
        msg = f"no built-in dataset '{name}'; available: {', '.join(names())}"
        raise KeyError(msg)
    return FOLDER / f"{name.replace('-', '_')}.py"


def make(name: str, folder: str | Path, seed: int, **options: Any) -> None:
    """Write the raw folder of a built-in dataset atomically.

    Args:
        name: name of the dataset.
        folder: folder to create.
        seed: random seed; equal seeds give equal bytes.
        options: options of the dataset, see its ``make``.

    Raises:
        KeyError: if there is no such dataset.
        ValueError: if the dataset has no such option.
    """
    own = defaults(name)
    for option in options:
        if option not in own:
            msg = f"built-in dataset '{name}' has no option '{option}'; its options are {', '.join(own)}"
            raise ValueError(msg)
    importlib.import_module(module(name)).make(Path(folder), seed=seed, **options)


@lru_cache
def defaults(name: str) -> dict[str, Any]:
    """Return the options of a built-in dataset with their defaults, without importing its module.

    Raises:
        KeyError: if there is no such dataset.
    """
    make = next(
        node for node in cards.tree(path(name)).body if isinstance(node, ast.FunctionDef) and node.name == "make"
    )
    pairs = zip(make.args.kwonlyargs, make.args.kw_defaults, strict=True)
    return {argument.arg: ast.literal_eval(default) for argument, default in pairs if default is not None}
