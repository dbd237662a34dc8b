"""Feature extractors: frozen networks whose features a loss compares.

A module ``extractors/<name>.py`` provides ``build(config) -> nn.Module`` from a literal configuration and, where the
pipeline trains it, ``pretrain(...)``. The module maps images ``(batch, 1, *spatial)`` to a list of feature maps, finest
first.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likeness.files import read_json

if TYPE_CHECKING:
    from torch import nn

PRETRAINED = ("segmentation", "autoencoder")
"""Extractors that the pipeline trains on the training subjects of each dataset."""


def freeze(extractor: nn.Module) -> nn.Module:
    """Switch an extractor to evaluation and exclude its parameters from every gradient."""
    return extractor.eval().requires_grad_(False)


def load(weights: str | Path) -> nn.Module:
    """Load a frozen extractor from its ``.safetensors`` file and the ``.json`` beside it.

    Raises:
        Refusal: if a file is broken, or the weights do not fit the architecture that the ``.json`` describes.
    """
    from likeness.training import load_weights

    weights = Path(weights)
    config = read_json(weights.with_suffix(".json"), weights)["architecture"]
    extractor = import_module(f"likeness.extractors.{config['name']}").build(config)
    return freeze(load_weights(extractor, weights, weights))


def tiny(name: str, spatial_dims: int) -> nn.Module:
    """Build a tiny random frozen extractor with the published file's layout, for tests."""
    import torch

    config: dict[str, Any] = {
        "name": name,
        "channels": [4, 6, 8],
        "strides": [[2] * spatial_dims] * 3,
        "norm": "none",
        "classes": 3,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return freeze(import_module(f"likeness.extractors.{name}").build(config))
