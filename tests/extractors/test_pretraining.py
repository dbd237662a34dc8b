"""Pretrained extractors: trained on training images alone, resumable, frozen, refused where they do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from builders import make_dataset
from safetensors.torch import save_file

from likeness import extractors
from likeness.data.loading import Loader
from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.extractors import segmentation
from likeness.extractors.encoder import Batch
from likeness.extractors.pretraining import IGNORANCE, pretrain
from likeness.training.trainer import Outcome, Schedule, Trainer
from likeness.userinput.errors import UserError


class Killed(BaseException):
    """Stands for a job that is cut off."""


def prepared(folder: Path, dims: int, **parts: Any) -> Dataset:
    make_dataset(folder / "raw", dims, 32 if dims == 2 else 24, **parts)
    prepare(folder / "raw", folder / "data")
    return Dataset.open(folder / "data")


@pytest.fixture(scope="module", params=[2, 3], ids=["2D", "3D"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(tmp_path_factory.mktemp("data"), request.param)


def save(outcome: Outcome, architecture: dict[str, Any], folder: Path) -> Path:
    save_file({key: value.contiguous() for key, value in outcome.weights.items()}, folder / "w.safetensors")
    (folder / "w.json").write_text(json.dumps({"architecture": architecture}))
    return folder / "w.safetensors"


def train(name: str, dataset: Dataset, checkpoint: Path, steps: int = 6, rate: float = 0.005) -> tuple[dict, Outcome]:
    schedule = Schedule(steps, rate, max(1, steps // 3), checkpoint_every=2)
    return pretrain(
        name, dataset, schedule, channels=[4, 8], norm="batch", batch=2, seed=3, threads=1, checkpoint=checkpoint
    )


LEARNING = [name for name in extractors.PRETRAINED if name != "untrained"]
STAGED = [name for name in extractors.PRETRAINED if name != "denoiser"]


@pytest.mark.parametrize("name", LEARNING)
def test_pretraining_lowers_the_validation_loss(name: str, dataset: Dataset, tmp_path: Path) -> None:
    _, outcome = train(name, dataset, tmp_path / "c", steps=90)
    losses = [point.value for point in outcome.curve if point.quantity == "val_loss"]
    assert min(losses) < losses[0]


@pytest.mark.parametrize("name", LEARNING)
def test_the_curve_ends_with_what_one_loses_that_does_not_look(name: str, dataset: Dataset, tmp_path: Path) -> None:
    _, outcome = train(name, dataset, tmp_path / "c")
    assert [point.quantity for point in outcome.curve].count(IGNORANCE) == 1
    samples = [dataset.load(id) for id in dataset.images.index[dataset.images.split == "val"]]
    labels = [sample.label for sample in samples if sample.label is not None]
    taught = [np.where(np.isin(label, dataset.taught), label, 0) for label in labels]
    shares = {
        key: [np.unique(label, return_counts=True)[1] / label.size for label in maps]
        for key, maps in (("segmentation", labels), ("segmentation_half", taught))
    }
    expected = {
        "autoencoder": np.mean([sample.image.var() for sample in samples]),
        "denoiser": 1.0,
        **{key: np.mean([-(share * np.log(share)).sum() for share in found]) for key, found in shares.items()},
    }
    assert outcome.curve[-1].value == pytest.approx(expected[name], rel=1e-4)


@pytest.mark.parametrize("name", STAGED)
def test_what_was_written_is_loaded_frozen_with_one_map_per_stage(name: str, dataset: Dataset, tmp_path: Path) -> None:
    architecture, outcome = train(name, dataset, tmp_path / "c")
    loaded = extractors.load(save(outcome, architecture, tmp_path))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    features = loaded(Loader(dataset).images([dataset.images.index[0]]))
    assert [maps.shape[1] for maps in features] == [4, 8]
    assert features[0].shape[2:] > features[1].shape[2:]


def test_a_denoiser_is_loaded_and_gives_the_same_features_for_the_same_noise(dataset: Dataset, tmp_path: Path) -> None:
    architecture, outcome = train("denoiser", dataset, tmp_path / "c")
    loaded = extractors.load(save(outcome, architecture, tmp_path))
    image = Loader(dataset).images([dataset.images.index[0]])[..., :19, :11].flatten(0, -3)[:, None]
    features = [loaded(image, torch.Generator().manual_seed(seed), 60, ["up1", "middle"]) for seed in (1, 1, 2)]
    assert [maps.shape for maps in features[0]] == [(len(image), 4, 20, 12), (len(image), 8, 10, 6)]
    assert torch.equal(features[0][0], features[1][0])
    assert not torch.equal(features[0][0], features[2][0])


def test_an_untrained_extractor_is_a_function_of_the_seed_and_needs_no_labels(dataset: Dataset, tmp_path: Path) -> None:
    architecture, outcome = train("untrained", dataset, tmp_path / "c")
    _, again = train("untrained", dataset, tmp_path / "c")
    assert architecture["classes"] == 1
    assert not outcome.curve
    assert all(torch.equal(again.weights[key], value) for key, value in outcome.weights.items())


def test_half_of_the_labels_are_one_class_with_what_has_none(dataset: Dataset, tmp_path: Path) -> None:
    architecture, _ = train("segmentation_half", dataset, tmp_path / "c")
    assert sorted(dataset.taught + dataset.held_out) == sorted(dataset.evaluate)
    assert len(dataset.taught) == len(dataset.evaluate) // 2 > 0
    classes = dict(zip(sorted(dataset.labels), architecture["merged"], strict=True))
    assert {label for label, kept in classes.items() if kept} == set(dataset.taught)
    assert sorted(filter(None, classes.values())) == list(range(1, len(dataset.taught) + 1))


def test_weights_of_another_architecture_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    architecture, outcome = train("autoencoder", dataset, tmp_path / "c")
    written = save(outcome, architecture | {"channels": [4, 4]}, tmp_path)
    told = r"w\.safetensors: contains weights of another architecture than the study's; delete"
    with pytest.raises(ValueError, match=told):
        extractors.load(written)


def test_only_training_images_train_and_only_validation_images_judge(
    dataset: Dataset, tmp_path: Path, monkeypatch
) -> None:
    read: list[tuple[bool, str]] = []
    images = Loader.images

    def watched(loader: Loader, names: Any) -> torch.Tensor:
        read.extend((torch.is_grad_enabled(), str(name)) for name in names)
        return images(loader, names)

    monkeypatch.setattr(Loader, "images", watched)
    train("autoencoder", dataset, tmp_path / "c")
    splits = pd.Series(dataset.images.split)
    assert {splits[name] for trained, name in read if trained} == {"train"}
    assert {splits[name] for trained, name in read if not trained} == {"val"}


def test_a_killed_pretraining_resumes_to_the_same_weights(dataset: Dataset, tmp_path: Path, monkeypatch) -> None:
    _, whole = train("autoencoder", dataset, tmp_path / "whole")
    update, made = Trainer._update, 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal made
        if made == 3:
            raise Killed
        made += 1
        return update(*arguments)

    monkeypatch.setattr(Trainer, "_update", interrupted)
    with pytest.raises(Killed):
        train("autoencoder", dataset, tmp_path / "cut")
    monkeypatch.setattr(Trainer, "_update", update)
    _, resumed = train("autoencoder", dataset, tmp_path / "cut")
    assert all(torch.equal(resumed.weights[key], value) for key, value in whole.weights.items())
    assert resumed.curve == whole.curve


def test_a_diverged_pretraining_says_what_to_do(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"autoencoder on tiny diverged at step \d+; lower `pretraining.learning_rate`"):
        train("autoencoder", dataset, tmp_path / "c", steps=40, rate=1e30)


def test_an_autoencoder_needs_no_labels(tmp_path: Path) -> None:
    unlabelled = prepared(tmp_path, 3, with_label=False, with_landmarks=True, labels=None, evaluate=None)
    train("autoencoder", unlabelled, tmp_path / "a")


def test_a_segmentation_says_that_it_needs_labels() -> None:
    batch = Batch(torch.zeros(1, 1, 8, 8), None, torch.Generator())
    with pytest.raises(ValueError, match="needs a label map for every training and validation image"):
        segmentation.objective(extractors.tiny("segmentation", 2), batch)
