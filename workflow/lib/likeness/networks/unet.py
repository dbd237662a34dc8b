"""The U-Net of the DeepSim protocol, shared by the registration network and the pretrained extractors.

Czolbe et al., Semantic similarity metrics for image registration, Med. Image Anal. 2023,
doi:10.1016/j.media.2023.102830. Every encoder stage is a convolution of kernel size 4 and stride 2 followed by one of
kernel size 3; the decoder mirrors it with linear upsampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALL_AXIS = 32
"""Axis length up to which only the first two stages are strided, so that thin slabs do not vanish."""

Norm = Literal["batch", "none"]


def stage_strides(shape: Sequence[int], stages: int) -> list[tuple[int, ...]]:
    """Return the stride of every encoder stage along every axis for images of ``shape``."""
    return [tuple(1 if n <= SMALL_AXIS and stage >= 2 else 2 for n in shape) for stage in range(stages)]


def padded_to(multiples: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """Return the smallest shape that is at least ``shape`` and a multiple of ``multiples`` along every axis."""
    return tuple(-(-size // multiple) * multiple for size, multiple in zip(shape, multiples, strict=True))


def pad(image: Tensor, shape: Sequence[int]) -> Tensor:
    """Pad ``(batch, channel, *spatial)`` by replication at the end of every axis up to ``shape``."""
    missing: list[int] = []
    for size, wanted in zip(image.shape[2:], shape, strict=True):
        missing = [0, wanted - size, *missing]
    return F.pad(image, missing, mode="replicate") if any(missing) else image


def _conv(dims: int) -> type[nn.Module]:
    return nn.Conv2d if dims == 2 else nn.Conv3d


class ConvBlock(nn.Sequential):
    """Convolution, norm, LeakyReLU 0.2 and dropout; kernel size 4 along strided axes, otherwise 3."""

    def __init__(
        self, inputs: int, outputs: int, strides: tuple[int, ...], norm: Norm = "none", dropout: float = 0.0
    ) -> None:
        dims = len(strides)
        kernel = tuple(4 if s == 2 else 3 for s in strides)
        layers: list[nn.Module] = [_conv(dims)(inputs, outputs, kernel, stride=strides, padding=1)]
        if norm == "batch":
            layers.append(nn.BatchNorm2d(outputs) if dims == 2 else nn.BatchNorm3d(outputs))
        layers.append(nn.LeakyReLU(0.2))
        if dropout:
            layers.append(nn.Dropout2d(dropout) if dims == 2 else nn.Dropout3d(dropout))
        super().__init__(*layers)


class Encoder(nn.Module):
    """Encoder of the U-Net.

    Args:
        inputs: number of input channels.
        channels: channels of each stage, finest first.
        strides: stride of each stage along each axis, see :func:`stage_strides`.
        norm: ``"batch"`` or ``"none"``.
        dropout: probability of dropping a channel.
    """

    def __init__(
        self,
        inputs: int,
        channels: Sequence[int],
        strides: Sequence[tuple[int, ...]],
        norm: Norm = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.strides = [tuple(s) for s in strides]
        self.stages = nn.ModuleList()
        for width, stride in zip(channels, self.strides, strict=True):
            flat = (1,) * len(stride)
            self.stages.append(
                nn.Sequential(
                    ConvBlock(inputs, width, stride, norm, dropout), ConvBlock(width, width, flat, norm, dropout)
                )
            )
            inputs = width

    @property
    def multiples(self) -> tuple[int, ...]:
        """Total stride along every axis."""
        return tuple(math.prod(steps) for steps in zip(*self.strides, strict=True))

    def pad(self, image: Tensor) -> Tensor:
        """Pad by replication at the end of every axis up to a multiple of the total stride."""
        return pad(image, padded_to(self.multiples, image.shape[2:]))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the outputs of all stages, finest first, for an image ``(batch, channel, *spatial)``."""
        features = []
        current = self.pad(image)
        for stage in self.stages:
            current = stage(current)
            features.append(current)
        return features


class UNet(nn.Module):
    """U-Net with linear upsampling; an autoencoder without ``skips``.

    Args:
        inputs: number of input channels.
        outputs: number of output channels; the output has the input's spatial shape and no activation.
        channels: channels of each stage, finest first.
        strides: stride of each stage along each axis.
        skips: whether the decoder has skip connections from the encoder and the input.
        head: channels of the convolutions at full resolution before the last one.
        norm: ``"batch"`` or ``"none"``.
        dropout: probability of dropping a channel.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        channels: Sequence[int],
        strides: Sequence[tuple[int, ...]],
        *,
        skips: bool = True,
        head: Sequence[int] = (),
        norm: Norm = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        dims = len(strides[0])
        flat = (1,) * dims
        self.skips = skips
        self.encoder = Encoder(inputs, channels, strides, norm, dropout)
        self.decoder = nn.ModuleList()
        width = channels[-1]
        for beside in reversed(channels[:-1]):
            self.decoder.append(ConvBlock(width + (beside if skips else 0), beside, flat, norm, dropout))
            width = beside
        full = [*head] if head else [width]
        self.head = nn.Sequential()
        width += inputs if skips else 0
        for size in full:
            self.head.append(ConvBlock(width, size, flat))
            width = size
        self.head.append(_conv(dims)(width, outputs, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(batch, inputs, *spatial)`` to ``(batch, outputs, *spatial)``."""
        features = self.encoder(image)
        beside = [self.encoder.pad(image), *features[:-1]]
        current = features[-1]
        for block, skip in zip([*self.decoder, self.head], reversed(beside), strict=True):
            mode = "bilinear" if image.ndim == 4 else "trilinear"
            current = F.interpolate(current, skip.shape[2:], mode=mode, align_corners=False)
            current = block(torch.cat([current, skip], 1) if self.skips else current)
        inside = tuple(slice(n) for n in image.shape[2:])
        return current[(..., *inside)]
