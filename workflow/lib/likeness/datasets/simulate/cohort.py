"""The subjects of a simulated dataset: which split each is in, which are paired, and the randomness of each."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST_GROUP = 3
"""Two in a ring would be a pair and its mirror, which are one observation."""


@dataclass(frozen=True)
class Subject:
    """A simulated subject: ``group`` names the template that it is a warp of."""

    name: str
    split: str
    group: str


def grouped(groups: Mapping[str, Sequence[str]], sizes: Mapping[str, int]) -> list[Subject]:
    """Divide the subjects of each split evenly over the split's groups, at least three to a group.

    Args:
        groups: the groups of each split; a small split uses only the first ones.
        sizes: how many subjects each split has.

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
        moving: what follows a subject's name in the id of its moving image.
        fixed: what follows it in the id of its fixed image.

    Returns:
        The rows of ``pairs.csv``.
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
    """Give the randomness of a named thing: what one subject is does not depend on how many others there are."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])
