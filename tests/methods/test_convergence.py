"""A search that says it has converged: ten times its effort changes nothing. Losses are found by themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from likeness import extractors, losses
from likeness.config.study import Study
from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.datasets import recipes
from likeness.evaluation.pair import PrimaryScorer
from likeness.extractors import sources
from likeness.geometry import to_array, to_tensor, warp
from likeness.methods.objective import Objective
from likeness.methods.optimisation import Level, Optimiser, Recipe, through
from likeness.methods.search import Found

DEFAULTS = Study.load(
    {"title": "a", "datasets": {"mni-brain": None}, "losses": {"mse": None}, "methods": {"optimisation": None}}
)
MOST_DICE, MOST_ERROR = 0.002, 0.01
"""What may change, of Dice and as a share of the end-point error."""
MULTIPLE = 0.5
"""Of λ₀: fields are about as rough as those that validation chooses."""


NAMES = [name for name in losses.names() if 2 in losses.card(name)["dimensions"]]
SPACING = {name: 3 if sources.source(losses.card(name)["extractor"] or "") is None else 4 for name in NAMES}
"""In mm; networks that others have trained take long, and see coarser images."""


@pytest.fixture(scope="module")
def brains(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Dataset]:
    found = {}
    for spacing in set(SPACING.values()):
        folder = tmp_path_factory.mktemp("brains")
        recipes.make("mni-brain", folder / "raw", 1, spacing=spacing, train=3, val=3, test=3)
        prepare(folder / "raw", folder / "data")
        found[spacing] = Dataset.open(folder / "data")
    return found


def scores(dataset: Dataset, pair: tuple[str, str], displacement: np.ndarray) -> tuple[float, float]:
    """Give Dice of labels that are warped linearly, since single pixels of so coarse images count, and the error."""
    moving, fixed = (dataset.load(name) for name in pair)
    assert moving.label is not None
    assert fixed.label is not None
    dice = []
    for label in dataset.evaluate:
        one, other = (
            torch.from_numpy((image.label == label).astype(np.float32))[None, None] for image in (moving, fixed)
        )
        moved = warp(one, to_tensor(displacement))
        dice.append(float(2 * (moved * other).sum() / (moved.sum() + other.sum())))
    return float(np.nanmean(dice)), PrimaryScorer(dataset, moving, fixed).primary(displacement)


@pytest.mark.release
@pytest.mark.parametrize("name", NAMES)
def test_ten_times_the_effort_changes_nothing(name: str, brains: dict[int, Dataset]) -> None:
    wanted, dataset = losses.card(name)["extractor"], brains[SPACING[name]]
    objective = Objective(dataset, "mse", {}, None, torch.device("cpu"), 1)
    objective.loss = losses.build(name, **({} if wanted is None else {"extractor": extractors.tiny(wanted, 2)}))
    lam = MULTIPLE * objective.balance(2)
    recipe = Recipe.of(DEFAULTS.optimisation("mni-brain", "optimisation", "mse"))
    optimiser = Optimiser(objective.loss, dataset.shape, dataset.spacing, recipe, objective.device)
    pair = dataset.pairs_of("test")[0]

    def searched(level: Level, start: torch.Tensor) -> Found:
        return optimiser.optimise(lambda _: objective.registration([pair]), start, lam, level)

    *coarse, finest = optimiser.levels
    start = through(
        coarse, optimiser.nothing(1), lambda _, level, so_far: searched(level, so_far.parameters)
    ).parameters
    found = searched(finest, start)
    assert found.converged == [True]
    endless = replace(finest.effort, tolerance=0.0, cap=11 * found.evaluations[0])
    longer = searched(finest._replace(effort=endless), start)
    assert longer.evaluations[0] == endless.cap
    fields = [to_array(optimiser.transformation.displacement(one.parameters)) for one in (found, longer)]
    (dice, error), (dice_after, error_after) = (scores(dataset, pair, field) for field in fields)
    assert abs(dice_after - dice) <= MOST_DICE
    assert abs(error_after - error) <= MOST_ERROR * error
