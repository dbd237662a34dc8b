"""Feature extractors: frozen networks whose features a loss compares.

A module ``extractors/<name>.py`` provides ``build(config) -> Extractor``, see :mod:`likeness.extractors.base`, with
random weights, and ``TINY``, the configuration of a tiny form of the same layout. Then either the pipeline trains it:
``architecture(dataset, channels, norm)`` gives the configuration for a dataset, ``objective(extractor, batch)`` what is
minimised, without which it stays untrained, and ``ignorance(extractor, batch)`` the least of that for an answer which
does not depend on the image. Or others published it: ``SOURCE``, a literal, says where and with which
hash, and ``read(path)`` turns the file into a configuration and weights; ``FULL`` is the configuration of the published
network, for those who reckon or measure what it takes.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likeness.runtime.atomic import read_json

if TYPE_CHECKING:
    from torch import nn

PRETRAINED = ("segmentation", "segmentation_half", "autoencoder", "denoiser", "untrained")
"""Extractors that the pipeline makes for each dataset; those that learn see its training images."""


def freeze(extractor: nn.Module) -> nn.Module:
    """Switch an extractor to evaluation and exclude its parameters from every gradient."""
    import torch

    if getattr(extractor, "channels_last", False):
        extractor.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return extractor.eval().requires_grad_(False)


def load(weights: str | Path) -> nn.Module:
    """Load a frozen extractor from its ``.safetensors`` file and the ``.json`` beside it.

    Raises:
        UserError: if a file is broken, or the weights do not fit the architecture that the ``.json`` describes.
    """
    from likeness.training.checkpoint import load_weights

    weights = Path(weights)
    config = read_json(weights.with_suffix(".json"), weights)["architecture"]
    extractor = import_module(f"likeness.extractors.{config['name']}").build(config)
    return freeze(load_weights(extractor, weights, weights))


def tiny(name: str, spatial_dims: int) -> nn.Module:
    """Build a tiny random frozen extractor with the published file's layout, for tests."""
    import torch

    module = import_module(f"likeness.extractors.{name}")
    config: dict[str, Any] = {"name": name, **module.TINY}
    if "strides" in config:
        config["strides"] = [[config["strides"]] * spatial_dims] * len(config["channels"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        extractor = module.build(config)
    if hasattr(module, "tiny"):
        module.tiny(extractor)
    return freeze(extractor)
