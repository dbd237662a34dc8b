"""Bending energy of the displacement inside the fixed image's mask; 0 for affine displacements.

See :func:`likeness.metrics.regularity.bending`.
"""

from __future__ import annotations

from likeness.metrics import regularity
from likeness.metrics.base import Registered

CARD = {
    "title": "Bending energy",
    "order": 105,
    "unit": "1/distance²",
    "range": [0, None],
    "doi": "10.1109/42.796284",
}


def score(registered: Registered) -> float:
    """Return the mean energy, over the whole image if it has no mask."""
    return regularity.bending(registered.displacement, registered.pair.spacing, registered.pair.fixed.mask)
