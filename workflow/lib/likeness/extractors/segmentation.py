"""Segmentation U-Net as feature extractor (DeepSim-seg), trained with cross-entropy on the training subjects' labels.

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
    return UNetExtractor(UNet(1, config["classes"], config["channels"], strides, norm=config["norm"]))


def objective(output: Tensor, image: Tensor, labels: Tensor | None) -> Tensor:  # noqa: ARG001
    """Cross-entropy of the predicted classes; ``labels`` are class indices ``(batch, 1, *spatial)``."""
    if labels is None:
        msg = "the segmentation extractor needs a label map for every training and validation subject"
        raise ValueError(msg)
    return F.cross_entropy(output.float(), labels[:, 0].long())
