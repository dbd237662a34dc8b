"""What a method minimises: a scale λ₀ that runs share, noise that is a run's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from builders import make_dataset

from likeness import extractors, losses
from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.methods.objective import Objective

NOISY = [name for name in losses.names() if losses.draws_noise(name, 2)]


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder: Path = tmp_path_factory.mktemp("flat")
    make_dataset(folder / "raw", 2, 32, with_mask=True, with_unmatched=True)
    prepare(folder / "raw", folder / "data")
    return Dataset.open(folder / "data")


@pytest.mark.parametrize("name", NOISY)
def test_runs_with_other_noise_have_the_same_scale(name: str, flat: Dataset) -> None:
    found = []
    for seed in (1, 2):
        objective = Objective(flat, "mse", {}, None, torch.device("cpu"), seed)
        wanted = losses.card(name)["extractor"]
        objective.loss = losses.build(name, **({} if wanted is None else {"extractor": extractors.tiny(wanted, 2)}))
        pair = objective.registration(flat.pairs_of("test")[:1])
        found.append((objective.balance(2), float(objective.loss(pair).detach())))
    (scale, value), (other_scale, other_value) = found
    assert value != other_value, "the noise is the seed's"
    assert scale == other_scale


def test_a_pair_has_every_part_of_both_images(flat: Dataset) -> None:
    moving, fixed = flat.pairs_of("test")[0]
    pair = Objective(flat, "mse", {}, None, torch.device("cpu"), 1).registration([(moving, fixed)])
    for side, name in (("moving", moving), ("fixed", fixed)):
        sample = flat.load(name)
        for part, expected in (("label_map", sample.label), ("mask", sample.mask), ("unmatched", sample.unmatched)):
            found = getattr(pair, f"{side}_{part}")
            assert found.shape == pair.fixed.shape
            np.testing.assert_array_equal(found[0, 0].numpy(), expected)
