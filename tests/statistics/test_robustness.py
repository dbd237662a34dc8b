"""Scores by condition: the primary score alone, in the order of the study, and its change."""

from __future__ import annotations

import pandas as pd
import pytest

from likeness.config.study import Study
from likeness.statistics.robustness import COLUMNS, compare
from likeness.userinput.errors import ConfigurationError

CONDITIONS = {"noisy": ("brain", "noise 0.5"), "clean": ("brain", ""), "half": ("head", "dose 50")}
PRIMARIES = {"noisy": "epe", "clean": "epe", "half": "dice"}


def row(dataset: str, loss: str | None, mean: float, metric: str = "epe", label: str = "all") -> dict[str, object]:
    who = {"dataset": dataset, "method": "optimisation" if loss else "unregistered", "loss": loss, "variant": None}
    said = {"metric": metric, "label": label, "unit": "mm", "n_pairs": 8, "mean": mean, "median": mean, "note": ""}
    return {**who, **said, "ci_low": mean - 1, "ci_high": mean + 1}


def test_every_condition_is_compared_with_the_first_of_its_source() -> None:
    summary = pd.DataFrame(
        [
            *(row("clean", "ncc", 1.0), row("clean", None, 5.0), row("clean", "mse", 2.0)),
            *(row("noisy", "ncc", 1.75), row("noisy", None, 5.0)),
            *(row("clean", "ncc", 0.9, "dice", "mean"), row("half", "ncc", 0.8, "dice", "mean")),
            *(row("half", "ncc", 0.7, "dice", "cortex"), row("other", "ncc", 3.0)),
        ]
    )
    found = compare(summary, CONDITIONS, PRIMARIES)
    assert list(found.columns) == COLUMNS
    brain = found[found.loss == "ncc"]
    assert list(zip(brain.dataset, brain.condition, brain.metric, brain.change, strict=True)) == [
        ("noisy", "noise 0.5", "epe", 0.0),
        ("clean", "", "epe", -0.75),
        ("half", "dose 50", "dice", 0.0),
    ]
    # it does not apply to the first
    assert found.change[found.loss == "mse"].isna().all()
    assert list(found.change[found.method == "unregistered"]) == [0, 0]


def test_conditions_are_what_sets_datasets_of_one_source_apart() -> None:
    datasets = {
        "clean": {"recipe": "mni-brain", "options": {"spacing": 4}},
        "dark": {"recipe": "mni-brain", "options": {"spacing": 4}, "degrade": {"gamma": 2, "noise": 0.1}},
        "mni-head": {},
        "none": {"recipe": "mni-head", "options": {"dose": 0}},
        "cells": {},
    }
    base = {"title": "t", "losses": {"mse": None}, "methods": {"optimisation": None}}
    assert Study.load({**base, "datasets": datasets}).conditions == {
        "clean": ("mni-brain", ""),
        "dark": ("mni-brain", "gamma 2, noise 0.1"),
        "mni-head": ("mni-head", "dose 100.0"),
        "none": ("mni-head", "dose 0"),
    }
    with pytest.raises(ConfigurationError, match=r"key 'datasets.dark.degrade.noise': 2 is too large"):
        Study.load({**base, "datasets": {"dark": {"recipe": "mni-brain", "degrade": {"noise": 2}}}})


def test_scores_of_two_metrics_are_not_subtracted() -> None:
    summary = pd.DataFrame([row("clean", "ncc", 1.0), row("noisy", "ncc", 0.8, "dice", "mean")])
    found = compare(summary, CONDITIONS, {"clean": "epe", "noisy": "dice"}).set_index("dataset")
    assert found.change.isna().to_dict() == {"noisy": False, "clean": True}
