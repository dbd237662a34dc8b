"""Print the cards of all losses as a table. Called by `make losses`; reads no image and imports no torch."""

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))

from likeness import losses

HEADS = ("loss", "in figures", "learns from", "in", "range", "unchanged by", "needs", "options and defaults")
NARROWEST = 30
"""Least width of the last column, which gets what is left of the terminal."""


def row(name: str) -> tuple[str, ...]:
    """Give the cells of a loss."""
    card = losses.card(name)
    low, high = ("∞" if bound is None else f"{bound:g}" for bound in card["range"])
    needs = [*card["requires"], *([card["extractor"]] if card["extractor"] else [])]
    options = [f"{key}={json.dumps(value)}" for key, value in losses.options(name).items()]
    return (
        name,
        card["title"],
        {"none": "nothing", "external": "other data", "in-domain": "images"}.get(card["supervision"], "labels"),
        " ".join(f"{dims}D" for dims in card["dimensions"]),
        f"{'-' if low == '∞' else ''}{low} … {high}",
        ", ".join(card["invariances"]) or "–",
        ", ".join(needs) or "–",
        " ".join(options) or "–",
    )


def lines(rows: list[tuple[str, ...]], width: int) -> Iterator[str]:
    """Set rows in columns; the last one is broken where it is too wide."""
    widths = [max(len(cells[k]) for cells in rows) for k in range(len(HEADS) - 1)]
    left = max(NARROWEST, width - sum(widths) - 2 * len(widths))
    for number, cells in enumerate(rows):
        first, *more = textwrap.wrap(cells[-1], left) or [""]
        yield "  ".join([*(cell.ljust(w) for cell, w in zip(cells, widths, strict=False)), first])
        yield from (" " * (sum(widths) + 2 * len(widths)) + line for line in more)
        if number == 0:
            yield "─" * max(width, sum(widths) + 2 * len(widths) + left)


if __name__ == "__main__":
    table = [HEADS, *map(row, losses.names())]
    print("\n".join(lines(table, shutil.get_terminal_size((180, 0)).columns)))
