"""95th percentile of the Hausdorff distance between the surfaces of each label.

The percentile is weighted by surface area, see :mod:`likeness.metrics.surface`.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from likeness.metrics.base import Pair, Registered, given
from likeness.metrics.surface import Distances, Surface, surface

CARD = {
    "title": "HD95",
    "order": 30,
    "unit": "distance",
    "range": [0, None],
    "doi": "10.2196/26151",
    "better": "lower",
    "per": "label",
    "needs": ["label"],
    "rank": 50,
    "costly": True,
}


def score(registered: Registered) -> dict[int, float]:
    """Return the distance of every scored label; infinite if the label vanished by warping, NaN as for Dice."""
    return {label: np.nan if one is None else one.percentile() for label, one in distances(registered).items()}


def distances(registered: Registered) -> dict[int, Distances | None]:
    """Measure the surfaces of every scored label that both images have; ``None`` for the others."""
    return registered.kept("distances", lambda: _distances(registered))


def _distances(registered: Registered) -> dict[int, Distances | None]:
    pair = registered.pair
    fixed = pair.kept("surfaces", lambda: surfaces(pair, given(pair.fixed.label)))
    both = zip(fixed, surfaces(pair, registered.moved_label), strict=True)
    found = [None if a is None or b is None else Distances.between(a, b) for a, b in both]
    return dict(zip(pair.labels, found, strict=True))


def surfaces(pair: Pair, labels: np.ndarray) -> list[Surface | None]:
    """Return the surface of every scored label that both images have; ``None`` for the others.

    Args:
        pair: pair with label maps.
        labels: label map on the fixed grid, ``(*spatial)``.
    """
    boxes = ndimage.find_objects(labels.astype(np.int32) + 1, max(pair.labels) + 1)  # find_objects ignores label 0
    nowhere = (slice(0, 0),) * labels.ndim
    found: list[Surface | None] = []
    for label, scored in zip(pair.labels, pair.common, strict=True):
        box = boxes[label] or nowhere
        region = labels[box] == label
        found.append(surface(region, pair.spacing, [s.start for s in box]) if scored else None)
    return found
