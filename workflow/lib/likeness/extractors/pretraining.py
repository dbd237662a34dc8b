"""What the pretrained extractors share: a U-Net trained on the training subjects with the protocol's augmentation.

Czolbe et al., Medical Image Analysis 2023, doi:10.1016/j.media.2023.102830.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from likeness.augmentation import protocol, random_affine, resample
from likeness.data.loading import Loader
from likeness.data.store import Dataset
from likeness.networks.unet import UNet, stage_strides
from likeness.refusals import Refusal
from likeness.training import Outcome, Schedule, Trainer, channels_last, generator, make_fabric, shuffled

VALIDATED = 16
"""At most so many subjects judge a training while it runs."""


class UNetExtractor(nn.Module):
    """Wraps a U-Net: called, it gives the outputs of all encoder stages, finest first."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map ``(batch, 1, *spatial)`` to a list of ``(batch, channels, *coarser)``."""
        return self.unet.encoder(image)


def architecture(name: str, dataset: Dataset, channels: list[int], norm: str) -> dict[str, Any]:
    """Describe an extractor for a dataset as a literal that ``build`` understands."""
    strides = [list(s) for s in stage_strides(dataset.shape, len(channels))]
    return {
        "name": name,
        "channels": channels,
        "strides": strides,
        "norm": norm,
        "classes": len(dataset.labels),
    }


def pretrain(
    name: str,
    dataset: Dataset,
    schedule: Schedule,
    *,
    channels: list[int],
    norm: str,
    batch: int,
    seed: int,
    threads: int,
    checkpoint: Path,
    saved: Callable[[], object] = lambda: None,
) -> tuple[dict[str, Any], Outcome]:
    """Train the U-Net of an extractor on the training subjects of a dataset; validation subjects only judge it.

    Returns:
        The architecture, a literal, and the outcome, whose weights are those of the extractor.

    Raises:
        Refusal: if the training diverges.
    """
    module = import_module(f"likeness.extractors.{name}")
    config = architecture(name, dataset, channels, norm)
    fabric = make_fabric(threads=threads)
    torch.manual_seed(seed)
    layout = channels_last(dataset.spatial_dims)
    extractor: UNetExtractor = module.build(config).to(fabric.device, memory_format=layout)
    loader = Loader(dataset, fabric.device)
    train = sorted(dataset.subjects.index[dataset.subjects.split == "train"])
    judges = sorted(dataset.subjects.index[dataset.subjects.split == "val"])[:VALIDATED]
    augmentation = protocol(dataset.spatial_dims)

    def step(index: int) -> dict[str, Tensor]:
        names = [train[i] for i in shuffled(len(train), batch, seed, index)]
        images = loader.images(names)
        points = random_affine(images, augmentation, dataset.spacing, generator("cpu", seed, index))
        labels = loader.labels(names)
        images, labels = resample(points, images), None if labels is None else resample(points, labels)
        return {"loss": module.objective(extractor.unet(images), images, labels)}

    def validate() -> dict[str, float]:
        values = []
        for judge in judges:
            images = loader.images([judge])
            values.append(float(module.objective(extractor.unet(images), images, loader.labels([judge]))))
        return {"loss": sum(values) / len(values)}

    trainer = Trainer(fabric, schedule, checkpoint, f"{dataset.name} {name}", seed, saved)
    outcome = trainer.fit(extractor, step, validate)
    if outcome.diverged_at is not None:
        msg = f"extractor {name} on {dataset.name} diverged at step {outcome.diverged_at}; lower "
        msg += "`pretraining.learning_rate`"
        raise Refusal(msg)
    return config, outcome
