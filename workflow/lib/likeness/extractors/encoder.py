"""U-Net encoder shared by the pretrained extractors, whose features are the outputs of its stages; training batches.

Czolbe et al., Med. Image Anal. 2023, doi:10.1016/j.media.2023.102830.
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
    """A training batch: images ``(batch, 1, *spatial)`` in [0, 1], and class indices of that shape or ``None``."""

    images: Tensor
    labels: Tensor | None
    generator: torch.Generator
    """Random generator, a function of seed and step."""


class UNetExtractor(Extractor):
    """A U-Net that returns the outputs of all encoder stages, finest first."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the field of view of feature maps in voxels: the image, padded to multiples of the total stride."""
        return padded_to(self.unet.encoder.multiples, shape)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map ``(batch, 1, *spatial)`` to a list of ``(batch, channels, *coarser)``."""
        return self.unet.encoder(image)


def stages(dataset: Dataset, channels: list[int], norm: str) -> dict[str, Any]:
    """Return the configuration of the encoder's stages for a dataset."""
    return {
        "channels": channels,
        "strides": [list(s) for s in stage_strides(dataset.shape, len(channels))],
        "norm": norm,
    }
