"""Structures that vanish by warping: counted, and no mean or comparison is lost with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from fake_study import METHODS, Made, Study, chosen, only_made_up_losses

from likeness.statistics.comparisons import compare
from likeness.statistics.contrasts import Known, confirm
from likeness.statistics.lost import bounded, diagonals, lost
from likeness.statistics.selection import candidates, choose
from likeness.statistics.summary import summarise

DIAGONALS = {"a": 100.0}
LABELS = 3


@pytest.fixture(autouse=True)
def cards(tmp_path: Path) -> Iterator[None]:
    with only_made_up_losses(tmp_path / "losses"):
        yield


@pytest.fixture
def metrics() -> pd.DataFrame:
    """Of NCC, two pairs lose their cortex, one in both directions."""
    found = chosen(Study([Made("a", subjects=24)], ["mse", "ncc"], seeds=(1, 2, 3)))
    of_ncc = (found.loss == "ncc") & (found.metric == "hd95") & (found.label == "cortex") & found.chosen
    first = found[of_ncc & (found.split == "test")].drop_duplicates(["moving", "fixed"])
    found.loc[first.index[[0, 1, 2]], "value"] = np.inf
    return found


def test_the_diagonal_is_that_of_the_grid_in_the_unit_of_its_spacing(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"name": "a", "shape": [30, 40], "spacing": [2, 2]}))
    (tmp_path / "images.csv").write_text("id,split,group,subject,modality\n")
    (tmp_path / "pairs.csv").write_text("split,moving,fixed\n")
    assert diagonals([tmp_path]) == {"a": 100}


def test_only_infinite_distances_are_replaced(metrics: pd.DataFrame) -> None:
    metrics.loc[metrics.index[metrics.metric == "folding"][0], "value"] = np.inf
    changed = metrics.value != bounded(metrics, DIAGONALS).value
    assert (changed & metrics.value.notna()).sum() == 3
    assert set(bounded(metrics, DIAGONALS).value[changed & metrics.value.notna()]) == {100}
    pd.testing.assert_series_equal(bounded(metrics, {}).value, metrics.value)


def test_a_summary_counts_them_and_has_both_means(metrics: pd.DataFrame) -> None:
    table = summarise(metrics, METHODS, {}, diagonals=DIAGONALS)
    rows = table[table.metric == "hd95"].set_index(["loss", "label"])
    assert rows.n_lost["ncc"].to_dict() == {"cortex": 2, "mean": 2, "ventricle": 0, "white matter": 0}
    assert (rows.n_lost["mse"] == 0).all()
    assert (table.n_lost[table.metric != "hd95"] == 0).all()
    test = metrics[(metrics.split == "test") & metrics.chosen & (metrics.loss == "ncc") & (metrics.metric == "hd95")]
    cortex = test[test.label == "cortex"].value
    # of 20 pairs in two directions and three seeds, three scores are replaced
    assert rows["mean"]["ncc", "cortex"] == pytest.approx(cortex.replace(np.inf, 100).mean())
    assert rows["mean"]["ncc", "mean"] == pytest.approx(test.value.replace(np.inf, 100).mean())
    assert np.isfinite(rows.loc[["mse", "ncc"], ["sd", "ci_low", "ci_high"]]).all(axis=None)
    plain = summarise(metrics, METHODS, {}).set_index(["metric", "loss", "label"])
    assert plain["mean"]["hd95", "ncc", "mean"] == np.inf
    # the median is by ranks alone
    assert rows["median"]["ncc", "mean"] == plain["median"]["hd95", "ncc", "mean"]


def test_the_median_is_infinite_where_most_pairs_lost_a_structure(metrics: pd.DataFrame) -> None:
    metrics.loc[(metrics.loss == "ncc") & (metrics.metric == "hd95") & (metrics.label == "cortex"), "value"] = np.inf
    table = summarise(metrics, METHODS, {}, diagonals=DIAGONALS)
    row = table[(table.loss == "ncc") & (table.metric == "hd95") & (table.label == "cortex")].iloc[0]
    assert (row["mean"], row["median"], row.n_lost) == (100, np.inf, row.n_pairs)


def test_comparisons_and_contrasts_have_numbers_and_say_how_many_pairs_lost_a_structure(metrics: pd.DataFrame) -> None:
    said, finite = lost(metrics), bounded(metrics, DIAGONALS)
    assert said == {("a", "voxelmorph", "ncc", "default", "hd95"): "2 pairs lost a structure"}
    rows = compare(finite, METHODS, said)
    row = rows[(rows.metric == "hd95") & (rows.a == "mse") & (rows.b == "ncc")].iloc[0]
    assert row.note == "b: 2 pairs lost a structure"
    nearer = compare(bounded(metrics, {"a": 3.0}), METHODS, said).set_index(["metric", "a", "b"])
    assert row.effect < nearer.effect["hd95", "mse", "ncc"] - 0.1
    assert row.low < row.effect < row.high
    assert not rows.note[rows.metric != "hd95"].str.contains("lost").any()
    stated = {"a": "ncc", "b": "mse", "best_of": [], "method": None, "datasets": [], "metric": "hd95", "over": None}
    contrast = {**stated, "smallest": 0.01, "claim": None}
    known = Known(choose(candidates(metrics, METHODS), METHODS), said, {}, {})
    tested = confirm(finite, METHODS, [contrast], known).iloc[0]
    assert tested.note == "a: 2 pairs lost a structure"
    assert tested.p > 0


def test_where_nothing_is_lost_nothing_is_said() -> None:
    assert lost(chosen(Study([Made("a")], ["mse"]))) == {}
