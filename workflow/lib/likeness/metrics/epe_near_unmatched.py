"""End-point error within 10 mm of content without counterpart (10 voxels if the unit is not mm)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from likeness.metrics.base import Pair, Registered, given, mean

CARD = {
    "title": "End-point error near content without counterpart",
    "short": "EPE near unmatched",
    "order": 60,
    "unit": "distance",
    "range": [0, None],
    "doi": None,
    "better": "lower",
    "needs": ["field"],
}
NEAR_MM = 10.0
NEAR_VOXELS = 10.0


def score(registered: Registered) -> float | None:
    """Return the mean error of voxels with a counterpart; ``None`` without true displacement or unmatched content."""
    pair = registered.pair
    if pair.truth is None or pair.unmatched is None:
        return None
    return mean(registered.error[pair.kept("near", lambda: _near(pair))])


def _near(pair: Pair) -> np.ndarray:
    """Find the voxels with a counterpart near content without one, ``(*spatial)``, bool."""
    unmatched = given(pair.unmatched)
    near = np.zeros_like(unmatched)
    boxes = ndimage.find_objects(unmatched.astype(np.int8))
    if boxes:
        size, limit = (pair.spacing, NEAR_MM) if pair.unit == "mm" else ((1.0,) * unmatched.ndim, NEAR_VOXELS)
        # nothing beyond is near, and distances to all voxels of a volume take seconds
        margins = [int(limit / step) for step in size]
        box = tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in zip(boxes[0], margins, strict=True))
        near[box] = ndimage.distance_transform_edt(~unmatched[box], size) <= limit
    return given(pair.truth).counterpart & near
