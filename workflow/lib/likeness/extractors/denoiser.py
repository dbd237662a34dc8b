"""A small denoising diffusion model, trained on the training images, without labels.

It needs no download, and for that reason cannot test the claim of DGIR (MICCAI 2025), which is about features that
emerge from training on natural images. Volumes are learned section by section, along all three axes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from likeness.data.store import Dataset
from likeness.extractors.base import pad
from likeness.extractors.encoder import Batch
from likeness.extractors.noising import TIMESTEPS, DiffusionExtractor, noised, signal_rates
from likeness.extractors.sections import random_sections

SECTIONS = 8
"""Sections of every volume that are learned in a step."""
TINY = {"channels": [4, 8], "groups": 2}


def architecture(dataset: Dataset, channels: list[int], norm: str) -> dict[str, Any]:  # noqa: ARG001
    """Describe the network for a dataset; its norm is in groups, whatever the others' is."""
    groups = 8 if all(width % 8 == 0 for width in channels) else 1
    return {"channels": channels, "groups": groups}


def build(config: dict[str, Any]) -> DiffusionExtractor:
    """Build the extractor from its architecture, with random weights.

    Its taps are ``middle`` and the decoder's stages ``up0``, coarsest, to ``up<n>``.
    """
    from diffusers import UNet2DModel

    channels = config["channels"]
    stages = len(channels)
    unet: Any = UNet2DModel(
        in_channels=1,
        out_channels=1,
        block_out_channels=tuple(channels),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * stages,
        up_block_types=("UpBlock2D",) * stages,
        add_attention=False,
        norm_num_groups=config["groups"],
    )
    places = {"middle": "mid_block", **{f"up{k}": f"up_blocks.{k}.resnets.1" for k in range(stages)}}
    return DiffusionExtractor(unet, places, 1, 2 ** (stages - 1))


def objective(extractor: DiffusionExtractor, batch: Batch) -> Tensor:
    """Mean squared error of the predicted noise at random timesteps.

    Ho et al., Denoising diffusion probabilistic models, NeurIPS 2020, arXiv:2006.11239, eq. 14.
    """
    images = batch.images
    if images.dim() == 5:
        images = random_sections(images, SECTIONS, batch.generator)
    images = pad(2 * images - 1, extractor.extent(images.shape[2:]))
    source = batch.generator
    steps = torch.randint(TIMESTEPS, (len(images),), generator=source, device=source.device).to(images.device)
    noise = torch.randn(images.shape, generator=source, device=source.device).to(images)
    rates = signal_rates().to(images.device)[steps].view(-1, 1, 1, 1)
    return F.mse_loss(extractor.unet(noised(images, noise, rates), steps).sample.float(), noise)


def ignorance(extractor: DiffusionExtractor, batch: Batch) -> Tensor:  # noqa: ARG001
    """Give the objective of no noise everywhere: its variance."""
    return torch.ones(())
