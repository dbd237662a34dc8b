"""The figures of a study, drawn from its tables and prepared datasets alone.

A figure is one module with a literal ``CARD`` and a function ``draw``, found by name:

===========  =========================================================================================================
order        place among the figures
reads        what ``draw`` takes, as keywords; ``workflow/scripts/plot.py`` says what there is
caption      what a reader must know to read it, as reStructuredText
dpi          of the picture, 200 where it is left out
===========  =========================================================================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from likeness import losses
from likeness.userinput import cards

FOLDER = Path(__file__).parent
KEYS = ("order", "reads", "caption")
LOOK = ("order", "title", "colour", "marker", "supervision")
"""What figures use of the card of a loss; another look draws them anew."""


def names() -> list[str]:
    """Name every figure, in order."""
    return sorted(cards.names(FOLDER), key=lambda name: card(name)["order"])


def card(name: str) -> dict[str, Any]:
    """Read the card of a figure without importing its module.

    Raises:
        Refusal: if it is incomplete.
    """
    return {"dpi": 200, **cards.card(FOLDER / f"{name}.py", KEYS)}


def look(loss: str) -> dict[str, Any]:
    """Give what figures use of the card of a loss, see :data:`LOOK`."""
    return {key: losses.card(loss)[key] for key in LOOK}
