"""Similarity losses, one module each, found by name.

A module ``losses/<name>.py`` states a literal ``CARD`` and one class ``Loss``. Cards are read without importing the
module, because the workflow needs them before any job and without torch.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likeness.userinput import cards
from likeness.userinput.refusals import Refusal

if TYPE_CHECKING:
    from likeness.losses.base import SimilarityLoss

FOLDER = Path(__file__).parent
NOT_LOSSES = {"__init__", "base"}
KEYS = (
    *("title", "order", "colour", "marker", "formula", "range", "doi", "dimensions", "supervision", "extractor"),
    *("requires", "invariances", "grid", "raw_grid"),
)
"""What every card has; ``limits``, ``noise``, ``coarse``, ``oracle`` and ``only_trained`` may come beside them."""
TRAINED_ON = "trained_on"
"""Option of a variant of any loss whose extractor the workflow trains: the dataset that it is trained on instead."""


def names() -> list[str]:
    """Name every loss in the order in which figures and tables show them."""
    found = [p.stem for p in FOLDER.glob("*.py") if p.stem not in NOT_LOSSES and not p.stem.startswith("_")]
    return sorted(found, key=lambda name: (card(name)["order"], name))


def _lineage(name: str) -> Iterator[tuple[ast.ClassDef, Path]]:
    """List the class of a loss and its bases in private modules, each with its module, from the most special on."""
    module, wanted = name, "Loss"
    while True:
        path = FOLDER / f"{module}.py"
        tree = cards.tree(path)
        found = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == wanted), None)
        if found is None:
            return
        yield found, path
        bases = [base.id for base in found.bases if isinstance(base, ast.Name)]
        origins = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        origin, wanted = next((origins[base] for base in bases if base in origins), ("", ""))
        if not origin.startswith("likeness.losses._"):
            return
        module = origin.removeprefix("likeness.losses.")


@lru_cache
def card(name: str) -> dict[str, Any]:
    """Read the card of a loss, a literal, without importing its module.

    What the options may be that it has from a base class in a private module is stated there, as ``LIMITS``.

    Raises:
        Refusal: if there is no such loss or its module has no literal ``CARD``.
    """
    path = FOLDER / f"{name}.py"
    if not path.is_file():
        msg = f"{path}: there is no loss '{name}'; `make loss NAME={name}` writes one"
        raise Refusal(msg)
    found = cards.card(path, KEYS)
    inherited: dict[str, Any] = {}
    for _, module in _lineage(name):
        inherited = (cards.literal(module, "LIMITS") or {}) | inherited
    limits = {key: value for key, value in inherited.items() if key in options(name)} | found.get("limits", {})
    return {**found, "limits": limits} if limits else found


def draws_noise(name: str, dims: int) -> bool:
    """Tell whether a loss draws random numbers for images of so many dimensions: only then a seed changes its value."""
    return dims in card(name).get("noise", {})


def with_more_draws(name: str, dims: int, chosen: Mapping[str, Any], times: int) -> dict[str, Any]:
    """Give the options with which a loss that draws noise draws so many times as much, or as much as it can."""
    key = card(name)["noise"][dims]
    most = card(name)["limits"][key].get("maximum", math.inf)
    return {**chosen, key: min(times * chosen.get(key, options(name)[key]), most)}


@lru_cache
def options(name: str) -> dict[str, Any]:
    """Give the options of a loss with their defaults, without importing its module: the keywords of its constructor."""
    for found, _ in _lineage(name):
        for method in found.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                pairs = zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True)
                return {a.arg: ast.literal_eval(d) for a, d in pairs if d is not None and a.arg != "extractor"}
    return {}


def modules(name: str) -> list[str]:
    """Name the modules that a job with a loss imports by a computed name: the loss, and the extractor that it needs."""
    extractor = card(name)["extractor"]
    return [f"likeness.losses.{name}"] + ([f"likeness.extractors.{extractor}"] if extractor else [])


def build(name: str, **options: Any) -> SimilarityLoss:
    """Build a loss with the options of a variant; what it does not name keeps the loss's default.

    ``trained_on`` among them is not the loss's: it has decided which extractor is given.

    Raises:
        Refusal: if the loss does not take them.
    """
    own = {key: value for key, value in options.items() if key != TRAINED_ON}
    try:
        return import_module(f"likeness.losses.{name}").Loss(**own)
    except (TypeError, ValueError) as error:
        given = {key: value for key, value in options.items() if key != "extractor"}
        msg = f"{FOLDER / f'{name}.py'}: cannot be built with the options {given}: {error}; "
        msg += f"correct them under `losses.{name}` in the configuration, or state their limits on the card"
        raise Refusal(msg) from error
