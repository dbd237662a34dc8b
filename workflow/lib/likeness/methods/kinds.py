"""Kinds of methods and the keys of their cards.

A study names its methods. The *kind* of a method is a module here or in ``networks`` with a literal ``CARD``, which is
read without importing the module:

===========  =========================================================================================================
title        display name
order        rank among methods in figures and tables, after the losses
colour       hex colour, for methods without a loss; otherwise the losses have colours
marker       matplotlib marker, likewise
uses_loss    whether it registers with the losses of the study, in all their variants
has_lam      whether it has a regularisation weight λ that is chosen on validation pairs
seeded       whether every run is random and has a seed; otherwise a run has a seed only if its loss draws noise or its
             extractor is trained by the workflow
trained      whether it is a trained network with learning curves; it then uses losses, has λ and is seeded
optimised    whether the fields of each pair are optimised with a loss, along a path of λ
path         of a classical method (:mod:`likeness.methods.classical`), the setting that takes the place of λ; omitted
             otherwise
settings     keys of an entry of ``methods`` in a study, each with a rule as in :mod:`likeness.config.cards`, including
             default and description; or with ``block``, the block of the study that the entry overrides. For a network
             they are the keyword arguments of ``build``, all with a default; of keys that end in ``_2d`` and ``_3d``,
             the one for the images' dimensionality is passed, without the ending
===========  =========================================================================================================

The card of a network needs ``title`` and ``settings`` only; :data:`NETWORK` has the rest, the same for all networks.

A kind without a loss can have variants: its card then has ``variants``, their descriptions by name. In addition there
is one variant for every loss that compares features, named like the loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from likeness import losses, networks
from likeness.userinput import cards
from likeness.userinput.errors import UserError

FOLDERS = (Path(__file__).parent, networks.FOLDER)
LOOK = ("title", "order", "colour", "marker", "uses_loss", "has_lam", "seeded", "trained", "optimised")
KEYS = (*LOOK, "settings")
NETWORK = {
    "order": 100,
    "colour": "#332288",
    "marker": "o",
    "uses_loss": True,
    "has_lam": True,
    "seeded": True,
    "trained": True,
    "optimised": False,
}
"""Values for the card of a network where it does not give them."""
UNREGISTERED = "unregistered"
"""The method that is part of every study."""


@dataclass(frozen=True)
class Method:
    """A method of a study: its name, which identifies it, and the properties from the card of its kind."""

    name: str
    kind: str
    title: str
    order: int
    colour: str
    marker: str
    uses_loss: bool
    has_lam: bool
    seeded: bool
    trained: bool
    optimised: bool
    path: str | None = None
    scale: str | None = None
    """Scale of λ in tables: ``balanced``, ``raw``, ``roughness`` or ``smoothing``; ``None`` without λ."""

    def plain(self, *keys: str) -> dict[str, Any]:
        """Return the name and the given properties as plain types, for the params of a job; see :func:`of`."""
        return {key: getattr(self, key) for key in ("name", *keys)}


def is_oracle(method: Method, loss: str) -> bool:
    """Return whether a method with this loss uses a truth of test pairs, such as the labels that score the others."""
    return method.optimised and losses.card(loss).get("oracle", False)


Methods = Mapping[str, Method]
"""Methods of a study by name, including :data:`UNREGISTERED`."""


def names() -> list[str]:
    """List all kinds of methods that a study may name."""
    return sorted({name for folder in FOLDERS for name in cards.names(folder)} - {UNREGISTERED})


def card(kind: str) -> dict[str, Any]:
    """Read the card of a kind.

    Raises:
        UserError: if there is no such kind, or its card lacks a key or has an unknown one.
    """
    for folder in FOLDERS:
        path = folder / f"{kind}.py"
        if path.is_file():
            common = NETWORK if folder == networks.FOLDER else {}
            needed = [key for key in KEYS if key not in common]
            return _checked(path, cards.card(path, needed, {**common, "variants": ..., "path": None}))
    msg = f"there is no method of the kind '{kind}'; available: {', '.join(names())}"
    raise UserError(msg)


def _checked(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Check that a card has the properties implied by ``trained`` or ``optimised``."""
    for what, needed in (("trained", ("uses_loss", "has_lam", "seeded")), ("optimised", ("uses_loss", "has_lam"))):
        lacking = [key for key in needed if found[what] and not found[key]]
        if lacking:
            msg = f"{path}: CARD sets `{what}`, but not `{lacking[0]}`; every {what} method has {_spoken(needed)}"
            raise UserError(msg)
    return found


def _spoken(keys: Sequence[str]) -> str:
    words = {"uses_loss": "a loss", "has_lam": "a λ", "seeded": "a seed"}
    return " and ".join(words[key] for key in keys)


def method(name: str, kind: str | None = None, scale: str | None = None) -> Method:
    """Create a method from its name, its kind (by default the name) and its scale of λ.

    The title is the card's if the name is that of the kind, and the name otherwise.
    """
    found = card(kind or name)
    title = found["title"] if kind in (None, name) else name
    own = {**{key: found[key] for key in (*LOOK, "path")}, "title": title}
    return Method(name=name, kind=kind or name, **own, scale=scale if found["has_lam"] else None)


def of(plain: Mapping[str, Mapping[str, Any]]) -> dict[str, Method]:
    """Restore methods from :meth:`Method.plain`; they only have the properties included there."""
    return {name: cast(Method, SimpleNamespace(**entry)) for name, entry in plain.items()}
