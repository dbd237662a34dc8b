"""Methods by name: every kind has a complete card, and a study knows its methods by the names that it gives them."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.colors import is_color_like

from likeness import networks
from likeness.config import study
from likeness.config.entries import configuration
from likeness.config.study import Study
from likeness.methods import kinds
from likeness.methods.kinds import UNREGISTERED
from likeness.results import Run
from likeness.userinput.errors import UserError

SMALL: dict[str, Any] = {"title": "small", "datasets": {"mni-brain": None}, "losses": {"mse": None}}


@pytest.mark.parametrize("kind", [*kinds.names(), UNREGISTERED])
def test_the_card_of_every_kind_is_complete(kind: str) -> None:
    card = kinds.card(kind)
    assert all(isinstance(card[key], bool) for key in ("uses_loss", "has_lam", "seeded", "trained", "optimised"))
    assert card["trained"] == (kind in networks.names())
    assert is_color_like(card["colour"])
    made = kinds.method(kind)
    assert kinds.of({"a": made.plain("order", "has_lam")})["a"].has_lam == made.has_lam
    assert made.title == card["title"]


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="there is no method of the kind 'voxel'; available: "):
        kinds.card("voxel")


def test_two_settings_of_one_kind_are_two_methods() -> None:
    named = {"voxelmorph": None, "narrow": {"kind": "voxelmorph", "channels_2d": [4, 8]}}
    study = Study.load(SMALL | {"methods": named})
    assert list(study.runs()) == [Run("mni-brain", name, "mse", "default", 1) for name in named]
    assert [Run(*training) for training in study.trainings()] == list(study.runs())
    narrow = study.training("mni-brain", "narrow", "mse")
    assert narrow["network"] == "voxelmorph"
    assert narrow["architecture"]["channels"] == [4, 8]
    assert study.methods["narrow"].title == "narrow"


LOOK = {"title": "x", "order": 1, "colour": "#000000", "marker": "o", "trained": False, "optimised": False}
CARD = {**LOOK, "path": None, "settings": {}}


def make_up(monkeypatch: pytest.MonkeyPatch, said: dict[str, Any]) -> None:
    """Let there be a kind of method with a card of its own."""
    known, names = kinds.card, kinds.names()
    monkeypatch.setattr(kinds, "card", lambda kind: {**CARD, **said} if kind == "made_up" else known(kind))
    monkeypatch.setattr(kinds, "names", lambda: [*names, "made_up"])
    # the model of all configurations is made anew for this test alone
    monkeypatch.setattr(study, "configuration", configuration.__wrapped__)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"uses_loss": False, "has_lam": False, "seeded": False}, [(None, None)]),
        ({"uses_loss": False, "has_lam": True, "seeded": True}, [(None, 1), (None, 2)]),
        (
            {"uses_loss": True, "has_lam": True, "seeded": True},
            [("mse", 1), ("mse", 2), ("deepsim_ae", 1), ("deepsim_ae", 2)],
        ),
        # the extractor of deepsim_ae is trained here, and its seed is the run's
        (
            {"uses_loss": True, "has_lam": True, "seeded": False},
            [("mse", None), ("deepsim_ae", 1), ("deepsim_ae", 2)],
        ),
    ],
    ids=["given", "drawing", "network", "drawn"],
)
def test_a_method_has_the_runs_that_its_card_says(said: dict[str, Any], expected: list, monkeypatch) -> None:
    make_up(monkeypatch, said)
    config = SMALL | {"methods": {"made_up": None}, "losses": {"mse": None, "deepsim_ae": None}, "seeds": [1, 2]}
    study = Study.load(config)
    assert [(run.loss, run.seed) for run in study.runs()] == expected
    assert list(study.trainings()) == []


def test_a_loss_that_draws_noise_in_volumes_alone_has_seeds_there_alone(monkeypatch) -> None:
    make_up(monkeypatch, {"uses_loss": True, "has_lam": True, "seeded": False})
    datasets = {"mni-brain": None, "mni-brain-3d": None}
    config = {"methods": {"made_up": None}, "losses": {"deepsim_vgg": None}, "datasets": datasets, "seeds": [1, 2]}
    runs = list(Study.load(SMALL | config).runs())
    assert [(run.dataset, run.seed) for run in runs] == [("mni-brain", None), ("mni-brain-3d", 1), ("mni-brain-3d", 2)]


@pytest.mark.parametrize(
    ("what", "lacking"),
    [(what, key) for what in ("trained", "optimised") for key in ("uses_loss", "has_lam", "seeded")][:-1],
)
def test_a_card_without_what_its_kind_has_is_refused(what: str, lacking: str, tmp_path, monkeypatch) -> None:
    card = {**CARD, "uses_loss": True, "has_lam": True, "seeded": True, what: True, lacking: False}
    (tmp_path / "odd.py").write_text(f"CARD = {card}\n")
    monkeypatch.setattr(kinds, "FOLDERS", (tmp_path,))
    with pytest.raises(UserError, match=f"CARD sets `{what}`, but not `{lacking}`; every {what} method has a loss"):
        kinds.card("odd")


def test_a_key_that_no_card_has_is_refused(tmp_path, monkeypatch) -> None:
    """A slip of the pen would go unnoticed otherwise."""
    card = {**CARD, "uses_loss": False, "has_lam": False, "seeded": False, "setings": {}}
    (tmp_path / "odd.py").write_text(f"CARD = {card}\n")
    monkeypatch.setattr(kinds, "FOLDERS", (tmp_path,))
    with pytest.raises(UserError, match=r"odd\.py: CARD has an unknown key 'setings'; did you mean"):
        kinds.card("odd")


def test_extractors_of_losses_that_only_their_landscape_uses_are_made(monkeypatch) -> None:
    make_up(monkeypatch, {"uses_loss": False, "has_lam": False, "seeded": False})
    losses = {"deepsim_ae": None, "deepsim_vgg": None}
    study = Study.load(SMALL | {"methods": {"made_up": None}, "losses": losses, "seeds": [1, 2]})
    assert list(study.pretrainings()) == [("mni-brain", "autoencoder", 1)]
    assert study.published == ["vgg"]
