"""What every extractor is to a loss: images in, feature maps out, and where these lie."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from likeness.networks.unet import pad, padded_to

__all__ = ["Extractor", "pad", "padded_to"]


class Extractor(nn.Module):
    """A network whose features a loss compares.

    Called with images ``(batch, 1, *spatial)`` in [0, 1] it gives a list of feature maps ``(batch, channels,
    *coarser)``, finest first. Any size of image will do: what a network strides is padded at the end of every axis by
    repeating the border.
    """

    dimensions: int | None = None
    """Spatial dimensions of its images, or ``None`` where the same code works in 2D and in 3D."""

    channels_last = False
    """Whether the CPU convolves its pictures faster if the channels of a position lie side by side."""

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Give the extent, in voxels from the first one, that every feature map of an image of ``shape`` covers."""
        return tuple(shape)
