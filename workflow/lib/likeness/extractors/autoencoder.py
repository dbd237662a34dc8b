"""Autoencoder as feature extractor (DeepSim-AE), trained to reproduce the training subjects' images; no labels.

Czolbe et al., Medical Image Analysis 2023, doi:10.1016/j.media.2023.102830.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from likeness.extractors.pretraining import UNetExtractor
from likeness.networks.unet import UNet


def build(config: dict[str, Any]) -> UNetExtractor:
    """Build the extractor from its architecture, with random weights."""
    strides = [tuple(s) for s in config["strides"]]
    return UNetExtractor(UNet(1, 1, config["channels"], strides, skips=False, norm=config["norm"]))


def objective(output: Tensor, image: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG001
    """Mean squared error of the reproduction."""
    return F.mse_loss(output.float(), image)
