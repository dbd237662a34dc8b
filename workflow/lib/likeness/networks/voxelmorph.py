"""The VoxelMorph-style registration network of the DeepSim protocol.

Balakrishnan et al., VoxelMorph, IEEE TMI 2019, doi:10.1109/TMI.2019.2897538, as used by Czolbe et al.,
doi:10.1016/j.media.2023.102830: a U-Net on the concatenated pair and three convolutions that predict a displacement.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from likeness.geometry import integrate
from likeness.networks.unet import Norm, UNet, stage_strides

CARD = {
    "title": "VoxelMorph",
    "settings": {
        "channels_2d": {
            "description": "Channels of each stage on 2D images, finest first.",
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": 4096},
            "minItems": 1,
            "maxItems": 6,
            "default": [64, 128, 256],
        },
        "channels_3d": {
            "description": "Channels of each stage on 3D images, finest first.",
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": 4096},
            "minItems": 1,
            "maxItems": 6,
            "default": [32, 64, 128],
        },
        "norm": {"description": "Normalisation layers.", "enum": ["batch", "none"], "default": "batch"},
        "dropout": {
            "description": "Probability of dropping a channel.",
            "type": "number",
            "minimum": 0,
            "exclusiveMaximum": 1,
            "default": 0,
        },
        "diffeomorphic": {
            "description": "Predict a velocity field and integrate it; not part of the published protocol.",
            "type": "boolean",
            "default": False,
        },
    },
}


class VoxelMorph(nn.Module):
    """Predict the displacement of a pair.

    Args:
        shape: spatial shape of the images; determines which axes are strided.
        channels: channels of each stage, finest first.
        head: channels of the two convolutions at full resolution before the last one; ``None`` for those of the first
            stage.
        norm: ``"batch"`` or ``"none"``.
        dropout: probability of dropping a channel.
        diffeomorphic: predict a stationary velocity field and integrate it; not part of the published protocol.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        channels: Sequence[int] = (64, 128, 256),
        head: Sequence[int] | None = None,
        norm: Norm = "batch",
        dropout: float = 0.0,
        diffeomorphic: bool = False,
    ) -> None:
        super().__init__()
        self.diffeomorphic = diffeomorphic
        strides = stage_strides(shape, len(channels))
        self.unet = UNet(2, len(shape), channels, strides, head=head or (channels[0],) * 2, norm=norm, dropout=dropout)
        last = self.unet.head[-1]
        assert isinstance(last, nn.Conv2d | nn.Conv3d)
        nn.init.normal_(last.weight, std=1e-5)
        assert last.bias is not None
        nn.init.zeros_(last.bias)

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Return the displacement ``(batch, dims, *spatial)`` in voxels for images ``(batch, 1, *spatial)``."""
        displacement = self.unet(torch.cat([moving, fixed], 1))
        return integrate(displacement) if self.diffeomorphic else displacement


build = VoxelMorph
