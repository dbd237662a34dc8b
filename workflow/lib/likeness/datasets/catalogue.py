"""Properties of the built-in datasets from their cards: parts, size and limits of options.

Separate from :mod:`likeness.datasets.recipes`, which makes the datasets, because changes here do not change any image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from likeness.data.pairs import SPLITS
from likeness.datasets import recipes
from likeness.userinput import cards

KEYS = ("parts", "labels", "extent", "step", "multiple", "images_per_subject", "pairs_per_subject", "limits")


class Size(NamedTuple):
    """Size of a dataset, for the cost estimate of a study."""

    shape: tuple[int, ...]
    images: dict[str, int]
    """By split."""
    pairs: dict[str, int]
    """By scored split."""
    labels: int


def card(name: str) -> dict[str, Any]:
    """Read the card of a built-in dataset.

    Raises:
        KeyError: if there is no such dataset.
        UserError: if the card is incomplete, or has a key that no card of a dataset has.
    """
    return cards.card(recipes.path(name), KEYS, {})


def limits(name: str) -> dict[str, Any]:
    """Return the constraints on the options of a built-in dataset, by option.

    Raises:
        KeyError: if there is no such dataset.
    """
    return card(name)["limits"]


def describe(name: str) -> dict[str, Any]:
    """Return the capabilities of a built-in dataset, in the form of :func:`likeness.data.layout.capabilities`.

    Raises:
        KeyError: if there is no such dataset.
    """
    found = card(name)
    parts = [*found["parts"], *(["labels"] if "label" in found["parts"] else [])]
    return {"spatial_dims": len(found["extent"]), "parts": parts, "partly": [], "splits": list(SPLITS)}


def size(name: str, options: Mapping[str, Any]) -> Size:
    """Compute the size of a built-in dataset for given options.

    Raises:
        KeyError: if there is no such dataset.
    """
    found, chosen = card(name), {**recipes.defaults(name), **options}
    lengths = [chosen[length] if isinstance(length, str) else length for length in found["extent"]]
    multiple = found["multiple"]
    shape = tuple(multiple * round(length / (chosen[found["step"]] * multiple)) for length in lengths)
    return Size(
        shape,
        {split: found["images_per_subject"] * chosen[split] for split in SPLITS},
        {split: found["pairs_per_subject"] * chosen[split] for split in ("val", "test")},
        found["labels"],
    )
