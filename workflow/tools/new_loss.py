"""Create the two files of a new loss: its rule and its module. Called by `make loss NAME=my_loss`.

Uses only the standard library, so that it runs before an environment exists.
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

MODULE = '''"""{title}: describe what it compares, and cite its paper.

The scaffold is a working mean absolute difference; change it step by step.
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
        """Return the mean over the voxels of each pair, ``(batch,)``."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Return the absolute difference per voxel, ``(batch, 1, *spatial)``."""
        return (pair.moved - pair.fixed).abs()
'''


def paths(name: str) -> tuple[Path, Path]:
    """Return the paths of module and rule of a loss."""
    return MODULES / f"{name}.py", RULES / f"{name}.smk"


def refusal(name: str) -> str | None:
    """Explain in one sentence why a name is not allowed; ``None`` if it is."""
    if not re.fullmatch(r"[a-z]([a-z0-9_]*[a-z0-9])?", name):
        return f"'{name}' is not a valid name: use lower-case letters, digits and underscores, for example my_loss"
    if keyword.iskeyword(name) or name in RESERVED:
        return f"'{name}' is reserved by the project or Python; choose another name"
    for path in paths(name):
        if path.exists():
            return f"{path.relative_to(ROOT.parent)} exists; choose another name or edit it"
    return None


def main(arguments: list[str]) -> int:
    """Write both files, or print why the name is not allowed."""
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
