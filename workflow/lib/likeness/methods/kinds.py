"""What kinds of methods there are, and what each has.

A study names its methods; a method's *kind* is a module here or in ``networks`` with a literal ``CARD``, read without
importing it. Everything that treats methods differently asks the card:

===========  =========================================================================================================
title        display name
order        place among methods in figures and tables, after the losses
colour       hex colour, for a method that uses no loss; otherwise the losses have theirs
marker       matplotlib marker, likewise
uses_loss    whether it registers with a loss of the study, in all its variants
has_lam      whether it has a regularisation weight λ, several values of which are tried, and one chosen on validation
seeded       whether every run draws and so has a seed; where not, a run has one only if its loss draws noise or its
             extractor is trained here, and one run stands for all otherwise
trained      whether it is a network that learns, and so has learning curves; it uses losses, has λ and is seeded
optimised    whether the fields of each pair are searched for with a loss, along a path of λ
settings     what a study may say of a method of the kind: the keys of an entry of its ``methods``, each with what
             :mod:`likeness.config.cards` explains, its default and a description among it; or with ``block``, the
             block of a study that it lays its own entries over. Of a network they are the keywords of ``build``, all of
             them with a default; of a key that ends in ``_2d`` or ``_3d``, the one for the images' dimensions without
             that ending
===========  =========================================================================================================

A kind that uses no loss may have several forms all the same: its card then has ``variants``, what each of its own is by
name. Beside them there is one for every loss that compares features, under the name of that loss.
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
UNREGISTERED = "unregistered"
"""The method that every study has beside those that it names."""


@dataclass(frozen=True)
class Method:
    """A method of a study: its name, which is its identity, and what the card of its kind says of it."""

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
    scale: str | None = None
    """What its λ is in tables, of ``balanced``, ``raw``, ``roughness`` and ``smoothing``; ``None`` without λ."""

    def plain(self, *keys: str) -> dict[str, Any]:
        """Give its name and some of its card as plain types, for the params of a job, see :func:`of`."""
        return {key: getattr(self, key) for key in ("name", *keys)}


def is_oracle(method: Method, loss: str) -> bool:
    """Tell whether a loss knows of every pair what others are scored by."""
    return method.optimised and losses.card(loss).get("oracle", False)


Methods = Mapping[str, Method]
"""The methods of a study by name, :data:`UNREGISTERED` among them."""


def names() -> list[str]:
    """Name every kind of method that a study may list."""
    return sorted({name for folder in FOLDERS for name in cards.names(folder)} - {UNREGISTERED})


def card(kind: str) -> dict[str, Any]:
    """Read the card of a kind.

    Raises:
        UserError: if there is none, or it is incomplete.
    """
    for folder in FOLDERS:
        path = folder / f"{kind}.py"
        if path.is_file():
            return _checked(path, cards.card(path, KEYS))
    msg = f"there is no method of the kind '{kind}'; there are {', '.join(names())}"
    raise UserError(msg)


def _checked(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Refuse a card that lacks what every training or optimisation here has."""
    for what, needed in (("trained", ("uses_loss", "has_lam", "seeded")), ("optimised", ("uses_loss", "has_lam"))):
        lacking = [key for key in needed if found[what] and not found[key]]
        if lacking:
            msg = f"{path}: the CARD says `{what}`, but not `{lacking[0]}`; what is {what} has {_spoken(needed)}"
            raise UserError(msg)
    return found


def _spoken(keys: Sequence[str]) -> str:
    words = {"uses_loss": "a loss", "has_lam": "a λ", "seeded": "a seed"}
    return " and ".join(words[key] for key in keys)


def method(name: str, kind: str | None = None, scale: str | None = None) -> Method:
    """Make a method of its name, the card of its kind, by default the name, and its scale.

    A name that is not its kind's is its title.
    """
    found = card(kind or name)
    title = found["title"] if kind in (None, name) else name
    own = {**{key: found[key] for key in LOOK}, "title": title}
    return Method(name=name, kind=kind or name, **own, scale=scale if found["has_lam"] else None)


def of(plain: Mapping[str, Mapping[str, Any]]) -> dict[str, Method]:
    """Make the methods of a study of their plain form; what that does not say of one cannot be asked of it."""
    return {name: cast(Method, SimpleNamespace(**entry)) for name, entry in plain.items()}
