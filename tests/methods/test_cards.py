"""Methods by name: every kind has a complete card, and a study knows its methods by the names that it gives them."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.colors import is_color_like

from likeness import methods, networks
from likeness.config.study import Study
from likeness.methods import UNREGISTERED
from likeness.results import Run
from likeness.userinput.refusals import Refusal

SMALL: dict[str, Any] = {"title": "small", "datasets": {"mni-brain": None}, "losses": {"mse": None}}


@pytest.mark.parametrize("kind", [*methods.kinds(), UNREGISTERED])
def test_the_card_of_every_kind_is_complete(kind: str) -> None:
    card = methods.card(kind)
    assert card["seeds"] in ("always", "drawn", "never")
    assert card["trained"] == (kind in networks.names())
    assert is_color_like(card["colour"])
    made = methods.method(kind)
    assert methods.of({"a": made.plain("order", "has_lam")})["a"].has_lam == made.has_lam
    assert made.title == card["title"]


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Refusal, match="there is no method of the kind 'voxel'; there are "):
        methods.card("voxel")


def test_two_settings_of_one_kind_are_two_methods() -> None:
    named = {"voxelmorph": None, "narrow": {"kind": "voxelmorph", "channels_2d": [4, 8]}}
    study = Study.load(SMALL | {"methods": named})
    assert list(study.runs()) == [Run("mni-brain", name, "mse", "default", 1) for name in named]
    assert [Run(*training) for training in study.trainings()] == list(study.runs())
    narrow = study.training("mni-brain", "narrow", "mse")
    assert narrow["network"] == "voxelmorph"
    assert narrow["architecture"]["channels"] == [4, 8]
    assert study.methods["narrow"].title == "narrow"


CARD = {"title": "x", "order": 1, "colour": "#000000", "marker": "o", "trained": False}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"uses_loss": False, "has_lam": False, "seeds": "never"}, [(None, None)]),
        ({"uses_loss": True, "has_lam": False, "seeds": "never"}, [("mse", None), ("deepsim_ae", None)]),
        (
            {"uses_loss": True, "has_lam": True, "seeds": "always"},
            [("mse", 1), ("mse", 2), ("deepsim_ae", 1), ("deepsim_ae", 2)],
        ),
        # the extractor of deepsim_ae is trained here, and its seed is the run's
        (
            {"uses_loss": True, "has_lam": True, "seeds": "drawn"},
            [("mse", None), ("deepsim_ae", 1), ("deepsim_ae", 2)],
        ),
    ],
    ids=["given", "no seeds", "network", "drawn"],
)
def test_a_method_has_the_runs_that_its_card_says(said: dict[str, Any], expected: list, monkeypatch) -> None:
    known = methods.card
    monkeypatch.setattr(methods, "card", lambda kind: {**CARD, **said} if kind == "made_up" else known(kind))
    monkeypatch.setattr(methods, "kinds", lambda: ["made_up"])
    config = SMALL | {"methods": {"made_up": None}, "losses": {"mse": None, "deepsim_ae": None}, "seeds": [1, 2]}
    study = Study.load(config)
    assert [(run.loss, run.seed) for run in study.runs()] == expected
    assert list(study.trainings()) == []
