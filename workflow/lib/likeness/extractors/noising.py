"""Shared parts of extractors from diffusion models: noising to a timestep, and features at named modules.

Tang et al., Emergent correspondence from image diffusion, NeurIPS 2023, arXiv:2306.03881; for registration DGIR, MICCAI
2025, arXiv:2506.02419.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from likeness.extractors.base import Extractor, pad, padded_to

TIMESTEPS = 1000


class _Reached(Exception):
    """Raised when the last requested feature has been computed, to skip the rest of the network."""


def signal_rates(steps: int = TIMESTEPS, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """Return the fraction of an image's variance that remains at every timestep of the linear schedule, ``(steps,)``.

    Ho et al., Denoising diffusion probabilistic models, NeurIPS 2020, arXiv:2006.11239: the cumulative product of 1 -
    β, with β linear between ``first`` and ``last``.
    """
    return (1 - torch.linspace(first, last, steps, dtype=torch.float64)).cumprod(0)


def noised(image: Tensor, noise: Tensor, rate: Tensor | float) -> Tensor:
    """Add noise so that a fraction ``rate`` of the image's variance remains (``q_sample`` in the literature)."""
    rate = torch.as_tensor(rate, dtype=torch.float64)
    return rate.sqrt().to(image) * image + (1 - rate).sqrt().to(image) * noise


def features_at(network: nn.Module, places: Sequence[str], *inputs: Any, **keywords: Any) -> list[Tensor]:
    """Run a network until the last of several modules and return their outputs, in the order of ``places``.

    Args:
        network: network to call with ``inputs`` and ``keywords``.
        places: dotted names of modules of the network, each of which is executed once.

    Raises:
        ValueError: if the network does not execute all of them.
    """
    found: dict[str, Tensor] = {}

    def keep(place: str, output: Tensor) -> None:
        found[place] = output
        if len(found) == len(set(places)):
            raise _Reached

    hooks = [
        network.get_submodule(place).register_forward_hook(lambda _m, _i, output, place=place: keep(place, output))
        for place in dict.fromkeys(places)
    ]
    try:
        network(*inputs, **keywords)
    except _Reached:
        return [found[place] for place in places]
    finally:
        for hook in hooks:
            hook.remove()
    msg = f"the network executed {sorted(found)} of {list(places)}"
    raise ValueError(msg)


class DiffusionExtractor(Extractor):
    """Features of a denoising network for an image noised to a timestep.

    Args:
        unet: a ``diffusers.UNet2DModel``.
        places: names of taps and the modules whose outputs they are.
        channels: number of input channels of the network; grey images are repeated.
        multiple: total stride of the network.
    """

    dimensions = 2
    rates: Tensor

    def __init__(self, unet: nn.Module, places: Mapping[str, str], channels: int, multiple: int) -> None:
        super().__init__()
        self.unet = unet
        self.places = dict(places)
        self.channels = channels
        self.multiple = multiple
        self.register_buffer("rates", signal_rates(), persistent=False)

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the field of view of feature maps in pixels: the image, padded to multiples of the total stride."""
        return padded_to([self.multiple] * len(shape), shape)

    def cut(self, taps: Sequence[str]) -> None:
        """Drop the layers of the network behind the last of several taps.

        Raises:
            ValueError: if there is no such tap.
        """
        unknown = [tap for tap in taps if tap not in self.places]
        if unknown or not taps:
            msg = f"taps: {list(taps)} requested, but the extractor has {', '.join(self.places)}"
            raise ValueError(msg)
        cut_unet(self.unet, [self.places[tap] for tap in taps])

    def forward(
        self, image: Tensor, generator: torch.Generator | None, timestep: int, taps: Sequence[str]
    ) -> list[Tensor]:
        """Map ``(batch, 1, height, width)`` to the features at ``taps``.

        Args:
            image: images in [0, 1].
            generator: random generator of the noise, which is the same for the whole batch.
            timestep: noise level, from 0 (almost none) to 999 (pure noise).
            taps: names among ``places``.
        """
        image = pad(2 * image - 1, self.extent(image.shape[2:])).expand(-1, self.channels, -1, -1)
        noise = drawn(image, generator)
        places = [self.places[tap] for tap in taps]
        return features_at(self.unet, places, noised(image, noise, self.rates[timestep]), timestep)


def drawn(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw noise ``(1, *like.shape[1:])``, the same for the whole batch, so that losses do not depend on the batch."""
    device = generator.device if generator is not None else like.device
    return torch.randn(1, *like.shape[1:], generator=generator, device=device).to(like)


def cut_unet(unet: nn.Module, places: Sequence[str]) -> None:
    """Remove the blocks behind the last of several places from a diffusers U-Net, with their weights."""
    order = ["down_blocks", "mid_block", "up_blocks"]
    last = max((place.split(".")[0] for place in places), key=order.index)
    for name in order[order.index(last) + 1 :]:
        setattr(unet, name, nn.ModuleList() if name.endswith("blocks") else None)
    if last.endswith("blocks"):
        deepest = max(int(place.split(".")[1]) for place in places if place.startswith(last))
        setattr(unet, last, nn.ModuleList(list(unet.get_submodule(last).children())[: deepest + 1]))
    for name in ("conv_norm_out", "conv_out"):
        setattr(unet, name, None)
    # new module lists are in training mode
    unet.train(unet.training)
