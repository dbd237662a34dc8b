"""Contrasts in a configuration: names that exist, and no more than can be confirmed."""

from __future__ import annotations

from typing import Any

import pytest

from likeness.config.study import Study
from likeness.userinput.errors import ConfigurationError

BASE = {
    "title": "t",
    "datasets": {"cells": None},
    "losses": {"mse": None, "ncc": None},
    "methods": {"optimisation": None},
}


@pytest.mark.parametrize(
    ("stated", "key"),
    [
        ({"a": "nc", "b": "mse"}, "contrasts.0.a"),
        ({"a": "mse", "b": "mse"}, "contrasts.0.b"),
        ({"a": "mse", "b": "ncc", "method": "syn"}, "contrasts.0.method"),
        ({"a": "mse", "b": "ncc", "metric": "dise"}, "contrasts.0.metric"),
        ({"a": "mse", "b": "ncc", "datasets": ["cels"]}, "contrasts.0.datasets"),
        ({"a": "mse", "b": "ncc", "smallest": 0}, "contrasts.0.smallest"),
        ({"a": "mse"}, "contrasts.0.b"),
        ({"a": "mse", "b": "ncc", "best_of": ["ncc"]}, "contrasts.0.b"),
        ({"a": "mse", "best_of": ["nc"]}, "contrasts.0.best_of"),
        ({"a": "mse", "best_of": ["ncc", "mse"]}, "contrasts.0.best_of"),
        ({"a": "mse", "b": "ncc", "claim": "one"}, "contrasts.0.claim"),
        ({"a": "mse", "b": "ncc", "over": "size"}, "contrasts.0.over"),
        ({"a": "mse", "b": "ncc", "over": "sise", "datasets": ["cells"]}, "contrasts.0.over"),
    ],
)
def test_a_contrast_of_what_is_not_there_is_refused(stated: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"key '{key}'"):
        Study.load({**BASE, "contrasts": [stated]})


def test_slopes_over_an_option_and_claims_are_accepted() -> None:
    datasets = {name: {"recipe": "mni-head", "options": {"dose": dose}} for name, dose in (("no", 0), ("some", 50))}
    stated = {"a": "mse", "best_of": ["ncc"], "over": "dose", "datasets": ["no", "some"], "claim": "one"}
    study = Study.load({**BASE, "datasets": datasets, "contrasts": [stated], "claims": {"one": "it holds"}})
    assert study.numbers["some"]["dose"] == 50
    with pytest.raises(ConfigurationError, match=r"key 'contrasts\.0\.over'.*different"):
        Study.load({**BASE, "datasets": datasets, "contrasts": [{**stated, "claim": None, "datasets": ["no"]}]})


def test_more_contrasts_than_can_be_confirmed_are_refused() -> None:
    ten = [{"a": "mse", "b": "ncc", "metric": metric} for metric in ("epe", "dice", "hd95", "tre", "folding")] * 2
    Study.load({**BASE, "contrasts": ten})
    with pytest.raises(ConfigurationError, match="11 contrasts on 'cells'"):
        Study.load({**BASE, "contrasts": [*ten, {"a": "ncc", "b": "unregistered"}]})
