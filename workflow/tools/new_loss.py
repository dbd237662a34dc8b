"""Write the two files of a new loss: its rule and its module. Called by `make loss NAME=my_loss`."""

import colorsys
import json
import keyword
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "lib"))

from likeness import losses  # noqa: E402

RULES = ROOT / "rules" / "losses"
RESERVED = {"base", "default", "unregistered"}
GLYPHS = [f"${glyph}$" for glyph in "◖◢◣▬♣♠◗♥▰"]
MARKERS = [*">pdh8H", (5, 1, 180), (7, 1, 0), (12, 1, 0), *GLYPHS, *"1234+x|_"]
"""What figures tell apart beside the first losses' markers: filled ones first, no two of one silhouette."""
COLOURS = [colorsys.hls_to_rgb(hue / 24, light, 0.6) for light in (0.35, 0.45, 0.25) for hue in range(24)]
"""Colours, red, green and blue in [0, 1], that are dark enough on white."""

RULE = """use rule optimise as optimise_{name} with:
    wildcard_constraints:
        loss="{name}",


use rule train as train_{name} with:
    wildcard_constraints:
        loss="{name}",
"""

MODULE = '''"""{title}: say here what it compares, and name the paper it comes from.

As scaffolded it is the mean absolute difference, which works: change it step by step.
"""

from __future__ import annotations

from torch import Tensor

from likeness.losses.base import Registration, SimilarityLoss, mean_per_pair

CARD = {{
    "title": "{title}",
    "order": {order},
    "colour": "{colour}",
    "marker": {marker},
    "formula": r"\\frac{{1}}{{|\\Omega|}}\\sum_{{x\\in\\Omega}}\\left|m(x)-f(x)\\right|",
    "range": [0, 1],
    "doi": None,
    "dimensions": [2, 3],
    "supervision": "none",
    "extractor": None,
    "requires": {{}},
    "invariances": [],
    "grid": {grid},
    "raw_grid": [0.01, 0.1, 1.0],
}}


class Loss(SimilarityLoss):
    """Mean absolute difference of the intensities."""

    def forward(self, pair: Registration) -> Tensor:
        """Give the mean over the voxels of each pair."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Give the absolute difference per voxel."""
        return (pair.moved - pair.fixed).abs()
'''


def paths(name: str) -> tuple[Path, Path]:
    """Give the module and the rule of a loss."""
    return losses.FOLDER / f"{name}.py", RULES / f"{name}.smk"


def refusal(name: str) -> str | None:
    """Say in one sentence why a loss cannot have this name; nothing if it can."""
    if not re.fullmatch(r"[a-z]([a-z0-9_]*[a-z0-9])?", name):
        return f"'{name}' is no name for a loss: use lower-case letters, digits and underscores, for example my_loss"
    if keyword.iskeyword(name) or name in RESERVED:
        return f"'{name}' is taken by the project or by Python; choose another name"
    for path in paths(name):
        if path.exists():
            return f"{path.relative_to(ROOT.parent)} exists; choose another name or edit it"
    if not free_markers(cards()):
        return "every marker of matplotlib is taken, so figures could not tell one more loss apart; remove a loss"
    return None


def cards() -> list[dict[str, Any]]:
    """Read the card of every loss there is."""
    return [losses.card(name) for name in losses.names()]


def free_markers(cards: list[dict[str, Any]]) -> list[Any]:
    """Give the markers that no loss has."""
    return [marker for marker in MARKERS if marker not in {card["marker"] for card in cards}]


def place(cards: list[dict[str, Any]]) -> int:
    """Find the place behind the losses without supervision."""
    taken = {card["order"] for card in cards}
    last = max((order for order in taken if order < 200), default=90)
    wanted = [*range(last // 10 * 10 + 10, 200, 10), *range(199, 99, -1)]
    return next(order for order in wanted if order not in taken)


def colour(cards: list[dict[str, Any]]) -> str:
    """Choose the colour that is farthest from every one in use."""
    used = [[int(card["colour"][i : i + 2], 16) / 255 for i in (1, 3, 5)] for card in cards]

    def distance(candidate: tuple[float, float, float]) -> float:
        return min(sum((a - b) ** 2 for a, b in zip(candidate, other, strict=True)) for other in used)

    return "#" + "".join(f"{round(255 * part):02X}" for part in max(COLOURS, key=distance))


def module(name: str) -> str:
    """Fill in the module so that the loss looks like no other."""
    others = cards()
    title = name.replace("_", " ")
    return MODULE.format(
        title=name if title in {card["title"] for card in others} else title,
        order=place(others),
        colour=colour(others),
        marker=json.dumps(first, ensure_ascii=False) if isinstance(first := free_markers(others)[0], str) else first,
        grid=others[0]["grid"],
    )


def main(arguments: list[str]) -> int:
    """Write both files, or say why not."""
    name = arguments[0] if arguments else ""
    if reason := refusal(name):
        print(f"make loss: {reason}", file=sys.stderr)
        return 2
    for path, text in zip(paths(name), (module(name), RULE.format(name=name)), strict=True):
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT.parent)}")
    print(f"test it:     .venv/bin/python -m pytest tests/losses/test_conformance.py -k '{name} or alike'")
    print(f'try it:      make figures LOSSES="mse {name}" DATASETS=mni-brain CONFIG=config/smoke.yaml')
    print("document it: make docs")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
