"""The figures of a study, drawn from its tables and prepared datasets alone.

A figure is one module with a literal ``CARD`` and a function ``draw``, found by name:

===========  =========================================================================================================
reads        what ``draw`` takes, as keywords; ``workflow/scripts/plot.py`` says what there is
caption      what a reader must know to read it, as reStructuredText
order        place among the figures; the last where it is left out
dpi          of the picture, 200 where it is left out
===========  =========================================================================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from likeness.userinput import cards

FOLDER = Path(__file__).parent
KEYS = ("reads", "caption")
DEFAULTS = {"order": 1000, "dpi": 200}


def names() -> list[str]:
    """Name every figure, in order."""
    return sorted(cards.names(FOLDER), key=lambda name: (card(name)["order"], name))


def card(name: str) -> dict[str, Any]:
    """Read the card of a figure without importing its module.

    Raises:
        UserError: if it is incomplete, or has a key that no card of a figure has.
    """
    return cards.card(FOLDER / f"{name}.py", KEYS, DEFAULTS)
