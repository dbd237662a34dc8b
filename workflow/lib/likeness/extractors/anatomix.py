"""Anatomix: a 3D U-Net trained on synthetic volumes to give contrast-independent features.

Dey et al., Learning general-purpose biomedical volume representations using randomized synthesis, ICLR 2025,
arXiv:2411.02372, https://github.com/neel-dey/anatomix. As published, a volume is scaled to [0, 1] by its minimum and
maximum, and the features are the 16 channels of the last layer, at full resolution, without norm or activation. The
authors extract them once, before warping, in overlapping windows of 128 voxels; here whole volumes are processed.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from likeness.extractors import checkpoint
from likeness.extractors.base import Extractor, pad, padded_to
from likeness.extractors.checkpoint import read_state

SOURCE = {
    "file": "anatomix.pth",
    "url": "https://github.com/neel-dey/anatomix/raw/a29b8a8e17b8667554014cf6003520587ef4af6f/model-weights/anatomix.pth",
    "sha256": None,
    "bytes": None,
    "licence": "MIT",
    "by_hand": "download model-weights/anatomix.pth of the repository neel-dey/anatomix on GitHub, or anatomix.pth of "
    "the model neeldey/anatomix on the Hugging Face hub",
}
FULL = {"width": 16, "downs": 4, "features": 16}
TINY = {"width": 4, "downs": 2, "features": 6}
TINY_CONTRAST = 5000.0
COMPILED = "_orig_mod."
"""Prefix that ``torch.compile`` adds to every name."""
DEEPEST = 8
"""Upper bound on the number of poolings."""
SMALLEST_RANGE = 1e-3
"""Lower bound on the intensity range of a volume, so that a nearly constant one is not stretched to the full range."""


class Anatomix(Extractor):
    """The U-Net, with modules in one sequence and numbered as in the published file.

    Args:
        width: channels of the finest stage; every coarser one has twice as many.
        downs: number of poolings.
        features: channels of the last layer.
    """

    dimensions = 3

    def __init__(self, width: int, downs: int, features: int) -> None:
        super().__init__()
        self.stride = 2**downs
        widths = [width * 2**stage for stage in range(downs + 1)]
        modules = _convolved(1, width)
        for stage in range(downs):
            modules += _convolved(widths[max(stage - 1, 0)], widths[stage], widths[stage])
            modules.append(nn.MaxPool3d(2))
        modules += _convolved(widths[-2], widths[-1], widths[-1])
        for stage in reversed(range(downs)):
            modules.append(nn.Upsample(scale_factor=2, mode="nearest"))
            modules += _convolved(widths[stage + 1] + widths[stage], widths[stage], widths[stage])
        modules.append(_convolution(width, features))
        self.model = nn.Sequential(*modules)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map ``(batch, 1, *spatial)`` to ``[(batch, features, *spatial)]``.

        Runs in full precision even under autocast, as in the authors' code.
        """
        spatial = image.shape[2:]
        # reflection padding needs at least two voxels on the coarsest grid
        shape = [max(2 * self.stride, size) for size in padded_to([self.stride] * 3, spatial)]
        with torch.autocast(image.device.type, enabled=False):
            current = pad(_unit_range(image.to(next(self.parameters()).dtype)), shape)
            skips = []
            for module in self.model:
                if isinstance(module, nn.MaxPool3d):
                    skips.append(current)
                current = module(current)
                if isinstance(module, nn.Upsample):
                    current = torch.cat((skips.pop(), current), dim=1)
        return [current[:, :, : spatial[0], : spatial[1], : spatial[2]]]


def _convolution(inputs: int, outputs: int) -> nn.Module:
    return nn.Conv3d(inputs, outputs, 3, padding="same", padding_mode="reflect", bias=False)


def _convolved(*channels: int) -> list[nn.Module]:
    """A sequence of convolutions, each followed by norm and activation."""
    return [m for a, b in pairwise(channels) for m in (_convolution(a, b), nn.BatchNorm3d(b), nn.ReLU())]


def _unit_range(image: Tensor) -> Tensor:
    axes = tuple(range(1, image.dim()))
    low, high = image.amin(axes, keepdim=True), image.amax(axes, keepdim=True)
    return (image - low) / (high - low).clamp(min=SMALLEST_RANGE)


def build(config: dict[str, Any]) -> Anatomix:
    """Build the extractor from its architecture, with random weights."""
    return Anatomix(config["width"], config["downs"], config["features"])


def tiny(extractor: Anatomix) -> None:
    """Scale the features of a random network to the magnitude of a trained one's."""
    with torch.no_grad():
        list(extractor.parameters())[-1].mul_(TINY_CONTRAST)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the authors' file, or one with the same layout and another width and depth.

    Raises:
        UserError: if the file does not have this layout.
    """
    state = {key.removeprefix(COMPILED): value for key, value in read_state(path).items()}
    width = checkpoint.shape(state, "model.0.weight", 5, path)[0]
    kernels = [value for value in state.values() if value.dim() == 5]
    # one before the first stage, two per stage of encoder and decoder, two at the bottom, and the last layer
    downs = min(max(len(kernels) // 4 - 1, 1), DEEPEST)
    config = {"width": width, "downs": downs, "features": len(kernels[-1])}
    checkpoint.check(state, lambda: build(config), path)
    return {"name": "anatomix", **config}, state
