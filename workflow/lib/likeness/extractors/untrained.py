"""The segmentation network with its initial weights: a control for the effect of the architecture alone.

Ulyanov et al., Deep image prior, CVPR 2018, doi:10.1109/CVPR.2018.00984, show that untrained convolutional networks are
a prior on images.
"""

from __future__ import annotations

from typing import Any

from likeness.data.store import Dataset
from likeness.extractors import segmentation
from likeness.extractors.encoder import UNetExtractor, stages

TINY = segmentation.TINY


def architecture(dataset: Dataset, channels: list[int], norm: str) -> dict[str, Any]:
    """Return the configuration of the network for a dataset; without predictions, it needs no labels."""
    return {**stages(dataset, channels, norm), "classes": 1}


def build(config: dict[str, Any]) -> UNetExtractor:
    """Build the extractor from its architecture, with random weights."""
    return segmentation.build(config)
