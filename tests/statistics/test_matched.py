"""Scores at roughness at most r: the λ is found on validation pairs, within the limit, or it is said that none was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_study import METHODS, Made, Study, chosen, made_up, only_made_up_losses

from likeness.statistics.comparisons import compare
from likeness.statistics.matched import COLUMNS, DIVERGED, FOLDS, LIMITS, TOO_ROUGH, match
from likeness.statistics.summary import summarise

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


def at(table: pd.DataFrame, limit: str, measure: str = "sdlogj") -> pd.DataFrame:
    return table[(table.limit == limit) & (table.measure == measure)].set_index(["method", "loss"])


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
    for _, rows in table.groupby(["measure", "limit"]):
        assert {"unregistered", "classical", "voxelmorph"} == set(rows.method)
        assert rows["mean"].is_monotonic_increasing
    worst = at(table, "0.1").loc["unregistered"].iloc[0]
    assert np.isnan(worst.lam)
    assert worst.n_pairs == 20


def test_what_syn_reaches_is_a_limit() -> None:
    methods = {**METHODS, "classical": made_up("classical", path="smoothing", has_lam=True)}
    table = match(study(), methods)
    limits = table[table.measure == "sdlogj"].groupby("limit").at_most.first()
    assert set(limits.index) == {"0.1", "0.2", "0.3", "classical"}
    assert limits["classical"] in ROUGH.values()


def with_bending(energies: dict[str, dict[float, float]]) -> pd.DataFrame:
    """Return the study with a bending energy by loss and λ."""
    metrics = study()
    smooth = (metrics.metric == "sdlogj") & (metrics.method != "classical")
    bent = metrics[smooth].assign(metric="bending", unit="1/mm²")
    known = bent[bent.lam.notna()]
    bent.loc[known.index, "value"] = [energies[loss][lam] for loss, lam in zip(known.loss, known.lam, strict=True)]
    return pd.concat([metrics, bent], ignore_index=True)


def test_the_limit_in_another_measure_is_what_the_runs_have_at_that_roughness() -> None:
    """At roughness .2, λ = 1, mse has an energy of 4 and ncc of 8: at most their median, 6, are λ of 1 and of 2."""
    energies = {"mse": {0.25: 32.0, 0.5: 16.0, 1.0: 4.0, 2.0: 2.0, 4.0: 1.0}}
    energies["ncc"] = {lam: 2 * energy for lam, energy in energies["mse"].items()}
    found = at(match(with_bending(energies), METHODS), "0.2", "bending").loc["voxelmorph"]
    assert set(found.at_most) == {6.0}
    assert found.lam.to_dict() == {"mse": 1.0, "ncc": 2.0}
    assert found.roughness.to_dict() == {"mse": 4.0, "ncc": 4.0}
    # no λ has a roughness of .1, so that there is no such limit
    assert at(match(with_bending(energies), METHODS), "0.1", "bending").empty


def test_folding_is_a_measure_too() -> None:
    for dims, measure in ((2, "nda"), (3, "ndv")):
        found = match(study(dims=dims), METHODS)
        assert set(found.measure) == {"sdlogj", measure}
        assert set(found.at_most[found.measure == measure]) == {0.0}


def test_a_training_that_diverged_is_there_and_said() -> None:
    """A loss must not vanish from the table, nor a seed without a word."""
    metrics = study()
    lost = ((metrics.loss == "ncc") | ((metrics.loss == "mse") & (metrics.seed == 2))) & metrics.lam.notna()
    metrics.loc[lost, "value"] = np.nan
    found = at(match(metrics, METHODS), "0.3").loc["voxelmorph"]
    assert (found.loc["ncc", "n_pairs"], found.loc["ncc", "note"]) == (0, DIVERGED)
    assert found.loc["ncc", ["mean", "lam", "roughness"]].isna().all()
    assert found.loc["mse", "note"] == f"about these trainings: fewer than 3 seeds; a seed diverged; {DIVERGED}"
    assert found.loc["mse", "lam"] == 1


def test_a_run_that_is_smooth_but_folds_is_not_called_rough() -> None:
    metrics = study()
    metrics.loc[metrics.metric.isin(["nda", "ndv"]) & metrics.lam.notna(), "value"] = 0.02
    assert at(match(metrics, METHODS), "0.3").note["voxelmorph", "mse"] == FOLDS


def test_every_table_says_that_there_is_one_specimen_only() -> None:
    metrics = study()
    tables = [match(metrics, METHODS, specimens={"a"}), compare(metrics, METHODS, {}, specimens={"a"})]
    tables.append(summarise(metrics, METHODS, {}, specimens={"a"}))
    for table in tables:
        assert table.note.str.endswith("within one specimen").all()
    assert not match(metrics, METHODS, specimens={"b"}).note.str.contains("specimen").any()
