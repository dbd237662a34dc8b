"""Measure the cost of a unit of work on this machine: a few real steps on random images of a dataset's size.

The dataset itself is not needed. Large images are measured at a fraction of their size, because the cost of
convolutions is proportional to it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from scipy import ndimage, spatial
from torch import nn

from likeness import extractors, fields, networks
from likeness.data.loading import Loader
from likeness.data.store import PARTS, Dataset
from likeness.evaluation.scores import PairScorer
from likeness.extractors.pretraining import pretrain
from likeness.imageio.displacement import save
from likeness.methods import classical
from likeness.methods.network import NetworkTask, Recipe
from likeness.methods.objective import BALANCED, Objective
from likeness.methods.optimisation import Optimiser
from likeness.methods.optimisation import Recipe as OptimisationRecipe
from likeness.methods.prediction import displacements
from likeness.planning.forecast import Cost, Seconds
from likeness.runtime.atomic import write_json
from likeness.runtime.jobs import consumed
from likeness.training.checkpoint import save_weights
from likeness.training.device import make_device
from likeness.training.trainer import Schedule

MOST_VOXELS = 2**18
"""Maximum number of voxels of a batch for measurements; larger images are reduced."""
FASTER = 50
"""Approximate speed-up of a GPU over one core; measurements on a GPU need correspondingly larger images."""
BOOT = time.process_time()
"""Core-seconds to start Python and import modules, which every job needs before its work."""
SMALLEST = 16
"""Minimum size in voxels along a reduced axis."""
PATIENCE = 0.3
"""Duration of a measurement in seconds, at least two steps."""

NOTHING = np.zeros(2)


def measure(task: Mapping[str, Any], scratch: Path) -> Cost:
    """Measure the cost of a kind of job.

    Args:
        task: see :attr:`likeness.planning.forecast.Kind.task`.
        scratch: empty folder.
    """
    shape = reduced(task)
    larger = math.prod(task["shape"]) / math.prod(shape)
    dataset = imitate(task, shape, scratch / "data")
    took = _MEASURES[task["job"]](task, dataset, scratch)
    core, wall = (
        Seconds(BOOT + start, unit, check)
        for start, unit, check in (larger * np.stack([took.start, took.unit, took.check], 1)).tolist()
    )
    on_gpu = torch.cuda.is_available() and task["job"] not in ("score", "classical")
    peak_mb = consumed()[1] if larger == 1 else None
    of_images = task["job"] in ("register", "optimise", "classical")
    file_mb = took.file_mb * larger if of_images and took.file_mb else took.file_mb
    return Cost(core, wall if on_gpu else None, peak_mb, file_mb, "measured")


class _Took(NamedTuple):
    """Core-seconds and seconds at the start, per unit and per check; and the size of weights or of a field in MB."""

    start: np.ndarray
    unit: np.ndarray
    check: np.ndarray
    file_mb: float | None


def reduced(task: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the size of images for a measurement: that of the dataset, or a fraction of it."""
    shape, batch = tuple(task["shape"]), task.get("recipe", {}).get("batch", 1)
    most = MOST_VOXELS * (FASTER if torch.cuda.is_available() and task["job"] != "score" else 1)
    for divisor in range(1, max(shape)):
        smaller = tuple(max(min(n, SMALLEST), n // divisor) for n in shape)
        if batch * math.prod(smaller) <= most or smaller == tuple(min(n, SMALLEST) for n in shape):
            return smaller
    return shape


def imitate(task: Mapping[str, Any], shape: Sequence[int], folder: Path) -> Dataset:
    """Write a prepared dataset of smooth random images with the parts of the dataset, two pairs per split."""
    dims = len(shape)
    (folder / "images").mkdir(parents=True)
    splits = ("train", "val", "test")
    for number, name in enumerate(f"{split}{k}" for split in splits for k in range(2)):
        random = np.random.default_rng(number)
        smooth = ndimage.gaussian_filter(random.standard_normal(tuple(shape)), max(1.0, min(shape) / 16))
        rank = (smooth - smooth.min()) / np.ptp(smooth)
        seeds = random.uniform(0, shape, (max(2, task["labels"]), dims))
        label = spatial.cKDTree(seeds).query(np.moveaxis(np.indices(tuple(shape)), 0, -1))[1]
        waves = [np.sin(2 * np.pi * (axis / max(shape) + number / 6)) for axis in np.indices(tuple(shape))]
        parts = {
            "image": rank,
            "label": label,
            "instances": label,
            "mask": rank > 0.2,
            "unmatched": rank > 0.95,
            "field": np.stack(waves, -1),
            "landmarks": np.full((10, dims), min(shape) / 2),
        }
        there = {part: parts[part].astype(PARTS[part]) for part in PARTS if part in task["parts"]}
        np.savez(folder / "images" / f"{name}.npz", allow_pickle=False, **there)
    labels = {value: f"label {value}" for value in range(max(2, task["labels"]))}
    meta = {
        "name": "imitation",
        "spatial_dims": dims,
        "spacing": [1.0] * dims,
        "spacing_unit": "voxel",
        "shape": list(shape),
        "labels": labels,
        "evaluate": list(labels)[1:],
        "background": 0,
        "axes": "ij",
        "has": [part for part in PARTS if part in task["parts"]],
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(meta))
    rows = [f"{split}{k},{split},,," for split in splits for k in range(2)]
    (folder / "images.csv").write_text("\n".join(["id,split,group,subject,modality", *rows]) + "\n")
    # two pairs, because a batch of small volumes is convolved much faster than single ones
    pairs = [f"{split},{split}{k},{split}{1 - k}" for split in splits for k in range(2)]
    (folder / "pairs.csv").write_text("\n".join(["split,moving,fixed", *pairs]) + "\n")
    return Dataset.open(folder)


def _timed(action: Callable[[], object]) -> np.ndarray:
    """Return the core-seconds and seconds of an action, ``(2,)``."""
    core, wall = time.process_time(), time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return np.array([time.process_time() - core, time.perf_counter() - wall])


def _steps(run: Callable[[int], object], build: Callable[[], object]) -> tuple[np.ndarray, np.ndarray]:
    """Measure the cost of a step, and of the final validation, from trainings of different lengths."""
    run(1)  # libraries initialise for every new shape
    once = _timed(lambda: run(1))
    more = max(2, min(50, round(PATIENCE / max(once[1], 1e-3))))
    step = ((_timed(lambda: run(1 + more)) - once) / more).clip(0)
    return step, (once - step - _timed(build)).clip(0)


def _schedule(steps: int) -> Schedule:
    return Schedule(steps, learning_rate=1e-5, validate_every=steps, checkpoint_every=10**9)


def _extractor(name: str, recipe: Mapping[str, Any], dataset: Dataset, steps: int, scratch: Path) -> Path:
    """Pretrain an extractor for a number of steps."""
    architecture, outcome = pretrain(
        name,
        dataset,
        _schedule(steps),
        channels=recipe["channels"],
        norm=recipe["norm"],
        batch=recipe["batch"],
        seed=1,
        threads=recipe["threads"],
        checkpoint=scratch / "none",
    )
    weights = scratch / f"{name}.safetensors"
    save_weights(outcome.weights, weights)
    write_json(weights.with_suffix(".json"), {"architecture": architecture})
    return weights


def _weights(needs: Mapping[str, Any], dataset: Dataset, scratch: Path) -> Path:
    """Return weights for the extractor of a loss: trained for one step, published, or random ones of that size."""
    if "recipe" in needs:
        return _extractor(needs["name"], needs["recipe"], dataset, 1, scratch)
    return Path(needs["weights"]) if needs["weights"] else _published(needs["name"], scratch)


def _published(name: str, scratch: Path) -> Path:
    """Write random weights for an extractor of the published size.

    Raises:
        AttributeError: if its module has no ``FULL``; the cost of the training then stays unknown.
    """
    module = import_module(f"likeness.extractors.{name}")
    weights = scratch / f"{name}.safetensors"
    save_weights(module.build(module.FULL).state_dict(), weights)
    write_json(weights.with_suffix(".json"), {"architecture": {**module.FULL, "name": name}})
    return weights


def _pretrain(task: Mapping[str, Any], dataset: Dataset, scratch: Path) -> _Took:
    name, recipe = task["name"], task["recipe"]
    weights = _extractor(name, recipe, dataset, 1, scratch)
    step, check = _steps(
        lambda steps: _extractor(name, recipe, dataset, steps, scratch), lambda: extractors.load(weights)
    )
    # both images of the split are used for validation
    return _Took(NOTHING, step, check / 2, weights.stat().st_size / 1e6)


def _train(task: Mapping[str, Any], dataset: Dataset, scratch: Path) -> _Took:
    told, lam = dict(task["recipe"]), {"scale": task["recipe"]["scale"], "grid": [1.0]}
    recipe = Recipe.of({**told, "lambda": lam, **vars(_schedule(1))})
    needs = task.get("extractor")
    weights = _weights(needs, dataset, scratch) if needs else None
    loss = NetworkTask(dataset, task["loss"], task["options"], weights, recipe, seed=1)

    def run(steps: int) -> None:
        loss.recipe = replace(recipe, schedule=_schedule(steps))
        loss.train(1.0, scratch / "none", "measured")

    step, check = _steps(run, loss.build)
    balance = _timed(loss.balance) if recipe.scale == "balanced" else NOTHING
    size = 4e-6 * sum(p.numel() for p in loss.build().parameters())
    return _Took(BALANCED * balance / len(loss.pairs), step, check / len(loss.validated), size)


def _optimise(task: Mapping[str, Any], dataset: Dataset, scratch: Path) -> _Took:
    """Measure evaluations of the objective at the finest level, with the study's batch size."""
    recipe = OptimisationRecipe.of({**task["recipe"], "tolerance": 1e-30})
    needs = task.get("extractor")
    weights = _weights(needs, dataset, scratch) if needs else None
    device = make_device(recipe.threads)
    objective = Objective(dataset, task["loss"], task["options"], weights, device, seed=1)
    optimiser = Optimiser(objective.loss, dataset.shape, dataset.spacing, recipe, device)
    pairs = [dataset.pairs_of("test")[k % 2] for k in range(recipe.batch)]
    level = optimiser.levels[-1]

    def run(evaluations: int) -> None:
        effort = replace(level.effort, cap=evaluations)
        start = optimiser.nothing(len(pairs))
        optimiser.optimise(lambda _: objective.registration(pairs), start, 1.0, level._replace(effort=effort))

    step, _ = _steps(run, lambda: None)
    balance = _timed(lambda: objective.balance(recipe.batch)) if recipe.scale != "raw" else NOTHING
    path = scratch / "fields"
    control = np.random.default_rng(1).standard_normal((*level.control, dataset.spatial_dims))
    fields.write_parameters(path, 1.0, "a", "b", control)
    [file] = path.glob("*/*.npz")
    return _Took(BALANCED * balance / len(pairs), step / len(pairs), NOTHING, file.stat().st_size / 1e6)


def _classical(task: Mapping[str, Any], dataset: Dataset, scratch: Path) -> _Took:
    loader, (moving, fixed) = Loader(dataset, make_device(1)), dataset.pairs_of("test")[0]
    pair = [classical.channels(loader.images([id]), None) for id in (moving, fixed)]
    recipe = classical.Recipe(**task["recipe"])
    register = classical.registration(recipe)

    def run() -> None:
        save(scratch / "field.npz", register(pair[0], pair[1], dataset.spacing, recipe.path[-1], scratch))

    run()
    return _Took(NOTHING, _timed(run), NOTHING, (scratch / "field.npz").stat().st_size / 1e6)


def _register(task: Mapping[str, Any], dataset: Dataset, scratch: Path) -> _Took:
    recipe = task["recipe"]
    loader = Loader(dataset, make_device(recipe["threads"]))
    network = networks.build(recipe["network"], dataset.shape, **recipe["architecture"]).eval()
    for parameter in list(network.parameters())[-2:]:
        # the last convolution; the fields of an untrained network are almost zero, which compresses too well
        nn.init.normal_(parameter)
    path, pairs = scratch / "field.npz", dataset.pairs_of("test")

    def run() -> None:
        for _, field in displacements(loader, network, pairs, recipe["batch"]):
            save(path, field)

    run()
    return _Took(NOTHING, _timed(run) / len(pairs), NOTHING, path.stat().st_size / 1e6)


def _score(task: Mapping[str, Any], dataset: Dataset, scratch: Path) -> _Took:  # noqa: ARG001
    moving, fixed = dataset.pairs_of("test")[0]
    noise = np.random.default_rng(1).standard_normal((*dataset.shape, dataset.spatial_dims))
    field = 8 * ndimage.gaussian_filter(noise, (*[4.0] * dataset.spatial_dims, 0)).astype(np.float32)

    def fresh() -> PairScorer:
        scorer = PairScorer(dataset, dataset.load(moving), dataset.load(fixed))
        scorer.score(field)
        return scorer

    scorer = fresh()
    tested, validated = (_timed(partial(scorer.score, field, costly)) for costly in (True, False))
    unit = task["tested"] * tested + (1 - task["tested"]) * validated
    return _Took(NOTHING, unit, (_timed(fresh) - tested).clip(0), None)


_MEASURES = {
    "pretrain": _pretrain,
    "train": _train,
    "optimise": _optimise,
    "classical": _classical,
    "register": _register,
    "score": _score,
}
