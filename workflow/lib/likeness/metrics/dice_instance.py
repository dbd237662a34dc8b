"""Dice coefficient of corresponding instances, averaged over instances."""

from __future__ import annotations

from likeness.metrics import overlap
from likeness.metrics.base import Registered, given

CARD = {
    "title": "Dice of the same instance",
    "short": "instance Dice",
    "order": 40,
    "unit": "1",
    "range": [0, 1],
    "doi": "10.2307/1932409",
    "better": "higher",
    "per": "instance",
    "needs": ["instances"],
    "rank": 40,
    "primary": True,
    "smallest": 0.003,
}


def score(registered: Registered) -> float:
    """Return the mean over the instances that both images have before warping; NaN if they share none."""
    pair = registered.pair
    return overlap.dice_instance(given(pair.fixed.instances), registered.moved_instances, given(pair.moving.instances))
