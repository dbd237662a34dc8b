"""Our per-pair optimisation as a contestant: the library is called as a study does, pair by pair.

The levels of its path are fixed on validation pairs by the roughness of their fields, as in every study, and are then
weights of the regulariser. A pair is registered along the whole path, each level from where the last one ended. What a
single level takes from the identity is timed beside it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from likeness.config.study import Study
from likeness.data.store import Dataset
from likeness.fields import Fields
from likeness.losses.base import Registration
from likeness.methods.objective import Objective
from likeness.methods.optimisation import REGULARISERS, Level, Optimiser, Recipe, through
from likeness.methods.path import RegularisationPath
from likeness.methods.search import Found
from likeness.training.device import make_device

CONFIG = Path(__file__).parents[1] / "config" / "real.yaml"
"""Where the kernel of each real dataset stands, and all else that a study of them says of an optimisation."""
SEED = 1
LEVELS = [0.1, 0.2, 0.3, 0.4, 0.6]
"""Roughness of the path: peers end between .4 and .7 on two of the datasets, and no row is rougher than its peer."""


class Entry(NamedTuple):
    """What registers: a loss and its options."""

    loss: str
    options: dict[str, Any]

    @classmethod
    def of(cls, contestant: str) -> Entry:
        """Read the name of a contestant: ``optimisation-<loss>``, then ``-<option>=<value>`` for others."""
        loss, *options = contestant.removeprefix("optimisation-").split("-")
        stated = dict(option.split("=", 1) for option in options)
        return cls(loss, {key: yaml.safe_load(value) for key, value in stated.items()})

    def __str__(self) -> str:
        return " ".join([self.loss, *(f"{key}={value}" for key, value in self.options.items())])


class Step(NamedTuple):
    """A level of the path: the roughness that names it, the weight λ of it, whether any weight makes such fields."""

    roughness: float
    weight: float
    attained: bool


class Made(NamedTuple):
    """The field of a level, the seconds since the start of the path, and the evaluations of the objective at it."""

    field: np.ndarray
    seconds: float
    evaluations: int


def recipe(dataset: str, entry: Entry, threads: int) -> dict[str, Any]:
    """Give everything that decides an optimisation, as the study of the real datasets has it, but for the levels.

    A dataset that this study does not know is optimised by its defaults for all of them.
    """
    stated = yaml.safe_load(CONFIG.read_text())
    own = (stated["datasets"].get(dataset) or {}).get("optimisation", {})
    common = {**stated["optimisation"], "lambda": {"grid": LEVELS}}
    # the name of a built-in dataset, since the folders of a study have to be there
    study = {
        "title": "The race",
        "results": "results",
        "threads": threads,
        "datasets": {"cells": {"optimisation": own}},
        "losses": {entry.loss: {"options": entry.options} if entry.options else None},
        "methods": {"optimisation": None},
        "optimisation": common,
    }
    return Study.load(study, str(CONFIG)).optimisation("cells", "optimisation", entry.loss)


class Optimisation:
    """Registers pairs of one dataset with one loss.

    Args:
        dataset: the prepared dataset.
        entry: the loss.
        threads: of the processor.
    """

    def __init__(self, dataset: Dataset, entry: Entry, threads: int) -> None:
        self.dataset = dataset
        self.entry = entry
        self.recipe = Recipe.of(recipe(dataset.name, entry, threads))
        self.device = make_device(threads)
        self.objective = self._objective(dataset)
        self.optimiser = Optimiser(self.objective.loss, dataset.shape, dataset.spacing, self.recipe, self.device)

    def _objective(self, dataset: Dataset) -> Objective:
        regulariser = REGULARISERS[self.recipe.regulariser]
        return Objective(dataset, self.entry.loss, self.entry.options, None, self.device, SEED, regulariser)

    def levels(self, pairs: Sequence[tuple[str, str]], work: Path) -> tuple[list[Step], Fields]:
        """Fix the levels of the path on validation pairs.

        Args:
            pairs: moving, fixed.
            work: folder of the search, which survives an interruption, and of the fields.
        """
        # a path that may not score its levels adds none beyond the weakest: as many trials as a peer has
        chosen = pd.DataFrame(pairs, columns=["moving", "fixed"]).assign(split="test")
        train = self.dataset.pairs[self.dataset.pairs.split == "train"]
        alone = replace(self.dataset, pairs=pd.concat([train, chosen], ignore_index=True))
        folder = work / "fields"
        if not (folder / "fields.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            label = f"{self.dataset.name} {self.entry}"
            RegularisationPath(self._objective(alone), self.recipe, work, label).register(folder)
        found = Fields.open(folder)
        return [Step(s.lam or 0.0, s.weight or 0.0, s.attained and not s.diverged) for s in found.searches], found

    def along(self, pair: tuple[str, str], weights: Sequence[float]) -> list[Made]:
        """Register a pair along a path, each level from where the last one ended; images are read beforehand."""
        registration = self.objective.registration([pair])
        parameters, made = self.optimiser.nothing(1), []
        began = time.perf_counter()
        for number, weight in enumerate(weights):
            levels = self.optimiser.again if number else self.optimiser.levels
            found = through(levels, parameters, self._searched(registration, weight))
            field = next(self.optimiser.displacements(found.parameters))
            made.append(Made(field, time.perf_counter() - began, found.evaluations[0]))
            # what diverged starts anew
            parameters = found.parameters if found.parameters.isfinite().all() else self.optimiser.nothing(1)
        return made

    def _searched(self, registration: Registration, weight: float) -> Any:
        def searched(_: int, level: Level, so_far: Found) -> Found:
            return self.optimiser.optimise(lambda _: registration, so_far.parameters, weight, level)

        return searched
