"""Average symmetric distance between the surfaces of each label, weighted by surface area.

See :meth:`likeness.metrics.surface.Distances.average`.
"""

from __future__ import annotations

import numpy as np

from likeness.metrics import hd95
from likeness.metrics.base import Registered

CARD = {
    "title": "Average surface distance",
    "short": "ASSD",
    "order": 35,
    "unit": "distance",
    "range": [0, None],
    "doi": "10.1109/TMI.2009.2013851",
    "better": "lower",
    "per": "label",
    "needs": ["label"],
    "costly": True,
}


def score(registered: Registered) -> dict[int, float]:
    """Return the distance of every scored label; infinite and NaN as HD95."""
    return {label: np.nan if one is None else one.average() for label, one in hd95.distances(registered).items()}
