"""Random numbers as a function of a key, such as seed and step, so that interrupted runs are reproducible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_of(*key: int) -> int:
    """Combine a key, such as seed and step, to a single seed."""
    return int(np.random.SeedSequence([abs(int(k)) for k in key]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(device: torch.device | str, *key: int) -> torch.Generator:
    """Return a random generator that is a function of ``key``, such as seed and step."""
    import torch

    return torch.Generator(device).manual_seed(seed_of(*key))


def shuffled(items: int, batch: int, seed: int, step: int) -> np.ndarray:
    """Return the indices of the batch of a step: every epoch is a new permutation that depends on the seed.

    Batches can span two epochs, so that every item occurs equally often for any batch size.
    """
    positions = np.arange(step * batch, (step + 1) * batch)
    epochs = {e: np.random.default_rng([seed, int(e)]).permutation(items) for e in np.unique(positions // items)}
    return np.array([epochs[p // items][p % items] for p in positions])
