"""Write the two files of a new loss: its rule and its module. Called by `make loss NAME=my_loss`."""

import colorsys
import keyword
import re
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = ROOT / "lib" / "likeness" / "losses"
RULES = ROOT / "rules" / "losses"
MARKERS = "ov^<>spP*hHXDd"

RULE = """use rule train as train_{name} with:
    wildcard_constraints:
        loss="{name}",
"""

MODULE = '''"""{title}: say here what it measures, and name the paper it comes from.

As scaffolded it is the mean absolute difference, a loss that works: change it step by step.
"""

from __future__ import annotations

from torch import Tensor

from likeness.losses.base import Registration, SimilarityLoss

CARD = {{
    "title": "{title}",
    "order": 900,
    "colour": "{colour}",
    "marker": "{marker}",
    "formula": r"\\frac{{1}}{{|\\Omega|}}\\sum_{{x\\in\\Omega}}|m(x)-f(x)|",
    "range": [0, 1],
    "doi": None,
    "dimensions": [2, 3],
    "supervision": "none",
    "extractor": None,
    "requires": {{}},
    "invariances": [],
    "options": {{}},
    "grid": [0.1, 0.3, 1.0],
    "raw_grid": [0.01, 0.1, 1.0],
}}


class Loss(SimilarityLoss):
    """Mean absolute difference of the intensities."""

    def forward(self, pair: Registration) -> Tensor:
        """Give the mean over voxels and pairs."""
        return self.map(pair).mean()

    def map(self, pair: Registration) -> Tensor:
        """Give the absolute difference per voxel."""
        return (pair.moved - pair.fixed).abs()
'''


def refusal(name: str) -> str | None:
    """Say in one sentence why a loss cannot have this name; nothing if it can."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name.endswith("_"):
        return f"'{name}' is no name for a loss: use lower-case letters, digits and underscores, for example my_loss"
    if keyword.iskeyword(name) or name in ("base", "default", "unregistered"):
        return f"'{name}' is taken by the project or by Python; choose another name"
    for path in (MODULES / f"{name}.py", RULES / f"{name}.smk"):
        if path.exists():
            return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path} exists; choose another name or edit it"
    return None


def look(name: str) -> tuple[str, str]:
    """Choose colour and marker as a function of the name."""
    code = zlib.crc32(name.encode())
    red, green, blue = colorsys.hls_to_rgb(code % 360 / 360, 0.4 + code // 360 % 3 / 10, 0.5)
    colour = "#" + "".join(f"{round(255 * c):02x}" for c in (red, green, blue))
    return colour, MARKERS[code // 1080 % len(MARKERS)]


def main(arguments: list[str]) -> int:
    """Write both files or neither."""
    name = arguments[0] if arguments else ""
    if reason := refusal(name):
        print(f"make loss: {reason}", file=sys.stderr)
        return 2
    colour, marker = look(name)
    title = name.replace("_", " ")
    files = {
        MODULES / f"{name}.py": MODULE.format(title=title, colour=colour, marker=marker),
        RULES / f"{name}.smk": RULE.format(name=name),
    }
    for path, text in files.items():
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT.parent)}")
    print(f"try it: make figures LOSSES='mse {name}' DATASETS=mni-brain CONFIG=config/smoke.yaml")
    print(f"test it: {Path('.venv/bin/pytest')} tests/test_losses_conformance.py -k {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
