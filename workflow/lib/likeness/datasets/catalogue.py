"""What the cards of the built-in datasets say: what they have, how large they are, what options may be.

Apart from :mod:`likeness.datasets.recipes`, which makes the datasets: what is reckoned with here changes no image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from likeness.data.pairs import SPLITS
from likeness.datasets import recipes
from likeness.userinput import cards

KEYS = ("parts", "labels", "extent", "step", "multiple", "images_per_subject", "pairs_per_subject", "limits")


class Size(NamedTuple):
    """How large a dataset is: what the cost of a study depends on."""

    shape: tuple[int, ...]
    images: dict[str, int]
    """Of each split."""
    pairs: dict[str, int]
    """Of the splits that are scored."""
    labels: int


def card(name: str) -> dict[str, Any]:
    """Read the card of a built-in dataset.

    Raises:
        KeyError: if there is no such dataset.
        UserError: if the card is incomplete.
    """
    return cards.card(recipes.path(name), KEYS)


def limits(name: str) -> dict[str, Any]:
    """Give what the options of a built-in dataset may be.

    Raises:
        KeyError: if there is no such dataset.
    """
    return card(name)["limits"]


def describe(name: str) -> dict[str, Any]:
    """Tell what a built-in dataset offers, for parsing, as ``layout.capabilities``.

    Raises:
        KeyError: if there is no such dataset.
    """
    found = card(name)
    parts = [*found["parts"], *(["labels"] if "label" in found["parts"] else [])]
    return {"spatial_dims": len(found["extent"]), "parts": parts, "partly": [], "splits": list(SPLITS)}


def size(name: str, options: Mapping[str, Any]) -> Size:
    """Tell the size of a built-in dataset, for a forecast.

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
