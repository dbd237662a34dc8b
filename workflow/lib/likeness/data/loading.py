"""Load prepared datasets as tensors on a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from likeness.data.store import Dataset, Sample

T = TypeVar("T")

CACHE_BYTES = 4 * 1024**3
"""Memory for cached images; larger datasets are read again as needed."""


class Loader:
    """Load images and their parts as batches, with a cache of the most recent ones in memory.

    Args:
        dataset: prepared dataset.
        device: device of the returned tensors.
    """

    def __init__(self, dataset: Dataset, device: torch.device | str = "cpu") -> None:
        self.dataset = dataset
        self.device = device
        self.ids = sorted(dataset.labels)
        voxels = int(np.prod(dataset.shape))
        self._load = lru_cache(maxsize=max(2, CACHE_BYTES // (12 * voxels)))(self._read)

    def _read(self, name: str) -> dict[str, Tensor]:
        sample: Sample = self.dataset.load(name)
        parts = {"image": torch.from_numpy(sample.image)[None]}
        if sample.label is not None:
            classes = np.searchsorted(self.ids, sample.label)
            parts["label"] = torch.from_numpy(classes.astype(np.uint8 if len(self.ids) <= 256 else np.int16))[None]
        if sample.mask is not None:
            parts["mask"] = torch.from_numpy(sample.mask.astype(np.float32))[None]
        if sample.unmatched is not None:
            parts["unmatched"] = torch.from_numpy(sample.unmatched)[None]
        return parts

    def _batch(self, names: Sequence[str], part: str) -> Tensor | None:
        found = [self._load(name).get(part) for name in names]
        whole = [f for f in found if f is not None]
        return torch.stack(whole).to(self.device) if len(whole) == len(found) else None

    def images(self, names: Sequence[str]) -> Tensor:
        """Return the images ``(batch, 1, *spatial)``, float32 in [0, 1]."""
        images = self._batch(names, "image")
        assert images is not None
        return images

    def labels(self, names: Sequence[str]) -> Tensor | None:
        """Return label maps ``(batch, 1, *spatial)`` of class indices, not label ids; ``None`` if an image has none."""
        return self._batch(names, "label")

    def masks(self, names: Sequence[str]) -> Tensor | None:
        """Return masks ``(batch, 1, *spatial)``, 1 in the foreground; ``None`` if an image has none."""
        return self._batch(names, "mask")

    def unmatched(self, names: Sequence[str]) -> Tensor | None:
        """Return maps ``(batch, 1, *spatial)``, 1 where content has no counterpart; ``None`` if an image has none."""
        found = self._batch(names, "unmatched")
        return None if found is None else found.float()


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Split a sequence into chunks of ``size`` items; the last one may be shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))
