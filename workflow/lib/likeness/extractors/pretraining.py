"""Train extractors on the training images of a dataset, with the augmentation of the DeepSim protocol.

Czolbe et al., Med. Image Anal. 2023, doi:10.1016/j.media.2023.102830.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from likeness.data.loading import Loader
from likeness.data.store import Dataset
from likeness.extractors.base import Extractor
from likeness.extractors.encoder import Batch
from likeness.training.augmentation import protocol, random_affine, resample
from likeness.training.device import channels_last, make_device
from likeness.training.randomness import generator, shuffled
from likeness.training.trainer import Outcome, Point, Schedule, Trainer
from likeness.userinput.errors import UserError

VALIDATED = 16
"""Maximum number of validation images during training."""
IGNORANCE = "val_ignorance"
"""Quantity in the learning curve: validation loss of a prediction that does not depend on the image."""


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
    """Train an extractor on the training images of a dataset; validation images are only used for scoring.

    An extractor without objective keeps its initial weights. The curve ends with :data:`IGNORANCE`.

    Returns:
        The architecture, a literal, and the outcome with the extractor's weights.

    Raises:
        UserError: if the training diverges.
    """
    module = import_module(f"likeness.extractors.{name}")
    config = {"name": name, **module.architecture(dataset, channels, norm)}
    device = make_device(threads)
    torch.manual_seed(seed)
    extractor: Extractor = module.build(config)
    objective = getattr(module, "objective", None)
    if objective is None:
        return config, Outcome(extractor.state_dict())
    layout = channels_last(extractor.dimensions or dataset.spatial_dims)
    extractor.to(device, memory_format=layout)  # type: ignore[call-overload]
    loader = Loader(dataset, device)
    train = sorted(dataset.images.index[dataset.images.split == "train"])
    validated = sorted(dataset.images.index[dataset.images.split == "val"])[:VALIDATED]
    augmentation = protocol(dataset.spatial_dims)

    def step(index: int) -> dict[str, Tensor]:
        names = [train[i] for i in shuffled(len(train), batch, seed, index)]
        images = loader.images(names)
        points = random_affine(images, augmentation, dataset.spacing, generator("cpu", seed, index))
        labels = loader.labels(names)
        images, labels = resample(points, images), None if labels is None else resample(points, labels)
        return {"loss": objective(extractor, Batch(images, labels, generator(device, seed, index, 1)))}

    def validation_mean(value_of: Callable[[Extractor, Batch], Tensor]) -> float:
        values = []
        for k, name in enumerate(validated):
            source = generator(device, seed, k, 2)
            values.append(float(value_of(extractor, Batch(loader.images([name]), loader.labels([name]), source))))
        return sum(values) / len(values)

    trainer = Trainer(device, schedule, checkpoint, f"{dataset.name} {name}", seed, saved)
    outcome = trainer.fit(extractor, step, lambda: {"loss": validation_mean(objective)})
    if outcome.diverged_at is not None:
        msg = f"extractor {name} on {dataset.name} diverged at step {outcome.diverged_at}; lower "
        msg += "`pretraining.learning_rate`"
        raise UserError(msg)
    with torch.no_grad():
        outcome.curve.append(Point(0, IGNORANCE, validation_mean(module.ignorance)))
    return config, outcome
