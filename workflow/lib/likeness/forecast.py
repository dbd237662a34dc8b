"""What a study will take, roughly, before it runs.

The cost of a step is modelled from the network's width and the number of voxels; a former run of the same study gives
the true cost of its jobs instead.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from likeness import losses
from likeness.configuration import Study
from likeness.data import layout, recipes
from likeness.data.images import read
from likeness.data.pairs import complete

START = 7.0
"""Core-seconds that a job takes before and after its work."""
STEP = {2: 1.0e-6, 3: 1.2e-6}
"""Core-seconds per voxel, pair and step of a network with 16 (2D) or 8 (3D) channels in its first stage."""
WIDTH = {2: 16, 3: 8}
SCORE = {2: 1.5e-6, 3: 1.2e-6}
"""Core-seconds per voxel of a field that is predicted, written and scored."""


@dataclass(frozen=True)
class Forecast:
    """Core-seconds without a GPU, gigabytes on disk at the end and at most, and what the estimate is based on."""

    core_seconds: float
    kept_gb: float
    peak_gb: float
    basis: str


def _measured(study: Study) -> dict[tuple[str, ...], float]:
    """Read the seconds of the trainings of a former run."""
    table = Path(study.results) / "tables" / "runtime.csv"
    if not table.is_file():
        return {}
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["rule"] == "train"]
    keys = ("dataset", "network", "loss", "variant", "seed")
    return {tuple(row[k] for k in keys): float(row["cpu_seconds"]) for row in rows}


def _step_seconds(dims: int, voxels: int, batch: int, width: int) -> float:
    return STEP[dims] * voxels * batch * max(1.0, width / WIDTH[dims]) ** 1.5


def _size(study: Study, name: str) -> tuple[tuple[int, ...], int, int]:
    """Give the shape of a dataset's images, their number, and the number of validation and test pairs."""
    entry = study.config["datasets"][name]
    if "folder" not in entry:
        return recipes.size(entry.get("recipe", name), entry["options"])
    raw = layout.check_tables(entry["folder"])
    first = raw.folder / str(raw.subjects["image"].iloc[0])
    image, _ = read(first, raw.meta["spatial_dims"])
    pairs = complete(raw.subjects, raw.pairs, raw.meta["pairs"], entry["seed"])
    return image.shape, len(raw.subjects), int(pairs.split.isin(["val", "test"]).sum())


def forecast(study: Study) -> Forecast:
    """Estimate a whole study from nothing."""
    known = _measured(study)
    seconds = START * (3 * len(study.datasets) + 9)
    fields = data = largest = 0.0
    for name in study.datasets:
        shape, images, pairs = _size(study, name)
        dims, voxels = len(shape), math.prod(shape)
        data += 8.0 * voxels * images * (3 + dims)
        runs = [run for run in study.runs() if run[0] == name]
        budget = study.pretraining(name)
        step = _step_seconds(dims, voxels, budget["batch"], budget["channels"][0])
        needed = {(e, run[4]) for run in runs if (e := losses.card(run[2])["extractor"])}
        seconds += len(needed) * (START + budget["steps"] * step)
        for run in runs:
            budget = study.training(*run[:3])
            step = _step_seconds(dims, voxels, budget["batch"], budget["architecture"]["channels"][0])
            weights = len(budget["grid"])
            seconds += known.get(tuple(map(str, run)), START + budget["steps"] * step * weights)
            seconds += 2 * START + SCORE[dims] * voxels * pairs * weights
            written = 4.0 * dims * voxels * pairs * weights
            fields, largest = fields + written, max(largest, written)
    kept = data + (fields if study.config["keep_fields"] else 0.0)
    basis = "trainings as in the last run" if known else "a rough model, good to a factor of two"
    return Forecast(seconds, kept / 1e9, (kept + 2 * largest) / 1e9, basis)
