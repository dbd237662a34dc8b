"""Scores at roughness at most r: the λ is found on validation pairs, within the limit, or it is said that none was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import METHODS, Made, Study, chosen, made_up, only_made_up_losses

from likeness.statistics.matched import COLUMNS, LIMITS, TOO_ROUGH, match

ROUGH = {0.25: 0.5, 0.5: 0.28, 1.0: 0.2, 2.0: 0.15, 4.0: 0.12}
"""Roughness by λ; the end-point error is least at λ = 1."""


@pytest.fixture(autouse=True)
def cards(tmp_path: Path) -> Iterator[None]:
    with only_made_up_losses(tmp_path / "losses"):
        yield


def study(**made: object) -> pd.DataFrame:
    metrics = chosen(Study([Made("a", **made)], ["mse", "ncc"], seeds=(1, 2, 3), named=("voxelmorph", "classical")))  # type: ignore[arg-type]
    rough = (metrics.metric == "sdlogj") & metrics.lam.notna()
    metrics.loc[rough, "value"] = metrics.lam[rough].map(ROUGH)
    flat = metrics.metric.isin(["nda", "ndv"])
    metrics.loc[flat, "value"] = 0.0
    return metrics


def at(table: pd.DataFrame, limit: str) -> pd.DataFrame:
    return table[table.limit == limit].set_index(["method", "loss"])


def test_the_best_of_those_that_are_smooth_enough_is_taken() -> None:
    table = match(study(), METHODS)
    assert list(table.columns) == COLUMNS
    assert list(dict.fromkeys(table.limit)) == [f"{limit:g}" for limit in LIMITS]
    # the best λ is smooth enough; where it is not, the best that is
    assert at(table, "0.3").lam["voxelmorph", "mse"] == 1
    assert at(table, "0.2").lam["voxelmorph", "mse"] == 1
    lower = study()
    lower.loc[(lower.metric == "sdlogj") & (lower.lam == 1), "value"] = 0.21
    row = at(match(lower, METHODS), "0.2").loc[("voxelmorph", "mse")]
    assert (row.lam, row.roughness, row.note) == (2, 0.15, "")


def test_where_none_is_smooth_enough_the_smoothest_is_taken_and_marked() -> None:
    row = at(match(study(), METHODS), "0.1").loc[("voxelmorph", "ncc")]
    assert (row.lam, row.roughness, row.note) == (4, 0.12, TOO_ROUGH)


def test_a_weight_that_folds_is_not_taken() -> None:
    metrics = study()
    folds = metrics.metric.isin(["nda", "ndv"]) & (metrics.lam == 1)
    metrics.loc[folds, "value"] = 0.02
    assert at(match(metrics, METHODS), "0.3").lam["voxelmorph", "mse"] in {0.5, 2}


def test_only_validation_pairs_decide() -> None:
    metrics, other = study(), study()
    test = (other.split == "test") & (other.metric == "epe") & (other.lam == 4)
    other.loc[test, "value"] = 0.0
    assert match(metrics, METHODS).lam.equals(match(other, METHODS).lam)


def test_methods_without_weight_are_there_as_they_are_and_the_best_comes_first() -> None:
    table = match(study(), METHODS)
    for _, rows in table.groupby("limit"):
        assert {"unregistered", "classical", "voxelmorph"} == set(rows.method)
        assert rows["mean"].is_monotonic_increasing
    worst = at(table, "0.1").loc["unregistered"].iloc[0]
    assert np.isnan(worst.lam)
    assert worst.n_pairs == 20


def test_what_syn_reaches_is_a_limit() -> None:
    methods = {**METHODS, "classical": made_up("classical", path="smoothing", has_lam=True)}
    table = match(study(), methods)
    limits = table.groupby("limit").at_most.first()
    assert set(limits.index) == {"0.1", "0.2", "0.3", "classical"}
    assert limits["classical"] in ROUGH.values()
