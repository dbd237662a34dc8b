"""Contrasts that a study has named: what they conclude, and what they may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_study import METHODS, Made, Study, chosen, only_made_up_losses

from likeness import metrics as cards
from likeness.statistics.aggregate import between_seeds
from likeness.statistics.contrasts import COLUMNS, confirm
from likeness.statistics.selection import candidates, choose, marks
from likeness.statistics.verdicts import smallest

SEEDS = (1, 2, 3, 4)


@pytest.fixture(autouse=True)
def made_up_cards(tmp_path: Path) -> Iterator[None]:
    with only_made_up_losses(tmp_path / "losses"):
        yield


def contrast(a: str, b: str, **changes: Any) -> dict[str, Any]:
    return {"a": a, "b": b, "method": None, "datasets": [], "metric": None, "smallest": 0.01, **changes}


def study(seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    return chosen(Study([Made("a", subjects=24)], ["mse", "ncc"], seeds=seeds))


def apart(metrics: pd.DataFrame, difference: float) -> pd.DataFrame:
    """Let the end-point error of NCC be that of MSE and a difference, but for a thousandth of it, and seeds alike."""
    random = np.random.default_rng(0)
    keys = ["dataset", "method", "split", "moving", "fixed", "metric", "label", "seed"]
    rows = metrics[(metrics.metric == "epe") & metrics.chosen]
    mse = rows[rows.loss == "mse"].set_index(keys).value
    ncc = rows[rows.loss == "ncc"].set_index(keys)
    value = mse.loc[ncc.index] + difference + 1e-3 * random.standard_normal(len(ncc))
    metrics.loc[rows.index[rows.loss == "ncc"], "value"] = value.to_numpy()
    return metrics


@pytest.mark.parametrize(("difference", "verdict"), [(0.2, "a better"), (-0.2, "b better"), (0.0, "equivalent")])
def test_a_clear_difference_and_a_clear_lack_of_one_are_told(difference: float, verdict: str) -> None:
    metrics = apart(study(), difference)
    table = confirm(metrics, METHODS, [contrast("mse", "ncc", smallest=0.08)], {}, {})
    [row] = table.to_dict("records")
    assert list(table.columns) == COLUMNS
    assert (row["metric"], row["method"], row["verdict"], row["note"]) == ("epe", "voxelmorph", verdict, "")
    assert row["effect"] == pytest.approx(-difference, abs=0.002)
    assert row["low"] < row["effect"] < row["high"]
    # no p for what nobody is interested in, however sure
    assert np.isnan(row["p"]) == (verdict == "equivalent")


def test_trainings_of_two_seeds_say_nothing_of_others() -> None:
    row = confirm(apart(study((1, 2)), 0.2), METHODS, [contrast("mse", "ncc")], {}, {}).iloc[0]
    assert row.note == "about these trainings: fewer than 3 seeds"
    assert np.isnan([row.p, row.p_equivalent]).all()
    assert row.verdict == ""


def test_trainings_that_differ_as_much_as_losses_do_hide_the_difference() -> None:
    """The finding that a test over pairs alone takes two trainings of one loss for two losses."""
    metrics = apart(study(), 0.05)
    shift = dict(zip(SEEDS, (0.3, -0.3, 0.25, -0.25), strict=True))
    moved = (metrics.loss == "ncc") & (metrics.metric == "epe")
    metrics.loc[moved, "value"] += metrics.seed[moved].map(shift).astype(float)
    row = confirm(metrics, METHODS, [contrast("mse", "ncc")], {}, {}).iloc[0]
    assert row.se > 0.1
    assert row.p > 0.3
    assert row.verdict == "undecided"
    assert between_seeds(metrics[moved & metrics.chosen & (metrics.split == "test")]).seeds.item() == 4


def test_p_is_as_small_as_the_evidence_and_corrected_within_the_dataset() -> None:
    both = [contrast("mse", "ncc"), contrast("mse", "unregistered"), contrast("ncc", "unregistered", metric="dice")]
    table = confirm(apart(study(), 0.2), METHODS, both, {}, {})
    assert table.p.max() < 1e-4
    assert (table.p_holm >= table.p).all()
    assert table.p_holm.min() == pytest.approx(3 * table.p.min())
    # whatever else the study has runs, the family is what it named
    assert len(table) == 3


def test_p_is_descriptive_where_one_specimen_or_few_pairs_forbid_more() -> None:
    metrics = apart(study(), 0.2)
    row = confirm(metrics, METHODS, [contrast("mse", "ncc")], {}, {"a": "p is descriptive: within one specimen"}).iloc[
        0
    ]
    assert row.p < 0.05
    assert (row.verdict, row.note) == ("", "p is descriptive: within one specimen")


@pytest.mark.parametrize("share", [1, 0])
def test_losses_that_are_equal_but_for_rounding_have_no_p_in_any_metric(share: int) -> None:
    """Nor where both are 0, of which 2 % would be no limit."""
    metrics = study()
    mse, ncc = (metrics[(metrics.loss == loss) & metrics.chosen] for loss in ("mse", "ncc"))
    keys = ["split", "moving", "fixed", "metric", "label", "seed"]
    metrics.loc[mse.index, "value"] = share * mse.value
    same = share * mse.set_index(keys).value.loc[pd.MultiIndex.from_frame(ncc[keys])].to_numpy()
    metrics.loc[ncc.index, "value"] = same + 1e-12 * (1 + np.random.default_rng(0).random(len(same)))
    measured = ["epe", "dice", "hd95", "folding", "sdlogj", "nda"]
    table = confirm(metrics, METHODS, [contrast("mse", "ncc", metric=one, smallest=None) for one in measured], {}, {})
    assert table.effect.abs().between(1e-13, 1e-11).all()
    assert (table.smallest >= 1e-6).all()
    assert table[["p", "p_holm"]].isna().all(axis=None)


@pytest.mark.parametrize("metric", cards.names())
def test_every_metric_has_a_smallest_effect_of_interest(metric: str) -> None:
    """A share of a distance, whose unit differs between datasets; a number of its own where 0 is what is wished for."""
    assert smallest(metric, 0.0) > 0
    assert smallest(metric, 5.0) <= 0.1


def test_what_did_not_run_and_what_is_marked_is_said() -> None:
    metrics = study()
    known = {("a", "voxelmorph", "ncc", "default"): "every λ folds too much"}
    table = confirm(metrics, METHODS, [contrast("mse", "nmi"), contrast("mse", "ncc")], known, {})
    assert table.note.tolist() == ["not compared: b was not scored", "b: every λ folds too much"]
    assert not len(confirm(metrics, METHODS, [contrast("mse", "ncc", datasets=["other"])], {}, {}))


def test_choices_at_an_end_or_infeasible_are_marked() -> None:
    selection = choose(candidates(Study([Made("a")], ["mse", "ncc"]).metrics(), METHODS), METHODS)
    assert marks(selection) == {}
    odd = selection.assign(feasible=[True, False], end=["roughest", ""])
    assert marks(odd) == {
        ("a", "voxelmorph", "mse", "default"): "λ at the roughest end of its grid",
        ("a", "voxelmorph", "ncc", "default"): "every λ folds too much",
    }
    assert set(marks(selection.assign(feasible=False, score=np.nan)).values()) == {"diverged at every λ"}
