"""Smoothness of a 3D displacement as defined by Learn2Reg, for comparison with published values.

See :func:`likeness.metrics.regularity.l2r_sdlogj`.
"""

from __future__ import annotations

from likeness.metrics import regularity
from likeness.metrics.base import Registered

CARD = {
    "title": "std(log(J + 3)) of Learn2Reg",
    "short": "L2R std(log J)",
    "order": 120,
    "unit": "1",
    "range": [0, None],
    "doi": "10.48550/arXiv.2112.04489",
    "dimensions": [3],
    "smallest": 0.002,
}


def score(registered: Registered) -> float:
    """Return the standard deviation over the whole image; NaN if an axis has fewer than 5 voxels."""
    return regularity.l2r_sdlogj(registered.determinants)
