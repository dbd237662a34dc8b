"""Non-diffeomorphic volume inside the fixed image's mask: what the displacement turns inside out.

See :func:`likeness.metrics.regularity.non_diffeomorphic`.
"""

from __future__ import annotations

from likeness.metrics import regularity
from likeness.metrics.base import Registered

CARD = {
    "title": "Non-diffeomorphic volume",
    "short": "NDV",
    "order": 110,
    "unit": "%",
    "range": [0, None],
    "doi": "10.48550/arXiv.2212.06060",
    "better": "lower",
    "dimensions": [3],
}


def score(registered: Registered) -> float:
    """Give it in percent of the voxels, of the whole image where it has no mask."""
    return regularity.non_diffeomorphic_share(registered.displacement, registered.pair.fixed.mask)
