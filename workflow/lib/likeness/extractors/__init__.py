"""Feature extractors: frozen networks whose features a loss compares.

A module ``extractors/<name>.py`` provides ``build(config) -> nn.Module`` from a literal configuration and, where the
pipeline trains it, ``pretrain(...)``. The module maps images ``(batch, 1, *spatial)`` to a list of feature maps, finest
first.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        ValueError: if the weights do not fit the architecture that the ``.json`` describes.
    """
    from safetensors.torch import load_file

    weights = Path(weights)
    config = json.loads(weights.with_suffix(".json").read_text())["architecture"]
    extractor = import_module(f"likeness.extractors.{config['name']}").build(config)
    try:
        extractor.load_state_dict(load_file(weights))
    except RuntimeError as error:
        msg = f"{weights}: these weights are of another architecture than {weights.with_suffix('.json').name} says"
        raise ValueError(msg) from error
    return freeze(extractor)


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
