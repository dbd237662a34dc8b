"""ADM, OpenAI's unconditional diffusion model of natural images, used for features by DGIR.

Dhariwal and Nichol, Diffusion models beat GANs on image synthesis, NeurIPS 2021, arXiv:2105.05233; for registration
DGIR, MICCAI 2025, arXiv:2506.02419. The published weights (https://github.com/openai/guided-diffusion) are converted to
a ``diffusers.UNet2DModel``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from likeness.extractors import checkpoint
from likeness.extractors.checkpoint import read_state
from likeness.extractors.noising import DiffusionExtractor, cut_unet

SOURCE = {
    "file": "256x256_diffusion_uncond.pt",
    "url": "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/256x256_diffusion_uncond.pt",
    "sha256": "a37c32fffd316cd494cf3f35b339936debdc1576dad13fe57c42399a5dbc78b1",
    "bytes": 2211383297,
    "licence": "MIT (openai/guided-diffusion); ImageNet, which it was trained on, is for research",
    "by_hand": "open the address in a browser",
}
TINY = {"channels": [8, 8, 16, 16, 32, 32], "head": 8, "groups": 8}
PLACES = {"down": "down_blocks.3.attentions.1", "up": "up_blocks.3.resnets.1"}
"""DGIR's ``input_blocks[11]``, at 1/8 of the resolution, and ``output_blocks[10]``, at 1/4."""
LEVELS, LAYERS, ATTENTIVE = 6, 2, 3
"""Number of resolution levels, of residual blocks per level of the encoder, and of coarse levels with attention."""
HEAD = 64
"""Channels per attention head of the published network, which the file does not contain."""
GROUPS = 32


def build(config: dict[str, Any], whole: bool = False) -> DiffusionExtractor:
    """Build the extractor from its architecture, with random weights.

    Args:
        config: ``channels`` of the six levels, channels per attention ``head`` and number of ``groups`` of the norm.
        whole: keep the layers behind the last tap, which predict noise and its variance.
    """
    from diffusers import UNet2DModel

    fine = LEVELS - ATTENTIVE
    unet: Any = UNet2DModel(
        in_channels=3,
        out_channels=6,
        block_out_channels=tuple(config["channels"]),
        layers_per_block=LAYERS,
        down_block_types=("ResnetDownsampleBlock2D",) * fine + ("AttnDownBlock2D",) * ATTENTIVE,
        up_block_types=("AttnUpBlock2D",) * ATTENTIVE + ("ResnetUpsampleBlock2D",) * fine,
        resnet_time_scale_shift="scale_shift",
        downsample_type="resnet",
        upsample_type="resnet",
        norm_eps=1e-5,
        norm_num_groups=config["groups"],
        attn_norm_num_groups=config["groups"],
        attention_head_dim=config["head"],
    )
    if not whole:
        cut_unet(unet, list(PLACES.values()))
    extractor = DiffusionExtractor(unet, PLACES, 3, 2 ** (LEVELS - 1))
    extractor.channels_last = True
    return extractor


def read(path: Path, head: int = HEAD, groups: int = GROUPS, whole: bool = False) -> tuple[dict[str, Any], dict]:
    """Read a file in the layout of ``guided-diffusion``.

    Args:
        path: weights file.
        head: channels per attention head, which the file does not contain.
        groups: number of groups of the norm, which the file does not contain.
        whole: see :func:`build`.

    Returns:
        The architecture, and the weights of the network up to the last tap.

    Raises:
        UserError: if the file does not have this layout.
    """
    state = read_state(path)
    channels = []
    for level in range(LEVELS):
        divisor = groups if level < LEVELS - ATTENTIVE else math.lcm(groups, head)
        channels.append(checkpoint.width(state, f"input_blocks.{3 * level + 1}.0.out_layers.3.bias", divisor, path))
    config = {"name": "adm", "channels": channels, "head": head, "groups": groups}
    # the whole network, so that a file that lacks layers behind the last tap is rejected as well
    checkpoint.compare(state, _shapes(checkpoint.shapes(lambda: build(config, whole=True))), path)
    weights = {f"unet.{ours}": state[theirs] for theirs, ours in _names()}
    for theirs, ours in _attentions():
        weights |= {f"unet.{ours}.{key}": value for key, value in _attention(state, theirs, head).items()}
    return config, {key: weights[key] for key in checkpoint.shapes(lambda: build(config, whole))}


