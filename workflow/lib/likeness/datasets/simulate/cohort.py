"""The subjects of a simulated dataset: splits, pairs and random streams."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST_GROUP = 3
"""With two subjects, a ring would be a pair and its reverse, which are not independent."""


@dataclass(frozen=True)
class Subject:
    """A simulated subject; ``group`` is the name of the template that it is a warp of."""

    name: str
    split: str
    group: str


def grouped(groups: Mapping[str, Sequence[str]], sizes: Mapping[str, int]) -> list[Subject]:
    """Distribute the subjects of each split evenly over the split's groups, at least three per group.

    Args:
        groups: groups of each split; a small split uses the first ones only.
        sizes: number of subjects of each split.

    Raises:
        ValueError: if a split has fewer than three subjects.
    """
    cohort = []
    for split, size in sizes.items():
        if size < SMALLEST_GROUP:
            msg = f"{split}: {size} simulated subjects are too few: give at least {SMALLEST_GROUP}"
            raise ValueError(msg)
        used = groups[split][: size // SMALLEST_GROUP]
        cohort += [Subject(f"{split}{n:02d}", split, used[n % len(used)]) for n in range(size)]
    return cohort


def rings(cohort: Sequence[Subject], moving: str = "", fixed: str = "") -> list[dict[str, str]]:
    """Pair the validation and test subjects of each group in a ring: each is moving once and fixed once.

    Args:
        cohort: all subjects.
        moving: suffix of the ids of moving images.
        fixed: suffix of the ids of fixed images.

    Returns:
        Rows of ``pairs.csv``.
    """
    members: dict[tuple[str, str], list[str]] = {}
    for subject in cohort:
        if subject.split != "train":
            members.setdefault((subject.split, subject.group), []).append(subject.name)
    return [
        {"split": split, "moving": a + moving, "fixed": b + fixed}
        for (split, _), names in members.items()
        for a, b in zip(names, names[1:] + names[:1], strict=True)
    ]


def stream(seed: int, *names: str) -> np.random.Generator:
    """Return a random generator seeded by names, so that a subject does not depend on the number of subjects."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])
