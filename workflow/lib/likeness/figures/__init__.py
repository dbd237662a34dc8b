"""Figures of a study, drawn from its tables and prepared datasets only.

A figure is a module with a literal ``CARD`` and a function ``draw``, found by name. Keys of the card:

===========  =========================================================================================================
reads        keyword arguments of ``draw``; ``workflow/scripts/plot.py`` lists the available ones
caption      caption as reStructuredText
order        rank among the figures; by default last
dpi          resolution, 200 by default
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
    """List all figures, in order."""
    return sorted(cards.names(FOLDER), key=lambda name: (card(name)["order"], name))


def card(name: str) -> dict[str, Any]:
    """Read the card of a figure without importing its module.

    Raises:
        UserError: if the card lacks a key or has an unknown one.
    """
    return cards.card(FOLDER / f"{name}.py", KEYS, DEFAULTS)
