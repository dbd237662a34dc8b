"""Displacement fields predicted by trained networks; separate from training, which changes here do not invalidate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from likeness import networks
from likeness.data.loading import Loader, chunks
from likeness.fields import Search
from likeness.geometry import to_array
from likeness.runtime.atomic import read_json
from likeness.training.checkpoint import load_weights


def searches(models: Path) -> list[tuple[Search, str | None]]:
    """Return for every λ of a training the outcome and the file of its network, ``None`` if it diverged.

    A training counts as converged if its best validation was not the last one.

    Raises:
        UserError: if a file is damaged.
    """
    grid = read_json(models / "training.json", models)["grid"]
    steps = read_json(models / "provenance.json", models)["recipe"]["steps"]
    found = []
    for entry in grid:
        diverged = entry["diverged_at"] is not None
        converged = not diverged and entry["best_step"] < steps
        found.append((Search(entry["lam"], entry["best_step"], float(converged), diverged), entry["file"]))
    return found


def load_network(models: Path, file: str, shape: Sequence[int]) -> nn.Module:
    """Load a trained network from the folder of its training.

    Raises:
        UserError: if a file is damaged, or the weights do not match the architecture in ``provenance.json``.
    """
    recipe = read_json(models / "provenance.json", models)["recipe"]
    network = networks.build(recipe["network"], shape, **recipe["architecture"])
    return load_weights(network, models / file, models).eval()


def displacements(
    loader: Loader, network: nn.Module, pairs: Sequence[tuple[str, str]], batch: int
) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Predict the displacement ``(*spatial, dims)`` in voxels of each pair ``(moving, fixed)``, in order.

    Pairs are processed in batches of ``batch``, as in training: this fits into memory, and for single small volumes
    PyTorch selects a convolution kernel that is ten times slower.
    """
    network.to(loader.device)
    with torch.no_grad():
        for part in chunks(pairs, batch):
            moving, fixed = (list(side) for side in zip(*part, strict=True))
            fields = network(loader.images(moving), loader.images(fixed)).split(1)
            yield from zip(part, map(to_array, fields), strict=True)
