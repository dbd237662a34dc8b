"""Non-diffeomorphic area inside the fixed image's mask: the area that the displacement inverts.

See :func:`likeness.metrics.regularity.non_diffeomorphic`.
"""

from __future__ import annotations

from likeness.metrics import regularity
from likeness.metrics.base import Registered

CARD = {
    "title": "Non-diffeomorphic area",
    "short": "NDA",
    "order": 111,
    "unit": "%",
    "range": [0, None],
    "doi": "10.48550/arXiv.2212.06060",
    "better": "lower",
    "dimensions": [2],
    "smallest": 0.01,
}


def score(registered: Registered) -> float:
    """Return the area in percent of the pixels of the mask, or of the whole image without one."""
    return regularity.non_diffeomorphic_share(registered.displacement, registered.pair.fixed.mask)
