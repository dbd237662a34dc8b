"""Registration training: balanced weights, an objective that falls, resumption, divergence, what is on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from builders import make_dataset

from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.geometry import diffusion_energy, warp
from likeness.methods import network
from likeness.methods.network import NetworkTask, Recipe, train_grid
from likeness.methods.prediction import displacements, load_network
from likeness.training.augmentation import Augmentation
from likeness.training.trainer import Schedule, Trainer
from likeness.userinput.errors import UserError

SCHEDULE = Schedule(steps=6, learning_rate=0.002, validate_every=3, checkpoint_every=2)
ARCHITECTURE = {"channels": [4, 8], "norm": "none"}
RECIPE = Recipe("voxelmorph", ARCHITECTURE, SCHEDULE, batch=2, grid=(0.3, 1.0))
WHO = {"dataset": "tiny", "method": "voxelmorph", "loss": "mse", "variant": "default", "seed": 1}


class Killed(BaseException):
    """Stands for a job that is cut off."""


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("flat")
    make_dataset(folder / "raw", 2, 32, with_mask=True, amplitude=2.5)
    prepare(folder / "raw", folder / "data")
    return Dataset.open(folder / "data")


@pytest.fixture(scope="module")
def solid(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("solid")
    make_dataset(folder / "raw", 3, 24, with_label=False, with_landmarks=True, labels=None, evaluate=None)
    prepare(folder / "raw", folder / "data")
    return Dataset.open(folder / "data")


def task(dataset: Dataset, loss: str = "mse", **changes: Any) -> NetworkTask:
    return NetworkTask(dataset, loss, {}, None, replace(RECIPE, **changes), seed=1)


def contents(paths: list[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.parametrize("loss", ["mse", "ncc", "nmi", "mind"])
def test_at_the_balanced_weight_both_terms_pull_equally(flat: Dataset, loss: str) -> None:
    """Median over pairs of the ratio of the gradients' norms; measured here on displacements of the test's own."""
    job = task(flat, loss)
    weight = job.balance()
    ratios = []
    for k, pair in enumerate(job.pairs):
        batch = job.objective.registration([pair])
        source = torch.Generator().manual_seed(100 + k)
        coarse = torch.randn(1, 2, 4, 4, generator=source)
        start = torch.nn.functional.interpolate(coarse, flat.shape, mode="bilinear", align_corners=True)
        batch.displacement = start.requires_grad_()
        values = job.objective.values(batch, 0.0)
        pulls = [torch.autograd.grad(values[part], start)[0].norm() for part in ("dissimilarity", "smoothness")]
        ratios.append(float(pulls[0] / (weight * pulls[1])))
    assert 0.5 < np.median(ratios) < 2


def test_the_balanced_weight_scales_with_the_loss(flat: Dataset) -> None:
    """Ten times the dissimilarity gives ten times λ₀, and so the same training: scales of losses do not matter."""
    plain, scaled = task(flat), task(flat)
    forward = scaled.objective.loss.forward
    scaled.objective.loss.forward = lambda pair: 10 * forward(pair)  # type: ignore[method-assign]
    assert scaled.balance() == pytest.approx(10 * plain.balance(), rel=1e-5)


def test_raw_weights_are_the_regularisation_weights(flat: Dataset, tmp_path: Path) -> None:
    train_grid(task(flat, scale="raw", grid=(0.25,)), tmp_path, WHO)
    found = json.loads((tmp_path / "training.json").read_text())
    assert found["lambda_0"] == 1
    assert found["grid"][0]["raw"] == 0.25


def test_the_objective_of_a_pair_is_dissimilarity_plus_weighted_smoothness(flat: Dataset) -> None:
    job = task(flat)
    pair = job.objective.registration(job.pairs[:2])
    pair.displacement = torch.randn(pair.displacement.shape, generator=torch.Generator().manual_seed(0))
    values = job.objective.values(pair, 0.7)
    moved = warp(pair.moving, pair.displacement)
    for k in range(2):
        smoothness = diffusion_energy(pair.displacement[[k]], flat.spacing)
        expected = (moved[k] - pair.fixed[k]).square().mean() + 0.7 * smoothness[0]
        assert torch.allclose(values["loss"][k], expected)
    assert {key: len(of_pairs) for key, of_pairs in values.items()} == {"loss": 2, "dissimilarity": 2, "smoothness": 2}


@pytest.mark.parametrize("loss", ["mse", "nmi", "mind"])
def test_the_balanced_weight_does_not_depend_on_the_batch(flat: Dataset, loss: str) -> None:
    objective = task(flat, loss).objective
    assert objective.balance(1) == pytest.approx(objective.balance(3), rel=1e-5)


def test_a_training_is_validated_by_the_mean_over_pairs_whatever_the_batch(flat: Dataset, tmp_path: Path) -> None:
    """Of a network that stays as it starts."""
    curves = []
    for batch in (1, 3):
        job = task(flat, batch=batch, schedule=Schedule(1, 0.0, 1))
        assert len(job.validated) % 3, "the last batch must have fewer pairs"
        curve = job.train(1.0, tmp_path / "c", "test").curve
        curves.append({point.quantity: point.value for point in curve if point.quantity.startswith("val_")})
    assert set(curves[0]) == {"val_loss", "val_dissimilarity", "val_smoothness", "val_score"}
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)


def test_augmentation_is_joint_and_a_function_of_the_step(flat: Dataset) -> None:
    job = task(flat, augmentation=Augmentation(rotation=30, flip=True))
    first, again, later = (
        job.objective.registration([job.pairs[0]] * 2, step, job.recipe.augmentation) for step in (3, 3, 4)
    )
    assert torch.equal(first.moving, again.moving)
    assert not torch.equal(first.moving, later.moving)
    plain = job.objective.registration([job.pairs[0], job.pairs[0]])
    assert first.moving_mask is not None
    assert first.moving_label_map is not None
    # what was inside the object is inside it still, for images and maps alike
    assert ((first.moving_label_map > 0) == (first.moving_mask > 0.5)).float().mean() > 0.95
    assert not torch.equal(first.moving, plain.moving)


@pytest.mark.parametrize("dims", [2, 3])
def test_training_lowers_the_validation_loss(flat: Dataset, solid: Dataset, tmp_path: Path, dims: int) -> None:
    job = task({2: flat, 3: solid}[dims], schedule=Schedule(30, 0.005, 10), grid=(0.1,))
    outcome = job.train(0.1 * job.balance(), tmp_path / "c", "test")
    losses = {point.step: point.value for point in outcome.curve if point.quantity == "val_loss"}
    assert losses[30] < losses[10]
    scores = [point.value for point in outcome.curve if point.quantity == "val_score"]
    assert np.isfinite(scores).all()


def test_a_grid_leaves_a_record_curves_and_a_network_per_weight(flat: Dataset, tmp_path: Path) -> None:
    done = train_grid(task(flat), tmp_path / "work", WHO)
    assert [path.name for path in done] == ["training.json", "curves.csv", "0.3.safetensors", "1.safetensors"]
    found = json.loads(done[0].read_text())
    assert [entry["lam"] for entry in found["grid"]] == [0.3, 1.0]
    for entry in found["grid"]:
        assert entry["raw"] == pytest.approx(entry["lam"] * found["lambda_0"])
        assert entry["diverged_at"] is None
    curves = pd.read_csv(done[1])
    assert list(curves.columns) == [*WHO, "lam", "step", "quantity", "value"]
    assert set(curves.step) == {3, 6}
    assert set(curves.lam) == {0.3, 1.0}


@pytest.mark.parametrize("cut", [1, 3, 6, 9])
def test_a_killed_job_resumes_to_the_same_bytes(flat: Dataset, tmp_path: Path, monkeypatch, cut: int) -> None:
    """Cut after some updates in all: in the first training, at its end, in the second one."""
    whole = contents(train_grid(task(flat), tmp_path / "whole", WHO))
    update, made = Trainer._update, 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal made
        if made == cut:
            raise Killed
        made += 1
        return update(*arguments)

    monkeypatch.setattr(Trainer, "_update", interrupted)
    with pytest.raises(Killed):
        train_grid(task(flat), tmp_path / "cut", WHO)
    monkeypatch.setattr(Trainer, "_update", update)
    assert contents(train_grid(task(flat), tmp_path / "cut", WHO)) == whole


def test_a_finished_weight_is_not_trained_again(flat: Dataset, tmp_path: Path, monkeypatch) -> None:
    before = contents(train_grid(task(flat), tmp_path, WHO))
    monkeypatch.setattr(Trainer, "fit", lambda *_: pytest.fail("trained again"))
    assert contents(train_grid(task(flat), tmp_path, WHO)) == before


def test_a_diverged_weight_is_recorded_and_the_others_are_trained(flat: Dataset, tmp_path: Path) -> None:
    done = train_grid(task(flat, grid=(1e38, 0.5)), tmp_path, WHO)
    first, second = json.loads(done[0].read_text())["grid"]
    assert (first["diverged_at"], first["file"]) == (0, None)
    assert (second["diverged_at"], second["file"]) == (None, "0.5.safetensors")
    assert [path.name for path in done[2:]] == ["0.5.safetensors"]


def test_curves_of_a_training_that_diverged_at_once_have_columns(flat: Dataset, tmp_path: Path) -> None:
    done = train_grid(task(flat, grid=(1e38,)), tmp_path, WHO)
    assert list(pd.read_csv(done[1]).columns) == [*WHO, "lam", "step", "quantity", "value"]


@pytest.fixture
def models(flat: Dataset, tmp_path: Path) -> Path:
    train_grid(task(flat), tmp_path, WHO)
    recipe = {"network": "voxelmorph", "architecture": ARCHITECTURE}
    (tmp_path / "provenance.json").write_text(json.dumps({"recipe": recipe}))
    return tmp_path


def test_a_trained_network_predicts_the_fields_of_all_pairs(flat: Dataset, models: Path) -> None:
    network = load_network(models, "1.safetensors", flat.shape)
    pairs = flat.pairs_of("test")
    loader = task(flat).objective.loader
    found = dict(displacements(loader, network, pairs, 2))
    assert list(found) == pairs
    for pair, field in displacements(loader, network, pairs, 1):
        np.testing.assert_allclose(found[pair], field, atol=1e-5, err_msg="what else is in the batch plays no part")
    for field in found.values():
        assert field.shape == (*flat.shape, 2)
        assert field.dtype == np.float32


def test_weights_of_another_architecture_are_refused(flat: Dataset, models: Path) -> None:
    other = {"network": "voxelmorph", "architecture": ARCHITECTURE | {"channels": [4, 4]}}
    (models / "provenance.json").write_text(json.dumps({"recipe": other}))
    with pytest.raises(
        UserError, match=r"1\.safetensors: contains weights of another architecture than the study's; delete"
    ):
        load_network(models, "1.safetensors", flat.shape)


def test_a_training_is_validated_by_at_most_a_dozen_pairs(flat: Dataset, monkeypatch) -> None:
    monkeypatch.setattr(network, "VALIDATED", 1)
    assert len(task(flat).validated) == 1
