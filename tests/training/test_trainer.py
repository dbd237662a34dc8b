"""Training: a function of (seed, step), resumable, honest about divergence."""

import os
import pickle
import signal
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from likeness.training.device import make_device
from likeness.training.randomness import generator, shuffled
from likeness.training.trainer import Schedule, Trainer
from likeness.userinput.errors import UserError


@given(st.integers(1, 20), st.integers(1, 7), st.integers(0, 5))
def test_every_item_is_seen_equally_often(items: int, batch: int, seed: int) -> None:
    seen = Counter(int(i) for step in range(items) for i in shuffled(items, batch, seed, step))
    assert set(seen) == set(range(items))
    assert set(seen.values()) == {batch}


def test_epochs_differ_and_seeds_differ() -> None:
    assert list(shuffled(50, 50, 0, 0)) != list(shuffled(50, 50, 0, 1))
    assert list(shuffled(50, 50, 0, 0)) != list(shuffled(50, 50, 1, 0))


def test_randomness_is_a_function_of_its_key() -> None:
    draws = [torch.rand(3, generator=generator("cpu", *key)) for key in [(1, 2), (1, 2), (2, 1), (1, 3)]]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])


class Cut(Exception):
    """Stands for a killed job."""


def fit(checkpoint: Path, steps: int = 20, cut: int | None = None, blow_up: int | None = None, told: int | None = None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1))
    trainer = Trainer(make_device(), Schedule(steps, 0.01, 5, checkpoint_every=4, patience=1), checkpoint, "test")

    def step(index: int):
        if index == cut:
            raise Cut
        if index == told:
            os.kill(os.getpid(), signal.SIGTERM)
        x = torch.rand(4, 3, generator=generator("cpu", 7, index))
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        return {"loss": loss * float("nan") if index == blow_up else loss}

    def validate():
        x = torch.rand(16, 3, generator=generator("cpu", 8))
        return {"loss": float((model(x) - x.sum(1, keepdim=True)).square().mean())}

    return trainer.fit(model, step, validate)


@pytest.mark.parametrize("cut", [1, 4, 9, 19])
def test_a_resumed_training_ends_like_an_undisturbed_one(tmp_path: Path, cut: int) -> None:
    whole = fit(tmp_path / "whole")
    with pytest.raises(Cut):
        fit(tmp_path / "cut", cut=cut)
    resumed = fit(tmp_path / "cut")
    assert resumed.curve == whole.curve
    assert resumed.best_step == whole.best_step
    assert all(torch.equal(resumed.weights[k], v) for k, v in whole.weights.items())


@pytest.mark.parametrize("told", [1, 4, 19])
def test_a_training_that_is_told_to_stop_ends_after_the_step_and_goes_on_from_there(tmp_path: Path, told: int) -> None:
    whole = fit(tmp_path / "whole")
    with pytest.raises(SystemExit, match=f"told to stop; step {told + 1} is saved"):
        fit(tmp_path / "told", told=told)
    resumed = fit(tmp_path / "told")
    assert resumed.curve == whole.curve
    assert all(torch.equal(resumed.weights[k], v) for k, v in whole.weights.items())


class Evil:
    """Unpickled, it leaves a file behind."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return Path.touch, (self.place,)


def test_a_checkpoint_that_is_none_is_refused_and_not_run(tmp_path: Path) -> None:
    checkpoint = tmp_path / "c"
    with pytest.raises(Cut):
        fit(checkpoint, cut=9)
    whole = checkpoint.read_bytes()
    torch.save({"model": Evil(tmp_path / "ran")}, tmp_path / "evil")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other")
    torch.save(torch.load(checkpoint) | {"model": nn.Linear(2, 2).state_dict()}, tmp_path / "architecture")
    broken = [b"", b"hello", whole[: len(whole) // 2], pickle.dumps(Evil(tmp_path / "ran"))]
    for content in [*broken, *((tmp_path / name).read_bytes() for name in ("evil", "other", "architecture"))]:
        checkpoint.write_bytes(content)
        with pytest.raises(
            UserError, match=rf"^{checkpoint}: is not a checkpoint of this training \(\w+\); delete it and run"
        ):
            fit(checkpoint)
        assert checkpoint.read_bytes() == content
    assert not (tmp_path / "ran").exists()


def test_training_lowers_the_loss_and_keeps_the_best_weights(tmp_path: Path) -> None:
    outcome = fit(tmp_path / "c", steps=60)
    values = {p.step: p.value for p in outcome.curve if p.quantity == "val_loss"}
    assert values[outcome.best_step] == min(values.values()) < values[5]


def test_divergence_is_recorded_with_its_step(tmp_path: Path) -> None:
    assert fit(tmp_path / "c", blow_up=7).diverged_at == 7


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9))
def test_the_last_step_is_always_validated(steps: int, every: int) -> None:
    model = nn.Linear(1, 1)
    trainer = Trainer(make_device(), Schedule(steps, 0.01, every), Path("no-checkpoint"), "test")
    outcome = trainer.fit(model, lambda _: {"loss": model(torch.ones(1, 1)).square().sum()}, lambda: {"loss": 1.0})
    assert max(p.step for p in outcome.curve) == steps
