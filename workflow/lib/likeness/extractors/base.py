"""Interface of feature extractors: images in, feature maps out, and the field of view of these."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from likeness.networks.unet import pad, padded_to

__all__ = ["Extractor", "pad", "padded_to"]


class Extractor(nn.Module):
    """A network whose features losses compare.

    It maps images ``(batch, 1, *spatial)`` in [0, 1] to a list of feature maps ``(batch, channels, *coarser)``, finest
    first. Images can have any size; strided networks pad the end of every axis by replication.
    """

    dimensions: int | None = None
    """Number of spatial dimensions of its images; ``None`` if it supports 2D and 3D."""

    channels_last = False
    """Whether convolution on a CPU is faster in channels-last memory format."""

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the field of view of every feature map of an image of ``shape``, in voxels from the first one."""
        return tuple(shape)
