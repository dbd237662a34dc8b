"""Write the two files of a new loss: its rule and its module. Called by `make loss NAME=my_loss`.

It needs Python alone, so that it runs before there is an environment.
"""

import keyword
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = ROOT / "lib" / "likeness" / "losses"
RULES = ROOT / "rules" / "losses"
RESERVED = {"base", "default", "unregistered"}

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
    "formula": r"\\frac{{1}}{{|\\Omega|}}\\sum_{{x\\in\\Omega}}\\left|m(x)-f(x)\\right|",
    "range": [0, 1],
    "doi": None,
    "supervision": "none",
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
    return MODULES / f"{name}.py", RULES / f"{name}.smk"


def refusal(name: str) -> str | None:
    """Say in one sentence why a loss cannot have this name; nothing if it can."""
    if not re.fullmatch(r"[a-z]([a-z0-9_]*[a-z0-9])?", name):
        return f"'{name}' is no name for a loss: use lower-case letters, digits and underscores, for example my_loss"
    if keyword.iskeyword(name) or name in RESERVED:
        return f"'{name}' is taken by the project or by Python; choose another name"
    for path in paths(name):
        if path.exists():
            return f"{path.relative_to(ROOT.parent)} exists; choose another name or edit it"
    return None


def main(arguments: list[str]) -> int:
    """Write both files, or say why not."""
    name = arguments[0] if arguments else ""
    if reason := refusal(name):
        print(f"make loss: {reason}", file=sys.stderr)
        return 2
    module, rule = paths(name)
    texts = {module: MODULE.format(title=name.replace("_", " ")), rule: RULE.format(name=name)}
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT.parent)}")
    print(
        f"test it:     make setup && .venv/bin/python -m pytest tests/losses/test_conformance.py -k '{name} or alike'"
    )
    print(f'try it:      make try LOSSES="mse {name}"')
    print("document it: make docs")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
