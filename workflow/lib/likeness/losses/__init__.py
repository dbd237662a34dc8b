"""Similarity losses, one module each, found by name.

A module ``losses/<name>.py`` has a literal ``CARD`` and a class ``Loss``. Cards are read without importing the module,
because Snakemake needs them while parsing the workflow, without torch.
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
"""Kinds of supervision in the order of figures and tables; each has a range of one hundred values of ``order``."""
KEYS = ("formula", "range", "doi", "supervision")
"""Required keys of a card."""
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
"""Optional keys of a card with a default."""
OPTIONAL = ("title", "order", "colour", "marker", "window", "coarse", "oracle", "only_trained")
"""Optional keys of a card without a default."""
TRAINED_ON = "trained_on"
"""Option of variants of losses with an extractor trained by the workflow: the dataset to train it on instead."""
WEIGHTS = "weights"
"""Option of variants of losses on features of a network: its weights, see :data:`likeness.extractors.TWINS`."""
MASKED = "masked"
"""Option of losses on features that restricts them to the masks of both images."""


def names() -> list[str]:
    """List all losses in the order of figures and tables."""
    found = [p.stem for p in FOLDER.glob("*.py") if p.stem not in NOT_LOSSES and not p.stem.startswith("_")]
    return sorted(found, key=lambda name: (card(name)["order"], name))


@lru_cache
def card(name: str) -> dict[str, Any]:
    """Read the card of a loss without importing its module.

    Returns:
        All of :data:`KEYS` and :data:`DEFAULTS`, ``title`` and ``order``, and those of :data:`OPTIONAL` that are given.
        ``options`` is completed with shared options; each has its ``default`` and its constraints.

    Raises:
        UserError: if there is no such loss, or its card does not conform to :mod:`.base`.
    """
    path = FOLDER / f"{name}.py"
    if not path.is_file():
        msg = f"{path}: there is no loss '{name}'; create it with `make loss NAME={name}`"
        raise UserError(msg)
    found = cards.card(path, KEYS, {**DEFAULTS, **dict.fromkeys(OPTIONAL, ...)})
    if found["supervision"] not in GROUPS:
        msg = f"{path}: there is no supervision '{found['supervision']}'; {suggest(found['supervision'], GROUPS)}"
        raise UserError(msg)
    behind = 100 * (GROUPS.index(found["supervision"]) + 1) + 99
    given = {"title": name.replace("_", " "), "order": behind, **found}
    return {**given, "options": _options(path, found["shares"], found["options"])}


def _options(path: Path, shares: list[str], own: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Merge the options of a card over shared ones, key by key; ``None`` removes an option."""
    merged: dict[str, dict[str, Any]] = {}
    for stated in [*(_shared(path, module) for module in shares), own]:
        for option, said in stated.items():
            merged[option] = {} if said is None else {**merged.get(option, {}), **said}
    found = {option: said for option, said in merged.items() if said}
    bare = next((option for option, said in found.items() if "default" not in said), None)
    if bare is not None:
        msg = f"{path}: the option '{bare}' in CARD has no default; add `\"default\": ...` to its limits"
        raise UserError(msg)
    return found


def _shared(path: Path, module: str) -> dict[str, Any]:
    """Read the literal ``OPTIONS`` of a private module that several losses share."""
    beside = path.parent / f"{module}.py"
    found = cards.literal(beside, "OPTIONS") if beside.is_file() else None
    if found is None:
        msg = f"{path}: CARD shares '{module}', but {beside.name} in the same folder has no literal OPTIONS; correct it"
        raise UserError(msg)
    return found


def options(name: str) -> dict[str, Any]:
    """Return the options of a loss and their defaults."""
    return {option: said["default"] for option, said in card(name)["options"].items()}


def limits(name: str) -> dict[str, dict[str, Any]]:
    """Return the constraints on each option of a loss besides the type of the default, as JSON Schema keywords.

    The additional keyword ``with`` gives the values of other options for which an option has an effect.
    """
    stated = {
        option: {key: value for key, value in said.items() if key not in ("default", "tune")}
        for option, said in card(name)["options"].items()
    }
    return {option: said for option, said in stated.items() if said}


def ranges(name: str) -> dict[str, list[Any]]:
    """Return the values to try of those options of a loss that can be tuned."""
    return {option: said["tune"] for option, said in card(name)["options"].items() if "tune" in said}


def completed(name: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a loss: the chosen ones, with those of the extractor, and defaults for the others."""
    return {**options(name), **chosen}


def has_twins(name: str) -> bool:
    """Return whether variants of a loss can have an extractor with other weights.

    Those of IMPACT are part of a program, and those of the untrained network are untrained.
    """
    return "comparator" in options(name) and card(name)["extractor"] not in ("impact", "untrained")


def requires(name: str, chosen: Mapping[str, Any]) -> dict[str, str]:
    """Return the required parts of a dataset, with their reasons, for a loss with the chosen options."""
    masked = completed(name, chosen).get(MASKED)
    more = {"mask": "it compares features only where the masks of both images have content"} if masked else {}
    return {**card(name)["requires"], **more}


def draws_noise(name: str, dims: int) -> bool:
    """Return whether a loss is random for images of a dimensionality, so that its value depends on the seed."""
    return dims in card(name)["noise"]


def with_more_draws(name: str, dims: int, chosen: Mapping[str, Any], times: int) -> dict[str, Any]:
    """Return the options with ``times`` times as many random draws as chosen, up to the option's maximum."""
    key = card(name)["noise"][dims]
    most = limits(name)[key].get("maximum", math.inf)
    return {**chosen, key: min(times * chosen.get(key, options(name)[key]), most)}


def modules(name: str) -> list[str]:
    """List the modules that a job imports dynamically for a loss: the loss and its extractor."""
    extractor = card(name)["extractor"]
    return [f"likeness.losses.{name}"] + ([f"likeness.extractors.{extractor}"] if extractor else [])


def build(name: str, **options: Any) -> SimilarityLoss:
    """Build a loss from the options of a variant, completed with the loss's defaults.

    ``trained_on`` and ``weights`` are ignored: they only determine the extractor, which the caller passes.

    Raises:
        UserError: if the loss does not accept the options.
    """
    own = {key: value for key, value in completed(name, options).items() if key not in (TRAINED_ON, WEIGHTS)}
    try:
        return import_module(f"likeness.losses.{name}").Loss(**own)
    except (TypeError, ValueError) as error:
        given = {key: value for key, value in options.items() if key != "extractor"}
        msg = f"{FOLDER / f'{name}.py'}: cannot be built with the options {given}: {error}; "
        msg += f"correct them under `losses.{name}` in the configuration, or their limits on the card"
        raise UserError(msg) from error
