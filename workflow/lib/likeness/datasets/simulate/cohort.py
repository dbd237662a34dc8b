"""The people of a simulated dataset: who is in which split, who is paired with whom, and everybody's randomness."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST_GROUP = 3
"""Two in a ring would be a pair and its mirror, which are one observation."""


@dataclass(frozen=True)
class Person:
    """Somebody simulated: ``group`` names the template that they are a warp of."""

    name: str
    split: str
    group: str


def spread(groups: Mapping[str, Sequence[str]], sizes: Mapping[str, int]) -> list[Person]:
    """Spread the persons of each split evenly over the split's groups, at least three to a group.

    Args:
        groups: the groups of each split; a small split uses only the first ones.
        sizes: how many persons each split has.

    Raises:
        ValueError: if a split has fewer than three persons.
    """
    people = []
    for split, size in sizes.items():
        if size < SMALLEST_GROUP:
            msg = f"{split}: {size} simulated persons are too few: give at least {SMALLEST_GROUP}"
            raise ValueError(msg)
        used = groups[split][: size // SMALLEST_GROUP]
        people += [Person(f"{split}{n:02d}", split, used[n % len(used)]) for n in range(size)]
    return people


def rings(people: Sequence[Person], moving: str = "", fixed: str = "") -> list[dict[str, str]]:
    """Pair the validation and test persons of each group in a ring: everybody is moving once and fixed once.

    Args:
        people: all persons.
        moving: what follows the person's name in the name of the moving subject.
        fixed: what follows it in the name of the fixed subject.

    Returns:
        The rows of ``pairs.csv``.
    """
    members: dict[tuple[str, str], list[str]] = {}
    for person in people:
        if person.split != "train":
            members.setdefault((person.split, person.group), []).append(person.name)
    return [
        {"split": split, "moving": a + moving, "fixed": b + fixed}
        for (split, _), names in members.items()
        for a, b in zip(names, names[1:] + names[:1], strict=True)
    ]


def stream(seed: int, *names: str) -> np.random.Generator:
    """Give the randomness of a named thing: what one subject is does not depend on how many others there are."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])
