"""What speed is to be reached, in one place. The benchmark says which of it is; no test asserts any of it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

IMAGES, VOLUME = "3x1x512x512", "1x1x96x112x96"
THREADS = 2
LARGEST = 1e8
"""Weights of the largest network that is measured on a CPU, unless asked for."""


class Target(NamedTuple):
    """What a loss of ours may take at most, as a share of what another row of the same table takes."""

    loss: str
    """Name of a loss, or a pattern such as ``deepsim*`` for each that has a row of the other library."""
    shape: str
    quantity: str
    library: str
    rival: str
    """The loss whose row of that library it is held against, or ``*`` for itself."""
    at_most: float


TARGETS = [
    Target("ncc", IMAGES, "milliseconds", "monai", "ncc", 1 / 1.5),
    Target("ncc", VOLUME, "milliseconds", "monai", "ncc", 1 / 4),
    Target("mind", IMAGES, "milliseconds", "monai", "ncc", 0.8),
    Target("mind", VOLUME, "milliseconds", "monai", "ncc", 1.0),
    Target("nmi", IMAGES, "milliseconds", "monai", "nmi", 1 / 5),
    Target("nmi", VOLUME, "milliseconds", "monai", "nmi", 1 / 5),
    *(
        Target(losses, shape, quantity, "naive", "*", 0.6)
        for losses in ("deepsim*", "diffusion*")
        for shape in (IMAGES, VOLUME)
        for quantity in ("milliseconds", "peak_mb")
    ),
]
"""On the CPU with :data:`THREADS` threads, in float32."""


def compared(table: pd.DataFrame) -> Iterator[tuple[str, bool]]:
    """Say of every target that a table has both rows for what was reached, and whether that is enough.

    Args:
        table: the columns of ``losses.csv``.
    """
    on_cpu = table[(table.device == "cpu") & (table.dtype == "float32")]
    values = on_cpu.set_index(["loss", "library", "shape"])
    for target in TARGETS:
        for loss in fnmatch.filter(dict.fromkeys(table.loss), target.loss):
            rival = loss if target.rival == "*" else target.rival
            rows = (loss, "likeness", target.shape), (rival, target.library, target.shape)
            if not all(row in values.index for row in rows):
                continue
            share = values.loc[rows[0], target.quantity] / values.loc[rows[1], target.quantity]
            of = f"{target.library}'s" + (f" {rival}" if rival != loss else "")
            what = {"milliseconds": "time", "peak_mb": "memory"}[target.quantity]
            said = f"{loss} {target.shape}: {share:.2f} of the {what} of {of}, at most {target.at_most:.2f}"
            yield said, bool(share <= target.at_most)
