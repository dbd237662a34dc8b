"""Segmentation U-Net as feature extractor (DeepSim-seg), trained with cross-entropy on the training images' labels.

Czolbe et al., Med. Image Anal. 2023, doi:10.1016/j.media.2023.102830.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from likeness.data.store import Dataset
from likeness.extractors.encoder import Batch, UNetExtractor, stages
from likeness.networks.unet import UNet

TINY = {"channels": [4, 6, 8], "strides": 2, "norm": "none", "classes": 3}
TINY_CONTRAST = 30.0
"""Factor on the last layer of the tiny network, whose random weights give almost constant predictions otherwise."""


def architecture(dataset: Dataset, channels: list[int], norm: str) -> dict[str, Any]:
    """Return the configuration of the network for a dataset, with one class per label."""
    return {**stages(dataset, channels, norm), "classes": len(dataset.labels)}


def build(config: dict[str, Any]) -> UNetExtractor:
    """Build the extractor from its architecture, with random weights."""
    strides = [tuple(s) for s in config["strides"]]
    return UNetExtractor(UNet(1, config["classes"], config["channels"], strides, norm=config["norm"]))


def tiny(extractor: UNetExtractor) -> None:
    """Scale the last layer of a random network so that its predictions vary."""
    with torch.no_grad():
        list(extractor.unet.head.parameters())[-2].mul_(TINY_CONTRAST)


def objective(extractor: UNetExtractor, batch: Batch) -> Tensor:
    """Cross-entropy of the predicted classes, a scalar in nats.

    Raises:
        ValueError: if an image of the batch has no labels.
    """
    if batch.labels is None:
        msg = "the segmentation extractor needs a label map for every training and validation image"
        raise ValueError(msg)
    return F.cross_entropy(extractor.unet(batch.images).float(), batch.labels[:, 0].long())


def ignorance(extractor: UNetExtractor, batch: Batch) -> Tensor:  # noqa: ARG001
    """Return the objective of predicting the class frequencies everywhere."""
    assert batch.labels is not None
    return entropy(batch.labels)


def entropy(classes: Tensor) -> Tensor:
    """Return the entropy of the distribution of integers, in nats."""
    share = torch.bincount(classes.long().flatten()) / classes.numel()
    return -torch.xlogy(share, share).sum()
