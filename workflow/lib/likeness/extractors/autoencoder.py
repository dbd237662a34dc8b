"""Autoencoder as feature extractor (DeepSim-AE), trained to reconstruct the training images, without labels.

Czolbe et al., Med. Image Anal. 2023, doi:10.1016/j.media.2023.102830.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from likeness.data.store import Dataset
from likeness.extractors.encoder import Batch, UNetExtractor, stages
from likeness.networks.unet import UNet

TINY = {"channels": [4, 6, 8], "strides": 2, "norm": "none"}


def architecture(dataset: Dataset, channels: list[int], norm: str) -> dict[str, Any]:
    """Return the configuration of the network for a dataset."""
    return stages(dataset, channels, norm)


def build(config: dict[str, Any]) -> UNetExtractor:
    """Build the extractor from its architecture, with random weights."""
    strides = [tuple(s) for s in config["strides"]]
    return UNetExtractor(UNet(1, 1, config["channels"], strides, skips=False, norm=config["norm"]))


def objective(extractor: UNetExtractor, batch: Batch) -> Tensor:
    """Mean squared reconstruction error."""
    return F.mse_loss(extractor.unet(batch.images).float(), batch.images)


def ignorance(extractor: UNetExtractor, batch: Batch) -> Tensor:  # noqa: ARG001
    """Return the objective of predicting the mean intensity everywhere."""
    return batch.images.var(unbiased=False)
