"""Volume change inside content without counterpart: the mean of |log max(J, 0.01)|."""

from __future__ import annotations

from likeness.metrics import regularity
from likeness.metrics.base import Registered

CARD = {
    "title": "|log J| inside content without counterpart",
    "short": "|log J| in unmatched",
    "order": 70,
    "unit": "1",
    "range": [0, None],
    "doi": None,
    "smallest": 0.01,
}


def score(registered: Registered) -> float | None:
    """Return the mean; ``None`` if the pair has no mask of unmatched content."""
    unmatched = registered.pair.unmatched
    return None if unmatched is None else regularity.abslogj(registered.determinants, unmatched)
