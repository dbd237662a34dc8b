"""The look of every loss in figures, with a colour and a marker that no other loss has.

A card may state both. What it leaves out is given out among all losses that there are, whichever of them a study
compares: each takes the first free one in an order of its own, which its name decides, so that a further loss hardly
ever changes the look of the others.
"""

from __future__ import annotations

import colorsys
import hashlib
import operator
from collections.abc import Callable, Sequence
from functools import partial
from string import ascii_uppercase
from typing import Any, TypeVar

from likeness import losses
from likeness.userinput.errors import UserError

LOOK = ("order", "title", "colour", "marker", "supervision")
"""What figures use of the card of a loss; another look draws them anew."""
T = TypeVar("T")
Marker = str | tuple[int, int, int]


def _hexadecimal(hue: float, light: float) -> str:
    return "#" + "".join(f"{round(255 * part):02X}" for part in colorsys.hls_to_rgb(hue, light, 0.6))


COLOURS = [_hexadecimal(hue / 24, light) for light in (0.35, 0.45, 0.25) for hue in range(24)]
"""Colours that are dark enough on white."""
APART = 0.15
"""How far apart two colours are at least, as long as there are such: in the cube of red, green and blue, of side 1."""
GLYPHS = [f"${glyph}$" for glyph in "◖◢◣▬♣♠◗♥▰"]
MARKERS: list[Marker] = [*">pdh8H", (5, 1, 180), (7, 1, 0), (12, 1, 0), *GLYPHS, *"1234+x|_"]
"""Markers no two of which have one silhouette."""
LETTERS: list[Marker] = [f"${letter}$" for letter in ascii_uppercase if letter not in "IOX"]
"""For when all of these are taken; the letters left out look like one of them."""


def look(loss: str) -> dict[str, Any]:
    """Give what figures use of a loss, see :data:`LOOK`.

    Raises:
        UserError: if there is no such loss, or no marker is left for it.
    """
    found = {key: value for key, value in losses.card(loss).items() if key in LOOK}
    if "colour" not in found:
        found["colour"] = _given_out("colour", [COLOURS], _alike)[loss]
    if "marker" not in found:
        found["marker"] = _given_out("marker", [MARKERS, LETTERS], operator.eq)[loss]
    return {key: found[key] for key in LOOK}


def _given_out(key: str, stock: Sequence[Sequence[T]], alike: Callable[[T, T], bool]) -> dict[str, T]:
    """Give every loss what its card states under a key, or one of the stock that is like no other's.

    Args:
        key: of the card.
        stock: what there is, in several parts of which the first that has one left is used.
        alike: tells whether two would be mistaken for each other.
    """
    names = sorted(losses.names())
    found = {name: losses.card(name)[key] for name in names if key in losses.card(name)}
    for name in (name for name in names if name not in found):
        ordered = [sorted(part, key=partial(_place, name)) for part in stock]
        unlike = (one for part in ordered for one in part if not any(alike(one, other) for other in found.values()))
        unused = (one for part in ordered for one in part if one not in found.values())
        chosen = next(unlike, None) or next(unused, None)
        if chosen is None:
            msg = f"{losses.FOLDER / f'{name}.py'}: every {key} there is has been given to another loss; "
            msg += f"state one on the CARD, as `{key}`"
            raise UserError(msg)
        found[name] = chosen
    return found


def _place(name: str, one: object) -> str:
    """Give what puts the stock into an order that is a loss's own."""
    return hashlib.sha256(f"{name} {one}".encode()).hexdigest()


def _alike(one: str, other: str) -> bool:
    """Tell whether two hexadecimal colours are nearer than :data:`APART`."""
    parts = ([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in (one, other))
    return sum((a - b) ** 2 for a, b in zip(*parts, strict=True)) < APART**2
