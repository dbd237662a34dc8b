"""DINOv2 ViT-S/14: a vision transformer, trained without labels on 142 million natural images.

Oquab et al., DINOv2: Learning robust visual features without supervision, TMLR 2024, arXiv:2304.07193,
https://github.com/facebookresearch/dinov2; in registration Song et al., DINO-Reg, MICCAI 2024. The features are the
patch tokens of a block after the network's final norm, one per 14 by 14 pixels. Images are padded to whole patches
rather than resized, so that intensities and scale are preserved, and a shift by one patch shifts the features by one
position. Grey images are repeated to RGB and normalised as in training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likeness.extractors import checkpoint
from likeness.extractors.base import Extractor, pad, padded_to
from likeness.extractors.checkpoint import read_state
from likeness.userinput.errors import other_network

SOURCE = {
    "file": "dinov2_vits14_pretrain.pth",
    "url": "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
    "sha256": "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
    "bytes": 88283115,
    "licence": "Apache-2.0",
    "by_hand": "open the address in a browser",
}
FULL = {"width": 384, "depth": 12, "heads": 6, "patch": 14, "grid": 37}
TINY = {"width": 128, "depth": 3, "heads": 2, "patch": 4, "grid": 5}
HEAD = 64
"""Channels per attention head, in every DINOv2."""
OFFSET = 0.1
"""Added to the number of patches to which the position embeddings are resized: the published code does this against
rounding errors, which shifts all positions slightly, and the weights were trained with it."""
UNUSED = "mask_token"
"""Replaces hidden patches during training only."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's channels."""


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same shape."""
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a multilayer perceptron, each with pre-norm and layer scale."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.ls1 = nn.ParameterDict({"gamma": torch.ones(width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.ls2 = nn.ParameterDict({"gamma": torch.ones(width)})

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same shape."""
        tokens = tokens + self.ls1["gamma"] * self.attn(self.norm1(tokens))
        return tokens + self.ls2["gamma"] * self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(tokens))))


class DINOv2(Extractor):
    """The vision transformer, with parameters named as in the published file.

    Args:
        width: channels of a token.
        depth: number of blocks.
        heads: number of attention heads.
        patch: edge length of a patch in pixels.
        grid: edge length of the grid of position embeddings in patches.

    Attributes:
        taps: indices of the blocks whose tokens are returned, from 0.
    """

    dimensions = 2
    mean: Tensor
    std: Tensor

    def __init__(self, width: int, depth: int, heads: int, patch: int, grid: int) -> None:
        super().__init__()
        self.patch = patch
        self.taps: tuple[int, ...] = (depth - 1,)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + grid**2, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, stride=patch)})
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the field of view of the feature maps in pixels: whole patches."""
        return padded_to([self.patch] * len(shape), shape)

    def cut(self, taps: Sequence[int] | None) -> None:
        """Select the blocks whose tokens are returned, by default the last one, and drop the blocks behind them.

        Raises:
            ValueError: if there is no such block.
        """
        depth = len(self.blocks)
        taps = (depth - 1,) if taps is None else tuple(taps)
        if not taps or not all(0 <= tap < depth for tap in taps):
            msg = f"taps: {list(taps)} requested, but the extractor has blocks 0 to {depth - 1}"
            raise ValueError(msg)
        self.taps = taps
        self.blocks = self.blocks[: max(taps) + 1]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map ``(batch, 1, height, width)`` to token maps ``(batch, width, rows, columns)``, one per tap.

        Runs in full precision even under autocast, see :class:`likeness.extractors.vgg.VGG`.
        """
        with torch.autocast(image.device.type, enabled=False):
            image = pad(image, self.extent(image.shape[2:])).to(self.mean.dtype).expand(-1, 3, -1, -1)
            patches = self.patch_embed["proj"]((image - self.mean) / self.std)
            rows, columns = patches.shape[2:]
            tokens = torch.cat((self.cls_token.expand(len(image), -1, -1), patches.flatten(2).transpose(1, 2)), dim=1)
            tokens = tokens + self._positions(rows, columns)
            found: dict[int, Tensor] = {}
            for index, block in enumerate(self.blocks):
                tokens = block(tokens)
                if index in self.taps:
                    found[index] = self.norm(tokens)[:, 1:].transpose(1, 2).unflatten(2, (rows, columns))
        return [found[tap] for tap in self.taps]

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Return the position embeddings for a grid of patches, ``(1, 1 + rows * columns, width)``."""
        edge = math.isqrt(self.pos_embed.shape[1] - 1)
        if rows == columns == edge:
            return self.pos_embed
        learned = self.pos_embed[:, 1:].unflatten(1, (edge, edge)).permute(0, 3, 1, 2)
        # by factors rather than to a size, because they place the samples differently
        factors = ((rows + OFFSET) / edge, (columns + OFFSET) / edge)
        scaled = F.interpolate(learned, scale_factor=factors, mode="bicubic", align_corners=False)
        return torch.cat((self.pos_embed[:, :1], scaled.flatten(2).transpose(1, 2)), dim=1)


def build(config: dict[str, Any]) -> DINOv2:
    """Build the extractor from its architecture, with random weights."""
    return DINOv2(config["width"], config["depth"], config["heads"], config["patch"], config["grid"])


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the authors' file of a network without registers, of any width and depth.

    Raises:
        UserError: if the file does not have this layout.
    """
    state = read_state(path)
    state.pop(UNUSED, None)
    width, _, _, patch = checkpoint.shape(state, "patch_embed.proj.weight", 4, path)
    tokens = checkpoint.shape(state, "pos_embed", 3, path)[1]
    depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    if width % HEAD or not patch or not depth:
        msg = f"has {depth} blocks of {width} channels for patches of {patch} pixels, but every head needs {HEAD}"
        raise other_network(path, msg + " channels")
    config = {
        "width": width,
        "depth": depth,
        "heads": width // HEAD,
        "patch": patch,
        "grid": math.isqrt(max(tokens - 1, 0)),
    }
    checkpoint.check(state, lambda: build(config), path)
    return {"name": "dinov2", **config}, state
