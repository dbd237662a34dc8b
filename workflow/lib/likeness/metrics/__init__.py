"""Metrics: what a displacement is worth, one module each, found by name.

A metric is a module with a literal ``CARD`` and a function ``score``, see :mod:`.base`; modules without a card hold
arithmetic on arrays that metrics share. Cards are read without importing the module, so that jobs that only plot load
no torch.
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
"""What every card has."""
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
"""What holds where a card says nothing of it."""
ALLOWED: dict[str, tuple[Any, ...]] = {"better": ("lower", "higher", None), "per": ("label", "instance", None)}


def names() -> list[str]:
    """Name every metric in the order of tables."""
    return sorted(cards.names(FOLDER), key=lambda name: (card(name)["order"], name))


@lru_cache
def card(name: str) -> dict[str, Any]:
    """Read the card of a metric, all of :data:`KEYS` and :data:`DEFAULTS`, without importing its module.

    Raises:
        UserError: if there is no such metric, or its card is wrong.
    """
    path = FOLDER / f"{name}.py"
    if not path.is_file():
        msg = f"{path}: there is no metric '{name}'; {suggest(name, names())}"
        raise UserError(msg)
    found = cards.card(path, KEYS, DEFAULTS)
    wrong = next((key for key, allowed in ALLOWED.items() if found[key] not in allowed), None)
    if wrong is not None:
        msg = f"{path}: `{wrong}` of the CARD is '{found[wrong]}'; "
        msg += f"{suggest(found[wrong], [one for one in ALLOWED[wrong] if one])}, or leave it out"
        raise UserError(msg)
    if found["primary"] and (found["rank"] is None or found["better"] is None or not found["needs"]):
        msg = f"{path}: the CARD says `primary`, but lacks `rank`, `better` or `needs`, which the choice of λ goes by; "
        raise UserError(msg + "add what is missing")
    return {**found, "short": found["short"] or found["title"]}


@lru_cache
def ranked() -> tuple[str, ...]:
    """Name the metrics that may stand for a whole dataset, the one to be preferred first."""
    return tuple(sorted((n for n in names() if card(n)["rank"] is not None), key=lambda n: card(n)["rank"]))


@lru_cache
def primaries() -> tuple[str, ...]:
    """Name the metrics that λ may be chosen by, the one to be preferred first."""
    return tuple(name for name in ranked() if card(name)["primary"])


def primary(parts: Collection[str]) -> str:
    """Name the metric that λ is chosen by and figures show first: the preferred one of those that images allow.

    Args:
        parts: what images of a dataset have beside intensities, such as ``label``.

    Raises:
        ValueError: if nothing can be scored, which the checks of a dataset rule out.
    """
    found = next((name for name in primaries() if set(card(name)["needs"]) <= set(parts)), None)
    if found is None:
        msg = f"metrics: images with {', '.join(sorted(parts))} alone cannot be scored; add {', '.join(scored_parts())}"
        raise ValueError(msg)
    return found


@lru_cache
def scored_parts() -> tuple[str, ...]:
    """Name the parts of images that metrics which λ may be chosen by need, that of the preferred one first."""
    return tuple(dict.fromkeys(part for name in primaries() for part in card(name)["needs"]))


@lru_cache
def lower_is_better() -> tuple[str, ...]:
    """Name the metrics of which lower is better."""
    return tuple(name for name in names() if card(name)["better"] == "lower")


@lru_cache
def per_label() -> tuple[str, ...]:
    """Name the metrics that are scored per label and summed up by a mean over labels."""
    return tuple(name for name in names() if card(name)["per"] == "label")


def scorer(name: str) -> Callable[[Registered], Value | None]:
    """Import the function ``score`` of a metric."""
    return import_module(modules(name)[0]).score


def modules(*chosen: str) -> list[str]:
    """Name the modules that a job with some metrics imports by a computed name; by default with all metrics."""
    return [f"likeness.metrics.{name}" for name in chosen or names()]
