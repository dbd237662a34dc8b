"""The segmentation network of DeepSim-seg, taught only half of the labels: the others are one class with what has none.

What its features gain on the labels that it never saw is not owed to having been told what is scored.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from likeness.data.store import Dataset
from likeness.extractors import segmentation
from likeness.extractors.encoder import Batch, UNetExtractor, stages
from likeness.networks.unet import UNet

TINY = {"channels": [4, 6, 8], "strides": 2, "norm": "none", "merged": [0, 1, 0, 2]}


class HalfTaught(UNetExtractor):
    """A segmentation network for some of the labels.

    Args:
        unet: predicts the classes that are left.
        merged: for every class of the dataset its class among those that are left, 0 for the rest.
    """

    merged: Tensor

    def __init__(self, unet: UNet, merged: list[int]) -> None:
        super().__init__(unet)
        self.register_buffer("merged", torch.tensor(merged), persistent=False)


def architecture(dataset: Dataset, channels: list[int], norm: str) -> dict[str, Any]:
    """Describe the network for a dataset and name the labels that it learns."""
    taught = {label: k for k, label in enumerate(dataset.taught, start=1)}
    merged = [taught.get(label, 0) for label in sorted(dataset.labels)]
    return {**stages(dataset, channels, norm), "merged": merged, "taught": list(dataset.taught)}


def build(config: dict[str, Any]) -> HalfTaught:
    """Build the extractor from its architecture, with random weights."""
    strides = [tuple(s) for s in config["strides"]]
    unet = UNet(1, max(config["merged"]) + 1, config["channels"], strides, norm=config["norm"])
    return HalfTaught(unet, config["merged"])


def objective(extractor: HalfTaught, batch: Batch) -> Tensor:
    """Cross-entropy of the predicted classes, those that are taught and the rest, a scalar in nats.

    Raises:
        ValueError: if an image of the batch has no labels.
    """
    if batch.labels is None:
        msg = "the segmentation extractor needs a label map for every training and validation image"
        raise ValueError(msg)
    merged = extractor.merged[batch.labels[:, 0].long()]
    return F.cross_entropy(extractor.unet(batch.images).float(), merged)


def ignorance(extractor: HalfTaught, batch: Batch) -> Tensor:
    """Give the objective of the shares of what is taught everywhere."""
    assert batch.labels is not None
    return segmentation.entropy(extractor.merged[batch.labels.long()])


tiny = segmentation.tiny
