"""The forecast: more work costs more, and a former run tells the true cost of its trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from builders import make_dataset

from likeness.configuration import Study
from likeness.forecast import forecast

BASE: dict[str, Any] = {
    "title": "t",
    "datasets": {"mni-brain": None},
    "losses": {"mse": None, "ncc": None},
    "training": {"steps": 100},
}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(**changes: Any) -> Study:
    return Study.load(BASE | changes)


@pytest.mark.parametrize(
    "more",
    [
        {"training": {"steps": 200}},
        {"training": {"steps": 100, "batch": 8}},
        {"training": {"steps": 100, "grid": [0.01, 0.03, 0.1, 0.3, 1, 3]}},
        {"seeds": [1, 2]},
        {"datasets": {"mni-brain": None, "cells": None}},
        {"losses": {"mse": None, "ncc": None, "deepsim_ae": None}},
        {"datasets": {"mni-brain": {"training": {"steps": 300}}}},
        {"networks": {"voxelmorph": {"channels_2d": [128, 256]}}},
    ],
    ids=str,
)
def test_more_work_takes_more_time(more: dict[str, Any]) -> None:
    assert forecast(load(**more)).core_seconds > forecast(load()).core_seconds


def test_kept_fields_take_space_at_the_end_and_others_only_for_a_while() -> None:
    gone, kept = forecast(load()), forecast(load(keep_fields=True))
    assert kept.kept_gb > gone.kept_gb
    assert gone.peak_gb > gone.kept_gb


def test_a_former_run_tells_the_cost_of_its_trainings() -> None:
    study = load()
    keys = ["dataset", "network", "loss", "variant", "seed"]
    rows = [dict(zip(keys, run, strict=True)) | {"rule": "train", "cpu_seconds": 1e6} for run in study.runs()]
    table = Path(study.results) / "tables" / "runtime.csv"
    table.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(table, index=False)
    found = forecast(study)
    assert found.core_seconds > 2e6
    assert found.basis == "trainings as in the last run"


def test_a_folder_of_ones_own_is_measured_by_its_images_and_pairs(tmp_path: Path) -> None:
    make_dataset(tmp_path / "small", 2, 16)
    make_dataset(tmp_path / "large", 2, 64)
    small, large = (forecast(load(datasets={"own": {"folder": name}})) for name in ("small", "large"))
    assert large.kept_gb == pytest.approx(16 * small.kept_gb)
    assert large.core_seconds > small.core_seconds
