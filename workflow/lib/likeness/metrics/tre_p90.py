"""Target registration error: 90th percentile over the landmarks of a pair."""

from __future__ import annotations

from likeness.metrics import tre
from likeness.metrics.base import Registered

CARD = {
    "title": "90th percentile of the landmark error",
    "short": "90 % TRE",
    "order": 84,
    "unit": "distance",
    "range": [0, None],
    "doi": "10.48550/arXiv.2112.04489",
    "better": "lower",
    "needs": ["landmarks"],
}


def score(registered: Registered) -> float:
    """Return the 90th percentile, interpolated between landmarks; NaN if there are none."""
    return tre.quantile(registered, 0.9)
