"""End-point error where the fixed image is flat, which measures the regulariser, over content that has a counterpart.

See :func:`likeness.metrics.endpoint.textured`.
"""

from __future__ import annotations

from likeness.metrics.base import Registered, mean

CARD = {
    "title": "End-point error in flat regions",
    "short": "flat EPE",
    "order": 54,
    "unit": "distance",
    "range": [0, None],
    "doi": None,
    "better": "lower",
    "needs": ["field"],
}


def score(registered: Registered) -> float | None:
    """Return the mean error; ``None`` if the fields of the images lead to different spaces, NaN if nothing is such."""
    truth = registered.pair.truth
    return None if truth is None else mean(registered.error[truth.counterpart & ~registered.pair.textured])
