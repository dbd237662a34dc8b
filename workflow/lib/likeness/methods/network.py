"""Registration networks: one job trains a network for every regularisation weight of the grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, nn

from likeness import networks
from likeness.data.loading import chunks
from likeness.data.pairs import evenly_spaced
from likeness.data.store import Dataset
from likeness.evaluation.pair import PrimaryScorer
from likeness.geometry import to_array
from likeness.losses.base import Registration
from likeness.methods.objective import Objective
from likeness.runtime import progress
from likeness.runtime.atomic import atomic_write, read_json, write_json
from likeness.training.augmentation import Augmentation
from likeness.training.checkpoint import save_weights
from likeness.training.device import Precision, channels_last, make_device
from likeness.training.randomness import shuffled
from likeness.training.trainer import Outcome, Point, Schedule, Trainer

VALIDATED = 12
"""Maximum number of validation pairs scored during training; λ is chosen on all of them afterwards."""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a training except data, loss and seed.

    Attributes:
        network: name of the registration network.
        architecture: options of the network.
        schedule: length of the training and learning rate.
        batch: pairs per step.
        grid: values of λ to try.
        scale: ``"balanced"`` if they are multiples of the balanced λ₀, or ``"raw"``.
        augmentation: random affine augmentation, applied jointly to both images of a pair.
        precision: ``"32-true"`` or ``"bf16-mixed"``.
        threads: number of CPU threads.
    """

    network: str
    architecture: dict[str, Any]
    schedule: Schedule
    batch: int
    grid: tuple[float, ...]
    scale: Literal["balanced", "raw"] = "balanced"
    augmentation: Augmentation = field(default_factory=Augmentation)
    precision: Precision = "32-true"
    threads: int = 1

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Recipe:
        """Create a recipe from the plain types of ``Study.training``."""
        schedule = {entry.name: plain[entry.name] for entry in fields(Schedule)}
        augmentation = {**plain["augmentation"], "scale": tuple(plain["augmentation"]["scale"])}
        return cls(
            network=plain["network"],
            architecture=plain["architecture"],
            schedule=Schedule(**schedule),
            batch=plain["batch"],
            grid=tuple(plain["lambda"]["grid"]),
            scale=plain["lambda"]["scale"],
            augmentation=Augmentation(**augmentation),
            precision=plain["precision"],
            threads=plain["threads"],
        )


class NetworkTask:
    """Train networks that register pairs of one dataset with one loss.

    Args:
        dataset: prepared dataset.
        loss: name of the loss.
        options: options of the loss, completed with its defaults.
        extractor: weights of the loss's extractor, or ``None``.
        recipe: everything else that determines the training.
        seed: seed of initial weights, batches, augmentation and noise.
    """

    def __init__(
        self,
        dataset: Dataset,
        loss: str,
        options: dict[str, Any],
        extractor: Path | None,
        recipe: Recipe,
        seed: int,
    ) -> None:
        self.dataset = dataset
        self.recipe = recipe
        self.seed = seed
        self.device = make_device(recipe.threads)
        self.objective = Objective(dataset, loss, options, extractor, self.device, seed)
        self.pairs = dataset.pairs_of("train")
        self.validated = evenly_spaced(dataset.pairs_of("val"), VALIDATED)
        self.scorers = [PrimaryScorer(dataset, *map(dataset.load, pair)) for pair in self.validated]

    def balance(self) -> float:
        """Return λ₀, see :meth:`Objective.balance`."""
        return self.objective.balance(self.recipe.batch)

    def train(self, lam: float, checkpoint: Path, label: str, saved: Callable[[], object] = lambda: None) -> Outcome:
        """Train one network at a raw λ, from scratch or from its checkpoint."""
        torch.manual_seed(self.seed)
        network = self.build()

        def values(pair: Registration) -> dict[str, Tensor]:
            pair.displacement = network(pair.moving, pair.fixed).float()
            return self.objective.values(pair, lam)

        def step(index: int) -> dict[str, Tensor]:
            chosen = shuffled(len(self.pairs), self.recipe.batch, self.seed, index)
            pairs = [self.pairs[i] for i in chosen]
            found = values(self.objective.registration(pairs, index, self.recipe.augmentation))
            return {key: of_pairs.mean() for key, of_pairs in found.items()}

        def validate() -> dict[str, float]:
            scored = []
            for part in chunks(list(zip(self.validated, self.scorers, strict=True)), self.recipe.batch):
                pair = self.objective.registration([names for names, _ in part])
                found = {key: of_pairs.tolist() for key, of_pairs in values(pair).items()}
                fields = map(to_array, pair.displacement.split(1))
                scores = [s.primary(f) for (_, s), f in zip(part, fields, strict=True)]
                scored.append(pd.DataFrame({**found, "score": scores}))
            return {str(key): float(value) for key, value in pd.concat(scored).mean().items()}

        trainer = Trainer(self.device, self.recipe.schedule, checkpoint, label, self.seed, saved, self.recipe.precision)
        return trainer.fit(network, step, validate)

    def build(self) -> nn.Module:
        """Build the registration network for this dataset; in channels-last layout, which is faster on CPUs."""
        network = networks.build(self.recipe.network, self.dataset.shape, **self.recipe.architecture)
        layout = channels_last(self.dataset.spatial_dims)
        return network.to(self.device, memory_format=layout)  # type: ignore[call-overload]


def train_grid(
    task: NetworkTask, work: Path, who: dict[str, Any], saved: Callable[[], object] = lambda: None
) -> list[Path]:
    """Train a network for every λ of the grid, except those finished by an earlier, interrupted run.

    Args:
        task: dataset, loss and recipe.
        work: folder that survives an interruption.
        who: columns that identify the run in the learning curves.
        saved: called whenever something was saved.

    Returns:
        The result files: ``training.json`` (λ₀; for every λ of the grid its raw value, its best step, and the step at
        which it diverged or null), ``curves.csv`` and one ``<λ>.safetensors`` for every λ that did not diverge.
    """
    work.mkdir(parents=True, exist_ok=True)
    base = task.balance() if task.recipe.scale == "balanced" else 1.0
    records = []
    for lam in task.recipe.grid:
        record = work / f"{lam:g}.json"
        if not record.is_file():
            label = progress.label(who["dataset"], who["loss"], float(lam))
            outcome = task.train(base * lam, work / f"{lam:g}.checkpoint", label, saved)
            _save(outcome, lam, base * lam, work, who)
            saved()
        records.append(read_json(record, record))
    write_json(work / "training.json", {"lambda_0": base, "grid": [r["training"] for r in records]})
    # named explicitly, because a training that diverges immediately has no curve
    curves = pd.DataFrame([point for r in records for point in r["curve"]], columns=[*who, "lam", *Point._fields])
    with atomic_write(work / "curves.csv") as path:
        curves.to_csv(path, index=False, float_format="%.6g")
    trained = [work / r["training"]["file"] for r in records if r["training"]["file"]]
    return [work / "training.json", work / "curves.csv", *trained]


def _save(outcome: Outcome, lam: float, raw: float, work: Path, who: dict[str, Any]) -> None:
    """Save the training of one λ; the record comes last, so that the files it names exist."""
    file = None
    if outcome.diverged_at is None:
        file = f"{lam:g}.safetensors"
        save_weights(outcome.weights, work / file)
    training = {
        "lam": lam,
        "raw": raw,
        "best_step": outcome.best_step,
        "diverged_at": outcome.diverged_at,
        "file": file,
    }
    curve = [{**who, "lam": lam, **point._asdict()} for point in outcome.curve]
    write_json(work / f"{lam:g}.json", {"training": training, "curve": curve})
