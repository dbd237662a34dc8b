"""How much content without counterpart is stretched or shrunk: the mean of |log max(J, 0.01)| inside it."""

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
}


def score(registered: Registered) -> float | None:
    """Give the mean; ``None`` where the pair marks no such content."""
    unmatched = registered.pair.unmatched
    return None if unmatched is None else regularity.abslogj(registered.determinants, unmatched)
