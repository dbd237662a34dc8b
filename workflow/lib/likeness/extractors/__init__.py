"""Feature extractors: frozen networks whose features losses compare.

A module ``extractors/<name>.py`` has ``build(config) -> Extractor``, see :mod:`likeness.extractors.base`, with random
weights, and ``TINY``, the configuration of a tiny network with the same layout. There are two kinds:

- Extractors trained by the workflow have ``architecture(dataset, channels, norm)``, the configuration for a dataset;
  ``objective(extractor, batch)``, the training loss, without which the network stays untrained; and
  ``ignorance(extractor, batch)``, the lowest training loss of a prediction that does not depend on the image.
- Extractors with published weights have ``SOURCE``, a literal with address and hash; ``read(path)``, which converts the
  file to a configuration and weights; and ``FULL``, the configuration of the published network, for cost estimates.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likeness.runtime.atomic import read_json

if TYPE_CHECKING:
    from torch import nn

PRETRAINED = ("segmentation", "segmentation_half", "autoencoder", "denoiser", "untrained")
"""Extractors that the workflow creates for each dataset; trained ones use its training images."""

TRAINED, SHUFFLED, UNTRAINED = TWINS = "trained", "shuffled", "untrained"
"""Which weights an extractor has: its own, or those of a control, see :mod:`.twins`."""


def freeze(extractor: nn.Module) -> nn.Module:
    """Set an extractor to evaluation mode and exclude its parameters from gradients."""
    import torch

    if getattr(extractor, "channels_last", False):
        extractor.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return extractor.eval().requires_grad_(False)


def load(weights: str | Path, twin: str = TRAINED, seed: int = 0) -> nn.Module:
    """Load a frozen extractor from its ``.safetensors`` file and the ``.json`` next to it.

    Args:
        weights: the ``.safetensors`` file.
        twin: of :data:`TWINS`.
        seed: seed of a twin.

    Raises:
        UserError: if a file is damaged, or the weights do not match the architecture in the ``.json``.
    """
    from likeness.training.checkpoint import load_weights

    weights = Path(weights)
    config = read_json(weights.with_suffix(".json"), weights)["architecture"]
    build = partial(import_module(f"likeness.extractors.{config['name']}").build, config)
    extractor = load_weights(build(), weights, weights)
    if twin != TRAINED:
        from likeness.extractors import twins

        if twin == SHUFFLED:
            twins.shuffle(extractor, seed)
        else:
            twins.reset(extractor, seed, build)
    return freeze(extractor)


def tiny(name: str, spatial_dims: int) -> nn.Module:
    """Build a tiny random frozen extractor with the layout of the published file, for tests."""
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
