"""Roughness: standard deviation of log max(J, 0.01) inside the fixed image's mask; 0 without any volume change."""

from __future__ import annotations

from likeness.metrics import regularity
from likeness.metrics.base import Registered

CARD = {
    "title": "std(log J)",
    "order": 100,
    "unit": "1",
    "range": [0, None],
    "doi": None,
    "rank": 60,
    "smallest": 0.01,
}


def score(registered: Registered) -> float:
    """Return the standard deviation, over the whole image if it has no mask."""
    return regularity.sdlogj(registered.determinants, registered.pair.fixed.mask)
