"""End-point error against the true displacement, over content that has a counterpart."""

from __future__ import annotations

from likeness.metrics.base import Registered, mean

CARD = {
    "title": "End-point error",
    "short": "EPE",
    "order": 50,
    "unit": "distance",
    "range": [0, None],
    "doi": None,
    "better": "lower",
    "needs": ["field"],
    "rank": 10,
    "primary": True,
}


def score(registered: Registered) -> float | None:
    """Return the mean error; ``None`` if the fields of the images lead to different spaces."""
    truth = registered.pair.truth
    return None if truth is None else mean(registered.error[truth.counterpart])
