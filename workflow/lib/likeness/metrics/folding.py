"""Folding: fraction of voxels with a non-positive Jacobian determinant, inside the fixed image's mask."""

from __future__ import annotations

from likeness.metrics import regularity
from likeness.metrics.base import Registered

CARD = {
    "title": "Folding",
    "order": 90,
    "unit": "%",
    "range": [0, 100],
    "doi": None,
    "better": "lower",
    "smallest": 0.01,
}


def score(registered: Registered) -> float:
    """Return the fraction in percent, over the whole image if it has no mask."""
    return regularity.folding(registered.determinants, registered.pair.fixed.mask)
