"""VGG-16, trained on ImageNet: DeepSim's baseline with external pretraining.

Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015, arXiv:1409.1556;
Czolbe et al., Med. Image Anal. 2023, doi:10.1016/j.media.2023.102830. The weights are torchvision's; its code is not
needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from likeness.extractors import checkpoint
from likeness.extractors.base import Extractor, pad, padded_to
from likeness.extractors.checkpoint import read_state, take

SOURCE = {
    "file": "vgg16-397923af.pth",
    "url": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "sha256": "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    # from logs of its download
    "bytes": 553433881,
    "licence": "BSD-3-Clause (torchvision); ImageNet, which it was trained on, is for research",
    "by_hand": "open the address in a browser",
}
FULL = {"widths": [64, 128, 256]}
TINY = {"widths": [4, 6, 8]}
CONVOLUTIONS = ((0, 2), (5, 7), (10, 12, 14))
"""Indices of the convolutions of the first three stages in torchvision's ``features``."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's channels."""


class VGG(Extractor):
    """The outputs of relu1_2, relu2_2 and relu3_3; later layers are omitted.

    Args:
        widths: channels of the three stages.

    Attributes:
        imagenet: normalise images as in the network's training; the DeepSim code does not.
    """

    dimensions = 2
    channels_last = True
    imagenet = False
    mean: Tensor
    std: Tensor

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.features = nn.ModuleDict()
        inputs = 3
        for places, width in zip(CONVOLUTIONS, widths, strict=True):
            for place in places:
                convolution = nn.Conv2d(inputs, width, 3, padding=1)
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                self.features[str(place)] = convolution
                inputs = width
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the field of view of the feature maps in pixels: the image, padded to multiples of 4."""
        return padded_to([4] * len(shape), shape)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map ``(batch, 1, height, width)`` to the features of three stages.

        Runs in full precision even under autocast: with bfloat16, a quarter of the gradient ends up in other places
        after seven rectified layers.
        """
        with torch.autocast(image.device.type, enabled=False):
            dtype = self.mean.dtype
            current = pad(image, self.extent(image.shape[2:])).to(dtype).expand(-1, 3, -1, -1)
            if self.imagenet:
                current = (current - self.mean) / self.std
            found = []
            for stage, places in enumerate(CONVOLUTIONS):
                if stage:
                    current = nn.functional.max_pool2d(current, 2)
                for place in places:
                    current = self.features[str(place)](current).relu()
                found.append(current)
        return found


def build(config: dict[str, Any]) -> VGG:
    """Build the extractor from its architecture, with random weights."""
    return VGG(config["widths"])


def tiny(extractor: VGG) -> None:
    """Set positive biases, so that few random channels are not rectified to 0."""
    for convolution in extractor.features.values():
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is not None
        nn.init.constant_(convolution.bias, 0.2)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read torchvision's file, or one with the same layout and other widths.

    Returns:
        The architecture, and the weights of the first three stages.

    Raises:
        UserError: if the file does not have this layout.
    """
    state = read_state(path)
    keys = [f"features.{place}.{kind}" for places in CONVOLUTIONS for place in places for kind in ("weight", "bias")]
    weights = take(state, keys, path)
    config = {"widths": [checkpoint.width(state, f"features.{places[0]}.bias", 1, path) for places in CONVOLUTIONS]}
    checkpoint.check(weights, lambda: build(config), path)
    return {"name": "vgg", **config}, weights