def _shapes(ours: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights in the file from those in this module's layout."""
    found = {theirs: ours[f"unet.{name}"] for theirs, name in _names()}
    for theirs, name in _attentions():
        (width,) = ours[f"unet.{name}.group_norm.bias"]
        for place, rows in (("qkv", 3 * width), ("proj_out", width)):
            found |= {f"{theirs}.{place}.weight": (rows, width, 1), f"{theirs}.{place}.bias": (rows,)}
        found |= {f"{theirs}.norm.{kind}": (width,) for kind in ("weight", "bias")}
    return found


def _attention(state: dict[str, Tensor], prefix: str, head: int) -> dict[str, Tensor]:
    """Convert an attention layer; the file interleaves queries, keys and values per head."""
    found = {"group_norm.weight": state[f"{prefix}.norm.weight"], "group_norm.bias": state[f"{prefix}.norm.bias"]}
    for kind in ("weight", "bias"):
        stored = state[f"{prefix}.qkv.{kind}"]
        width = len(stored) // 3
        parts = stored.reshape(width // head, 3, head, -1).transpose(0, 1).reshape(3, width, -1)
        parts = parts if kind == "weight" else parts[..., 0]
        found |= {f"to_{name}.{kind}": part.contiguous() for name, part in zip("qkv", parts, strict=True)}
        out = state[f"{prefix}.proj_out.{kind}"]
        found[f"to_out.0.{kind}"] = out[..., 0] if kind == "weight" else out
    return found


RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
}
SINGLE = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


def _residuals() -> Iterator[tuple[str, str, bool]]:
    """List the residual blocks' names in both layouts, and whether the block changes the number of channels."""
    for level in range(LEVELS):
        for layer in range(LAYERS):
            # levels of equal width need no projection
            wider = layer == 0 and level in (2, 4)
            yield f"input_blocks.{3 * level + layer + 1}.0", f"down_blocks.{level}.resnets.{layer}", wider
        if level < LEVELS - 1:
            yield f"input_blocks.{3 * level + 3}.0", f"down_blocks.{level}.downsamplers.0", False
    for layer in range(2):
        yield f"middle_block.{2 * layer}", f"mid_block.resnets.{layer}", False
    for level in range(LEVELS):
        for layer in range(LAYERS + 1):
            yield f"output_blocks.{3 * level + layer}.0", f"up_blocks.{level}.resnets.{layer}", True
        if level < LEVELS - 1:
            behind = 2 if level < ATTENTIVE else 1
            yield f"output_blocks.{3 * level + 2}.{behind}", f"up_blocks.{level}.upsamplers.0", False


def _names() -> Iterator[tuple[str, str]]:
    """List the names of all weights in both layouts, except those of attention layers."""
    for kind in ("weight", "bias"):
        yield from ((f"{theirs}.{kind}", f"{ours}.{kind}") for theirs, ours in SINGLE.items())
        for theirs, ours, projects in _residuals():
            yield from ((f"{theirs}.{a}.{kind}", f"{ours}.{b}.{kind}") for a, b in RESIDUAL.items())
            if projects:
                yield f"{theirs}.skip_connection.{kind}", f"{ours}.conv_shortcut.{kind}"


def _attentions() -> Iterator[tuple[str, str]]:
    """List the attention layers' names in both layouts."""
    for level in range(LEVELS - ATTENTIVE, LEVELS):
        for layer in range(LAYERS):
            yield f"input_blocks.{3 * level + layer + 1}.1", f"down_blocks.{level}.attentions.{layer}"
    yield "middle_block.1", "mid_block.attentions.0"
    for level in range(ATTENTIVE):
        for layer in range(LAYERS + 1):
            yield f"output_blocks.{3 * level + layer}.1", f"up_blocks.{level}.attentions.{layer}"
