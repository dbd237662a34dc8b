"""Non-diffeomorphic volume inside the fixed image's mask: the volume that the displacement inverts.

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
    "smallest": 0.01,
}


def score(registered: Registered) -> float:
    """Return the volume in percent of the voxels of the mask, or of the whole image without one."""
    return regularity.non_diffeomorphic_share(registered.displacement, registered.pair.fixed.mask)
