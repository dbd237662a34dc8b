"""Dice coefficient of each label.

Dice, Measures of the Amount of Ecologic Association Between Species, Ecology 1945, doi:10.2307/1932409.
"""

from __future__ import annotations

import numpy as np

from likeness.metrics import overlap
from likeness.metrics.base import Registered, given

CARD = {
    "title": "Dice",
    "order": 10,
    "unit": "1",
    "range": [0, 1],
    "doi": "10.2307/1932409",
    "better": "higher",
    "per": "label",
    "needs": ["label"],
    "rank": 20,
    "primary": True,
    "smallest": 0.003,
}


def score(registered: Registered) -> dict[int, float]:
    """Return the Dice of every scored label; NaN if the fixed or the moving image lacks it before warping."""
    return registered.kept("dice", lambda: _dice(registered))


def _dice(registered: Registered) -> dict[int, float]:
    pair = registered.pair
    found = overlap.dice(given(pair.fixed.label), registered.moved_label, pair.labels)
    return dict(zip(pair.labels, np.where(pair.common, found, np.nan), strict=True))
