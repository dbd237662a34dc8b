"""The segmentation network with the weights it starts from: what an architecture alone is worth.

A control: Ulyanov et al., Deep image prior, CVPR 2018, doi:10.1109/CVPR.2018.00984, show that untrained convolutions
already carry a prior on images.
"""

from __future__ import annotations

from typing import Any

from likeness.data.store import Dataset
from likeness.extractors import segmentation
from likeness.extractors.encoder import UNetExtractor, stages

TINY = segmentation.TINY


def architecture(dataset: Dataset, channels: list[int], norm: str) -> dict[str, Any]:
    """Describe the network for a dataset; it predicts nothing, so it needs no labels."""
    return {**stages(dataset, channels, norm), "classes": 1}


def build(config: dict[str, Any]) -> UNetExtractor:
    """Build the extractor from its architecture, with random weights."""
    return segmentation.build(config)
