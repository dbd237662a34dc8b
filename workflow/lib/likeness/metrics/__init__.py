"""Metrics of registration quality, one module each, found by name.

A metric is a module with a literal ``CARD`` and a function ``score``, see :mod:`.base`; modules without a card contain
shared computations on arrays. Cards are read without importing the module, so that plotting jobs do not load torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likeness.userinput import cards
from likeness.userinput.errors import UserError, suggest

if TYPE_CHECKING:
    from likeness.metrics.base import Registered, Value

FOLDER = Path(__file__).parent
KEYS = ("title", "unit", "range", "doi")
"""Required keys of a card."""
DEFAULTS: dict[str, Any] = {
    "order": 1000,
    "short": None,
    "better": None,
    "per": None,
    "dimensions": [2, 3],
    "needs": [],
    "rank": None,
    "primary": False,
    "smallest": None,
    "costly": False,
}
"""Optional keys of a card and their defaults."""
ALLOWED: dict[str, tuple[Any, ...]] = {"better": ("lower", "higher", None), "per": ("label", "instance", None)}


def names() -> list[str]:
    """List all metrics in the order of tables."""
    return sorted(cards.names(FOLDER), key=lambda name: (card(name)["order"], name))


@lru_cache
def card(name: str) -> dict[str, Any]:
    """Read the card of a metric, completed with :data:`DEFAULTS`, without importing its module.

    Raises:
        UserError: if there is no such metric, or its card is invalid.
    """
    path = FOLDER / f"{name}.py"
    if not path.is_file():
        msg = f"{path}: there is no metric '{name}'; {suggest(name, names())}"
        raise UserError(msg)
    found = cards.card(path, KEYS, DEFAULTS)
    wrong = next((key for key, allowed in ALLOWED.items() if found[key] not in allowed), None)
    if wrong is not None:
        msg = f"{path}: `{wrong}` of CARD is '{found[wrong]}'; "
        msg += f"{suggest(found[wrong], [one for one in ALLOWED[wrong] if one])} (or omit the key)"
        raise UserError(msg)
    if found["primary"] and (found["rank"] is None or found["better"] is None or not found["needs"]):
        msg = f"{path}: CARD has `primary`, but lacks `rank`, `better` or `needs`, which the choice of λ requires; "
        raise UserError(msg + "add what is missing")
    return {**found, "short": found["short"] or found["title"]}


@lru_cache
def ranked() -> tuple[str, ...]:
    """List the metrics that can represent a dataset, in order of preference."""
    return tuple(sorted((n for n in names() if card(n)["rank"] is not None), key=lambda n: card(n)["rank"]))


def comparable(known: Collection[str]) -> list[str]:
    """List those of some metrics that can represent a dataset and have a better direction, in order of preference."""
    return [name for name in ranked() if name in known and card(name)["better"]]


@lru_cache
def primaries() -> tuple[str, ...]:
    """List the metrics by which λ can be chosen, in order of preference."""
    return tuple(name for name in ranked() if card(name)["primary"])


def primary(parts: Collection[str]) -> str:
    """Return the metric by which λ is chosen and which figures show first: the preferred one that can be computed.

    Args:
        parts: parts of the dataset's images besides intensities, such as ``label``.

    Raises:
        ValueError: if no such metric can be computed, which the dataset checks exclude.
    """
    found = next((name for name in primaries() if set(card(name)["needs"]) <= set(parts)), None)
    if found is None:
        msg = f"metrics: images with only {', '.join(sorted(parts))} cannot be scored; add {', '.join(scored_parts())}"
        raise ValueError(msg)
    return found


@lru_cache
def scored_parts() -> tuple[str, ...]:
    """List the parts of images that metrics for the choice of λ need, in order of preference."""
    return tuple(dict.fromkeys(part for name in primaries() for part in card(name)["needs"]))


@lru_cache
def lower_is_better() -> tuple[str, ...]:
    """List the metrics for which lower is better."""
    return tuple(name for name in names() if card(name)["better"] == "lower")


@lru_cache
def per_label() -> tuple[str, ...]:
    """List the metrics that are computed per label and averaged over labels."""
    return tuple(name for name in names() if card(name)["per"] == "label")


def scorer(name: str) -> Callable[[Registered], Value | None]:
    """Import the function ``score`` of a metric."""
    return import_module(modules(name)[0]).score


def modules(*chosen: str) -> list[str]:
    """List the modules that a job imports dynamically for some metrics; by default for all metrics."""
    return [f"likeness.metrics.{name}" for name in chosen or names()]
