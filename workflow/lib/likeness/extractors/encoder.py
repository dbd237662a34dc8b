"""What the pretrained extractors share: the encoder of a U-Net, whose stages are the features, and what it learns from.

Czolbe et al., Medical Image Analysis 2023, doi:10.1016/j.media.2023.102830.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from likeness.data.store import Dataset
from likeness.extractors.base import Extractor, padded_to
from likeness.networks.unet import UNet, stage_strides


@dataclass
class Batch:
    """What an objective sees of a step: images ``(batch, 1, *spatial)``, and class indices like them or ``None``."""

    images: Tensor
    labels: Tensor | None
    generator: torch.Generator
    """Randomness as a function of seed and step."""


class UNetExtractor(Extractor):
    """Wraps a U-Net: called, it gives the outputs of all encoder stages, finest first."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Give the extent in voxels that feature maps cover: the image's, padded to what the stages stride."""
        return padded_to(self.unet.encoder.multiples, shape)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map ``(batch, 1, *spatial)`` to a list of ``(batch, channels, *coarser)``."""
        return self.unet.encoder(image)


def stages(dataset: Dataset, channels: list[int], norm: str) -> dict[str, Any]:
    """Describe the encoder's stages for images of a dataset."""
    return {
        "channels": channels,
        "strides": [list(s) for s in stage_strides(dataset.shape, len(channels))],
        "norm": norm,
    }
