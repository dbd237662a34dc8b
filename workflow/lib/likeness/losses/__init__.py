"""Similarity losses, one module each, found by name.

A module ``losses/<name>.py`` states a literal ``CARD`` and one class ``Loss``. Cards are read without importing the
module, because the workflow needs them before any job and without torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likeness.userinput import cards
from likeness.userinput.errors import UserError, suggest

if TYPE_CHECKING:
    from likeness.losses.base import SimilarityLoss

FOLDER = Path(__file__).parent
NOT_LOSSES = {"__init__", "base"}
GROUPS = ("none", "external", "in-domain", "labels")
"""What a loss learns from, in the order of figures and tables, each with a hundred places of ``order``."""
KEYS = ("formula", "range", "doi", "supervision")
"""What every card has."""
DEFAULTS: dict[str, Any] = {
    "dimensions": [2, 3],
    "extractor": None,
    "requires": {},
    "invariances": [],
    "shares": [],
    "options": {},
    "noise": {},
    "grid": [0.1, 0.3, 1.0],
    "raw_grid": [0.125, 0.25, 0.5, 1.0, 2.0],
}
"""What holds where a card says nothing of it."""
OPTIONAL = ("title", "order", "colour", "marker", "window", "coarse", "oracle", "only_trained")
"""What cards may have beside these."""
TRAINED_ON = "trained_on"
"""Option of a variant of any loss whose extractor the workflow trains: the dataset that it is trained on instead."""


def names() -> list[str]:
    """Name every loss in the order in which figures and tables show them."""
    found = [p.stem for p in FOLDER.glob("*.py") if p.stem not in NOT_LOSSES and not p.stem.startswith("_")]
    return sorted(found, key=lambda name: (card(name)["order"], name))


@lru_cache
def card(name: str) -> dict[str, Any]:
    """Read the card of a loss, a literal, without importing its module.

    Returns:
        All of :data:`KEYS`, :data:`DEFAULTS`, ``title`` and ``order``; of the other :data:`OPTIONAL` those that the
        loss has. ``options`` has what every option may be, and its ``default``, also of those that the loss shares.

    Raises:
        UserError: if there is no such loss, or its module has no literal ``CARD`` that says what :mod:`.base` asks for.
    """
    path = FOLDER / f"{name}.py"
    if not path.is_file():
        msg = f"{path}: there is no loss '{name}'; `make loss NAME={name}` writes one"
        raise UserError(msg)
    found = cards.card(path, KEYS, {**DEFAULTS, **dict.fromkeys(OPTIONAL, ...)})
    if found["supervision"] not in GROUPS:
        msg = f"{path}: there is no supervision '{found['supervision']}'; {suggest(found['supervision'], GROUPS)}"
        raise UserError(msg)
    behind = 100 * (GROUPS.index(found["supervision"]) + 1) + 99
    given = {"title": name.replace("_", " "), "order": behind, **found}
    return {**given, "options": _options(path, found["shares"], found["options"])}


def _options(path: Path, shares: list[str], own: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Lay the options of a card over those that it shares: a key replaces a key, and ``None`` takes an option away."""
    merged: dict[str, dict[str, Any]] = {}
    for stated in [*(_shared(path, module) for module in shares), own]:
        for option, said in stated.items():
            merged[option] = {} if said is None else {**merged.get(option, {}), **said}
    found = {option: said for option, said in merged.items() if said}
    bare = next((option for option, said in found.items() if "default" not in said), None)
    if bare is not None:
        msg = f"{path}: the CARD gives the option '{bare}' no default; add `\"default\": ...` beside its limits"
        raise UserError(msg)
    return found


def _shared(path: Path, module: str) -> dict[str, Any]:
    """Read the options that a private module states for the losses that share them."""
    beside = path.parent / f"{module}.py"
    found = cards.literal(beside, "OPTIONS") if beside.is_file() else None
    if found is None:
        msg = f"{path}: the CARD shares '{module}', but {beside.name} beside it states no literal OPTIONS; correct it"
        raise UserError(msg)
    return found


def options(name: str) -> dict[str, Any]:
    """Give the options of a loss with their defaults."""
    return {option: said["default"] for option, said in card(name)["options"].items()}


def limits(name: str) -> dict[str, dict[str, Any]]:
    """Give what each option of a loss may be, where its card says more than the default: keywords of JSON Schema.

    ``with`` among them names what another option has to be for this one to have an effect.
    """
    stated = {option: {**said} for option, said in card(name)["options"].items()}
    for said in stated.values():
        del said["default"]
    return {option: said for option, said in stated.items() if said}


def completed(name: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Give all options of a loss: those chosen, and the defaults of the others. ``trained_on`` may be among them."""
    return {**options(name), **chosen}


def draws_noise(name: str, dims: int) -> bool:
    """Tell whether a loss draws random numbers for images of some dimensions: only then a seed changes its value."""
    return dims in card(name)["noise"]


def with_more_draws(name: str, dims: int, chosen: Mapping[str, Any], times: int) -> dict[str, Any]:
    """Give the options with which a loss that draws noise draws ``times`` as much, or as much as its card allows."""
    key = card(name)["noise"][dims]
    most = limits(name)[key].get("maximum", math.inf)
    return {**chosen, key: min(times * chosen.get(key, options(name)[key]), most)}


def modules(name: str) -> list[str]:
    """Name the modules that a job with a loss imports by a computed name: the loss, and the extractor that it needs."""
    extractor = card(name)["extractor"]
    return [f"likeness.losses.{name}"] + ([f"likeness.extractors.{extractor}"] if extractor else [])


def build(name: str, **options: Any) -> SimilarityLoss:
    """Build a loss with the options of a variant; what it does not name keeps the loss's default.

    ``trained_on`` among them is not the loss's: it has decided which extractor is given.

    Raises:
        UserError: if the loss does not take them.
    """
    own = {key: value for key, value in completed(name, options).items() if key != TRAINED_ON}
    try:
        return import_module(f"likeness.losses.{name}").Loss(**own)
    except (TypeError, ValueError) as error:
        given = {key: value for key, value in options.items() if key != "extractor"}
        msg = f"{FOLDER / f'{name}.py'}: cannot be built with the options {given}: {error}; "
        msg += f"correct them under `losses.{name}` in the configuration, or their limits on the card"
        raise UserError(msg) from error
