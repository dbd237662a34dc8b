"""Trials of the options of losses: how many, of what, and that nothing else draws them anew."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from likeness import losses
from likeness.config import cards, tuning
from likeness.config.study import Study
from likeness.userinput.errors import ConfigurationError

BASE = {
    "title": "t",
    "datasets": {"cells": None},
    "losses": {"mse": None, "ncc": None, "mind": None, "deepsim_seg": None},
    "methods": {"optimisation": None},
}
EVERY = [name for name in losses.names() if losses.ranges(name)]


def load(**over: Any) -> Study:
    return Study.load({**BASE, **over})


def options(study: Study, loss: str) -> list[dict[str, Any]]:
    return [losses.completed(loss, study.options(loss, variant)) for variant in study.variants(loss)]


def test_every_loss_with_options_has_the_same_number_of_trials() -> None:
    study = load(tune={"trials": 6}, losses=dict.fromkeys(EVERY))
    for loss in EVERY:
        tried = options(study, loss)
        assert len(tried) == 1 + 6, loss
        assert all(one not in tried[:place] for place, one in enumerate(tried)), loss
    assert load(tune={"trials": 6}).variants("mse") == ["default"]
    assert not load().tunes


@pytest.mark.parametrize("loss", EVERY)
def test_the_card_names_values_that_the_loss_allows_and_its_default_among_them(loss: str) -> None:
    defaults, limits = losses.options(loss), losses.limits(loss)
    for option, values in losses.ranges(loss).items():
        [rule] = cards.rules({option: defaults[option]}, limits).values()
        TypeAdapter(list[cards.annotation(rule)]).validate_python(values, strict=True)  # type: ignore[misc]
        assert defaults[option] in values, option


def test_trials_follow_from_seed_and_loss_alone() -> None:
    first = load(tune={"trials": 3})
    fewer = load(tune={"trials": 3}, losses={"mind": None}, datasets={"mni-brain": None})
    assert first.tried("mind") == fewer.tried("mind")
    assert first.tried("mind") != load(tune={"trials": 3, "seed": 2}).tried("mind")


def test_a_study_states_values_of_its_own() -> None:
    study = load(tune={"trials": 9, "space": {"ncc": {"window": [5, 7, 9]}, "mind": None}})
    assert {name: one["window"] for name, one in study.tried("ncc").items()}.keys() == {"default", "trial_1", "trial_2"}
    assert sorted(one["window"] for one in study.tried("ncc").values()) == [5, 7, 9]
    assert study.variants("mind") == ["default"]


def test_no_trial_differs_in_what_has_no_effect() -> None:
    space = {"deepsim_seg": {"comparator": ["cosine", "lncc"], "sigma": [2.0, 4.0], "zero_mean": [False, True]}}
    tried = load(tune={"trials": 50, "space": space}).tried("deepsim_seg")
    # cosine with and without the mean, lncc of two widths
    assert len(tried) == 4
    assert all(one["sigma"] == 4.0 for one in tried.values() if one["comparator"] == "cosine")


def test_what_is_stated_for_a_loss_holds_for_its_trials() -> None:
    study = load(
        tune={"trials": 50, "space": {"mind": {"radius": [1, 2]}}}, losses={"mind": {"options": {"dilation": 3}}}
    )
    assert [(one["radius"], one["dilation"]) for one in options(study, "mind")] == [(2, 3), (1, 3)]


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ({"space": {"ncc": {"window": [5]}}}, "key 'tune.space': has no effect without trials"),
        ({"trials": 2, "space": {"nc": {}}}, "key 'tune.space.nc' is unknown; did you mean 'ncc'"),
        ({"trials": 2, "space": {"nmi": {"bins": [32]}}}, "key 'tune.space': the study has no loss 'nmi'"),
        (
            {"trials": 2, "space": {"ncc": {"windw": [5]}}},
            "key 'tune.space.ncc.windw' is unknown; did you mean 'window'",
        ),
        ({"trials": 2, "space": {"ncc": {"window": [5, 8]}}}, "key 'tune.space.ncc.window.1': 8 is even"),
        ({"trials": 2, "space": {"ncc": {"window": [1]}}}, "key 'tune.space.ncc.window.0': 1 is too small"),
        ({"trials": 2, "space": {"ncc": {"window": []}}}, "key 'tune.space.ncc.window': there are no entries"),
        (
            {"trials": 2, "space": {"deepsim_seg": {"levels": [[0], [7]]}}},
            r"key 'tune.space.deepsim_seg.levels': \[7\]",
        ),
        ({"trials": -1}, "key 'tune.trials': -1 is too small"),
    ],
)
def test_what_cannot_be_tried_is_refused_by_its_key(tune: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load(tune=tune)


def test_more_combinations_than_can_be_told_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("likeness.config.checks.MOST_COMBINATIONS", 11)
    with pytest.raises(ConfigurationError, match=r"key 'tune\.space\.mind': 12 combinations of the options of 'mind'"):
        load(tune={"trials": 2}, losses={"ncc": None, "mind": None})
    assert tuning.size(losses.ranges("mse")) == 1
