"""Similarity losses, one module each, found by name.

A module ``losses/<name>.py`` states a literal ``CARD`` and one class ``Loss``. Cards are read without importing the
module, because the workflow needs them before any job and without torch.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from likeness.losses.base import SimilarityLoss

FOLDER = Path(__file__).parent
NOT_LOSSES = {"__init__", "base"}


def names() -> list[str]:
    """Name every loss in the order in which figures and tables show them."""
    found = [p.stem for p in FOLDER.glob("*.py") if p.stem not in NOT_LOSSES and not p.stem.startswith("_")]
    return sorted(found, key=lambda name: (card(name)["order"], name))


@lru_cache
def _tree(name: str) -> ast.Module:
    return ast.parse((FOLDER / f"{name}.py").read_text())


@lru_cache
def card(name: str) -> dict[str, Any]:
    """Read the card of a loss, a literal, without importing its module.

    Raises:
        ValueError: if there is no such loss or its module has no literal ``CARD``.
    """
    path = FOLDER / f"{name}.py"
    if not path.is_file():
        msg = f"{path}: there is no loss '{name}'; `make loss NAME={name}` writes one"
        raise ValueError(msg)
    for node in _tree(name).body:
        if isinstance(node, ast.Assign) and [t.id for t in node.targets if isinstance(t, ast.Name)] == ["CARD"]:
            return ast.literal_eval(node.value)
    msg = f"{path}: no literal CARD; write `CARD = {{...}}` with constants only"
    raise ValueError(msg)


@lru_cache
def options(name: str) -> dict[str, Any]:
    """Give the options of a loss with their defaults, without importing its module: the keywords of its constructor."""
    for node in _tree(name).body:
        if isinstance(node, ast.ClassDef) and node.name == "Loss":
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    pairs = zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True)
                    return {a.arg: ast.literal_eval(d) for a, d in pairs if d is not None and a.arg != "extractor"}
    return {}


def build(name: str, **options: Any) -> SimilarityLoss:
    """Build a loss with the options of a variant; what it does not name keeps the loss's default."""
    return import_module(f"likeness.losses.{name}").Loss(**options)
