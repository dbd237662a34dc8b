"""Dice coefficient of each label that the extractor of ``deepsim_seg_half`` is not trained on."""

from __future__ import annotations

from likeness.metrics import dice
from likeness.metrics.base import Registered

CARD = {
    "title": "Dice of held-out labels",
    "short": "held-out Dice",
    "order": 20,
    "unit": "1",
    "range": [0, 1],
    "doi": "10.2307/1932409",
    "better": "higher",
    "per": "label",
    "needs": ["label"],
    "smallest": 0.003,
}


def score(registered: Registered) -> dict[int, float]:
    """Return the Dice of every held-out label; empty if a single label is scored."""
    found = dice.score(registered)
    return {label: found[label] for label in registered.pair.held_out}
