"""What every extractor is to a loss: images in, feature maps out, and where these lie."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Extractor(nn.Module):
    """A network whose features a loss compares.

    Called with images ``(batch, 1, *spatial)`` in [0, 1] it gives a list of feature maps ``(batch, channels,
    *coarser)``, finest first. Any size of image will do: what a network strides is padded at the end of every axis by
    repeating the border.
    """

    dimensions: int | None = None
    """Spatial dimensions of its images, or ``None`` where the same code works in 2D and in 3D."""

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Give the extent, in voxels from the first one, that every feature map of an image of ``shape`` covers."""
        return tuple(shape)


def padded_to(multiples: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """Give the smallest shape not below ``shape`` of which every axis is a multiple."""
    return tuple(-(-size // multiple) * multiple for size, multiple in zip(shape, multiples, strict=True))


def pad(image: Tensor, shape: Sequence[int]) -> Tensor:
    """Repeat the border of ``(batch, channel, *spatial)`` at the end of every axis up to ``shape``."""
    missing: list[int] = []
    for size, wanted in zip(image.shape[2:], shape, strict=True):
        missing = [0, wanted - size, *missing]
    return F.pad(image, missing, mode="replicate") if any(missing) else image
