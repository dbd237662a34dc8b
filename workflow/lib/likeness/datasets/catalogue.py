"""What is known of the built-in datasets before they are made: what they have, how large they are, what options may be.

Apart from :mod:`likeness.datasets.recipes`, which makes them: what is reckoned with here changes no image.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from likeness.datasets.recipes import checked
from likeness.datasets.simulate import views

_CONTENT = {
    "mni-brain": (2, ("image", "label", "mask", "field")),
    "mni-head": (2, ("image", "label", "mask", "unmatched", "field")),
    "cells": (2, ("image", "label", "field")),
    "mni-brain-3d": (3, ("image", "label", "mask", "field")),
}
"""The number of spatial axes, and the files that at least some images have, labels that all have."""

_MOST = 100_000
_SUBJECTS = {split: {"minimum": 3, "maximum": _MOST} for split in ("train", "val", "test")}
_STACKS = {split: {"minimum": 1, "maximum": _MOST} for split in ("train", "val", "test")}

_LIMITS: dict[str, dict[str, Any]] = {
    "mni-brain": {**_SUBJECTS, "spacing": {"enum": [2, 3, 4]}},
    "mni-head": {**_SUBJECTS, "spacing": {"enum": [2, 3, 4]}, "dose": {"minimum": 0, "maximum": 100}},
    "cells": {
        **_STACKS,
        "size": {"minimum": 64, "maximum": 8192, "multipleOf": 8},
        "binning": {"enum": [1, 2, 4]},
        "sections": {"minimum": 2, "maximum": _MOST},
    },
    "mni-brain-3d": {**_SUBJECTS, "spacing": {"enum": [2, 3, 4, 5]}},
}
"""What the options may be, as JSON Schema: what ``make`` itself would refuse in a job."""

_SIZE = {
    "mni-brain": ((112, 96), {"train": 48, "val": 16, "test": 40}, 1, 1),
    "mni-head": ((112, 96), {"train": 48, "val": 16, "test": 40}, 2, 1),
    "cells": ((128, 128), {"train": 48, "val": 8, "test": 24}, 2, 2),
    "mni-brain-3d": ((40, 48, 40), {"train": 20, "val": 8, "test": 24}, 1, 1),
}
"""Shape and subjects by default, and how many images and scored pairs there are for each subject."""

_LABELS = {"mni-brain": 28, "mni-head": 28, "cells": 5, "mni-brain-3d": 28}
"""How many labels there are, background included."""


class Size(NamedTuple):
    """How large a dataset is: what the cost of a study depends on."""

    shape: tuple[int, ...]
    images: dict[str, int]
    """Of each split."""
    pairs: dict[str, int]
    """Of the splits that are scored."""
    labels: int


def limits(name: str) -> dict[str, Any]:
    """Give the JSON Schema of the options of a built-in dataset that may not have every value.

    Raises:
        KeyError: if there is no such dataset.
    """
    return _LIMITS[checked(name)]


def describe(name: str) -> dict[str, Any]:
    """Tell what a built-in dataset offers, for parsing, as ``layout.capabilities``.

    Raises:
        KeyError: if there is no such dataset.
    """
    dims, parts = _CONTENT[checked(name)]
    return {"spatial_dims": dims, "parts": [*parts, "labels"], "partly": [], "splits": list(_SUBJECTS)}


def size(name: str, options: dict[str, Any]) -> Size:
    """Tell the size of a built-in dataset, for a forecast.

    Raises:
        KeyError: if there is no such dataset.
    """
    shape, default, images, pairs = _SIZE[checked(name)]
    subjects = {split: options.get(split, number) for split, number in default.items()}
    if "size" in options or "binning" in options:
        shape = (options.get("size", 256) // options.get("binning", 2),) * len(shape)
    if "spacing" in options:
        shape = views.shape(views.PLANE if len(shape) == 2 else views.VOLUME, options["spacing"])
    scored = {split: pairs * subjects[split] for split in ("val", "test")}
    return Size(shape, {split: images * number for split, number in subjects.items()}, scored, _LABELS[name])
