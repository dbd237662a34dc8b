"""Colours and markers of losses in figures, unique to each loss.

A card may state both. Missing ones are assigned among all existing losses, independently of the study: each loss takes
the first free one in an order derived from its name, so that a new loss rarely changes the look of others.
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
"""Keys of a loss's card that figures depend on; changes redraw them."""
T = TypeVar("T")
Marker = str | tuple[int, int, int]


def _hexadecimal(hue: float, light: float) -> str:
    return "#" + "".join(f"{round(255 * part):02X}" for part in colorsys.hls_to_rgb(hue, light, 0.6))


COLOURS = [_hexadecimal(hue / 24, light) for light in (0.35, 0.45, 0.25) for hue in range(24)]
"""Default colours, dark enough on white."""
APART = 0.15
"""Minimum distance between two colours, as long as available, in the RGB cube with sides of length 1."""
GLYPHS = [f"${glyph}$" for glyph in "◖◢◣▬♣♠◗♥▰"]
MARKERS: list[Marker] = [*">pdh8H", (5, 1, 180), (7, 1, 0), (12, 1, 0), *GLYPHS]
"""Default markers with mutually distinct silhouettes."""
STROKES: list[Marker] = [*"1234+x|_"]
"""Markers without area, which are hard to see on the line of an interval; used when all others are taken."""
LETTERS: list[Marker] = [f"${letter}$" for letter in ascii_uppercase if letter not in "IOX"]
"""Markers for the case that all others are taken, without letters that resemble one of them."""


def look(loss: str) -> dict[str, Any]:
    """Return the properties of a loss that figures use, see :data:`LOOK`.

    Raises:
        UserError: if there is no such loss, or no marker is left for it.
    """
    found = {key: value for key, value in losses.card(loss).items() if key in LOOK}
    if "colour" not in found:
        found["colour"] = _given_out("colour", [COLOURS], _alike)[loss]
    if "marker" not in found:
        found["marker"] = _given_out("marker", [MARKERS, STROKES, LETTERS], operator.eq)[loss]
    return {key: found[key] for key in LOOK}


def _given_out(key: str, stock: Sequence[Sequence[T]], alike: Callable[[T, T], bool]) -> dict[str, T]:
    """Return for every loss the value on its card, or one of the stock that differs from all others.

    Args:
        key: key of the card.
        stock: available values in several groups; the first group with a free value is used.
        alike: whether two values could be confused.

    Raises:
        UserError: if no value is left.
    """
    names = sorted(losses.names())
    found = {name: losses.card(name)[key] for name in names if key in losses.card(name)}
    for name in (name for name in names if name not in found):
        ordered = [sorted(part, key=partial(_place, name)) for part in stock]
        unlike = (one for part in ordered for one in part if not any(alike(one, other) for other in found.values()))
        unused = (one for part in ordered for one in part if one not in found.values())
        chosen = next(unlike, None) or next(unused, None)
        if chosen is None:
            msg = f"{losses.FOLDER / f'{name}.py'}: every available {key} is used by another loss; "
            msg += f"state one on the CARD as `{key}`"
            raise UserError(msg)
        found[name] = chosen
    return found


def _place(name: str, one: object) -> str:
    """Return the sort key of a value in the order of a loss."""
    return hashlib.sha256(f"{name} {one}".encode()).hexdigest()


def _alike(one: str, other: str) -> bool:
    """Return whether two hexadecimal colours are closer than :data:`APART`."""
    parts = ([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in (one, other))
    return sum((a - b) ** 2 for a, b in zip(*parts, strict=True)) < APART**2
