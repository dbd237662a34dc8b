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
from likeness.statistics.claims import FAILS, HOLDS, NOT_TESTED, UNDECIDED, judge, whole
from likeness.statistics.contrasts import COLUMNS, Known, confirm
from likeness.statistics.selection import candidates, choose, marks
from likeness.statistics.verdicts import smallest

SEEDS = (1, 2, 3, 4)


@pytest.fixture(autouse=True)
def made_up_cards(tmp_path: Path) -> Iterator[None]:
    with only_made_up_losses(tmp_path / "losses"):
        yield


def contrast(a: str, b: str | None, **changes: Any) -> dict[str, Any]:
    nothing = {"method": None, "datasets": [], "metric": None, "best_of": [], "over": None, "claim": None}
    return {"a": a, "b": b, **nothing, "smallest": 0.01, **changes}


NOTHING = Known(choose(candidates(Study([Made("a")], ["mse"]).metrics(), METHODS), METHODS).iloc[:0], {}, {}, {})


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
    table = confirm(metrics, METHODS, [contrast("mse", "ncc", smallest=0.08)], NOTHING)
    [row] = table.to_dict("records")
    assert list(table.columns) == COLUMNS
    assert (row["metric"], row["method"], row["verdict"], row["note"]) == ("epe", "voxelmorph", verdict, "")
    assert row["effect"] == pytest.approx(-difference, abs=0.002)
    assert row["low"] < row["effect"] < row["high"]
    # no p for what nobody is interested in, however sure
    assert np.isnan(row["p"]) == (verdict == "equivalent")


def test_trainings_of_two_seeds_say_nothing_of_others() -> None:
    row = confirm(apart(study((1, 2)), 0.2), METHODS, [contrast("mse", "ncc")], NOTHING).iloc[0]
    assert row.note == "about these trainings: fewer than 3 seeds"
    assert np.isnan([row.p, row.p_equivalent]).all()
    assert row.verdict == ""


def test_trainings_that_differ_as_much_as_losses_do_hide_the_difference() -> None:
    """The finding that a test over pairs alone takes two trainings of one loss for two losses."""
    metrics = apart(study(), 0.05)
    shift = dict(zip(SEEDS, (0.3, -0.3, 0.25, -0.25), strict=True))
    moved = (metrics.loss == "ncc") & (metrics.metric == "epe")
    metrics.loc[moved, "value"] += metrics.seed[moved].map(shift).astype(float)
    row = confirm(metrics, METHODS, [contrast("mse", "ncc")], NOTHING).iloc[0]
    assert row.se > 0.1
    assert row.p > 0.3
    assert row.verdict == "undecided"
    assert between_seeds(metrics[moved & metrics.chosen & (metrics.split == "test")]).seeds.item() == 4


def test_p_is_as_small_as_the_evidence_and_corrected_within_the_dataset() -> None:
    both = [contrast("mse", "ncc"), contrast("mse", "unregistered"), contrast("ncc", "unregistered", metric="dice")]
    table = confirm(apart(study(), 0.2), METHODS, both, NOTHING)
    assert table.p.max() < 1e-4
    assert (table.p_holm >= table.p).all()
    assert table.p_holm.min() == pytest.approx(3 * table.p.min())
    # whatever else the study has runs, the family is what it named
    assert len(table) == 3


def test_p_is_descriptive_where_one_specimen_or_few_pairs_forbid_more() -> None:
    metrics = apart(study(), 0.2)
    reason = {"a": "p is descriptive: within one specimen"}
    row = confirm(metrics, METHODS, [contrast("mse", "ncc")], NOTHING._replace(descriptive=reason)).iloc[0]
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
    table = confirm(metrics, METHODS, [contrast("mse", "ncc", metric=one, smallest=None) for one in measured], NOTHING)
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
    selection = choose(candidates(metrics, METHODS), METHODS)
    selection["feasible"] = selection.loss != "ncc"
    table = confirm(
        metrics, METHODS, [contrast("mse", "nmi"), contrast("mse", "ncc")], NOTHING._replace(selection=selection)
    )
    assert table.note.tolist() == ["not compared: b was not scored", "b: every λ folds too much"]
    assert not len(confirm(metrics, METHODS, [contrast("mse", "ncc", datasets=["other"])], NOTHING))


def test_choices_at_an_end_or_infeasible_are_marked() -> None:
    selection = choose(candidates(Study([Made("a")], ["mse", "ncc"]).metrics(), METHODS), METHODS)
    assert marks(selection) == {}
    odd = selection.assign(feasible=[True, False], end=["roughest", ""])
    assert marks(odd) == {
        ("a", "voxelmorph", "mse", "default"): "λ at the roughest end of its grid",
        ("a", "voxelmorph", "ncc", "default"): "every λ folds too much",
    }
    assert set(marks(selection.assign(feasible=False, score=np.nan)).values()) == {"diverged at every λ"}


def test_the_best_is_picked_on_validation_pairs() -> None:
    metrics = apart(study(), -0.2)
    selection = choose(candidates(metrics, METHODS), METHODS)
    # NCC is better on test pairs, and must not be picked for that
    selection["score"] = selection.loss.map({"mse": 1.0, "ncc": 2.0})
    stated = contrast("unregistered", None, best_of=["ncc", "mse", "nmi"])
    row = confirm(metrics, METHODS, [stated], NOTHING._replace(selection=selection)).iloc[0]
    assert (row.b, row.verdict) == ("mse", "b better")
    assert row.note.startswith("b is the best of ncc, mse, nmi on validation pairs")
    lost = confirm(metrics, METHODS, [{**stated, "best_of": ["nmi"]}], NOTHING._replace(selection=selection)).iloc[0]
    assert lost.note == "not compared: b was not scored"


def test_slopes_over_an_option_are_compared() -> None:
    doses = {"dose-0": 0.0, "dose-40": 40.0, "dose-100": 100.0}
    parts = []
    for name, dose in doses.items():
        part = apart(study(), 0.0).assign(dataset=name)
        epe = part.metric == "epe"
        part.loc[epe & (part.loss == "ncc"), "value"] += 0.5 * dose / 100
        parts.append(part)
    metrics = pd.concat(parts, ignore_index=True)
    options = {name: {"dose": dose} for name, dose in doses.items()}
    stated = contrast("mse", "ncc", datasets=list(doses), over="dose", smallest=None)
    table = confirm(metrics, METHODS, [stated], NOTHING._replace(options=options))
    [row] = table.to_dict("records")
    assert row["dataset"] == "dose of dose-0, dose-40, dose-100"
    assert row["effect"] == pytest.approx(-0.5, abs=0.01)
    assert row["verdict"] == "a better"
    # two percent of the scores, not of the slope
    scores = metrics[(metrics.split == "test") & metrics.chosen & (metrics.metric == "epe") & (metrics.loss == "ncc")]
    assert row["smallest"] == pytest.approx(0.02 * scores.value.mean())
    # a dataset that did not run leaves nothing to be compared
    assert not len(confirm(metrics[metrics.dataset != "dose-40"], METHODS, [stated], NOTHING._replace(options=options)))


def test_a_claim_holds_where_all_of_its_contrasts_do() -> None:
    metrics = apart(study(), 0.2)
    stated = [contrast("mse", "ncc", claim="one"), contrast("mse", "unregistered", claim="one")]
    stated += [contrast("ncc", "mse", claim="two"), contrast("mse", "nmi", claim="three")]
    table = judge(confirm(metrics, METHODS, stated, NOTHING), {"one": "x", "two": "y", "three": "z", "four": "w"})
    verdicts = table[table.contrast == "all"].set_index("claim").verdict.to_dict()
    assert verdicts == {"one": "holds", "two": "fails", "three": "not tested here", "four": "not tested here"}
    assert table[table.contrast == "mse against ncc"].iloc[0][["verdict", "says"]].tolist() == ["holds", "x"]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([HOLDS, HOLDS], HOLDS),
        ([HOLDS, UNDECIDED], UNDECIDED),
        ([UNDECIDED, NOT_TESTED], NOT_TESTED),
        ([HOLDS, FAILS, NOT_TESTED, UNDECIDED], FAILS),
    ],
)
def test_one_contrast_that_fails_is_enough(verdicts: list[str], expected: str) -> None:
    assert whole(verdicts) == expected


def doses() -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
    names = {"dose-0": {"dose": 0.0}, "dose-100": {"dose": 100.0}}
    return pd.concat([apart(study(), 0.0).assign(dataset=name) for name in names], ignore_index=True), names


def test_a_seed_that_diverged_on_one_dataset_of_a_series_is_missed() -> None:
    metrics, options = doses()
    lost = (metrics.dataset == "dose-100") & (metrics.loss == "ncc") & (metrics.seed == 2)
    metrics.loc[lost, "value"] = np.nan
    stated = contrast("mse", "ncc", datasets=list(options), over="dose")
    row = confirm(metrics, METHODS, [stated], NOTHING._replace(options=options)).iloc[0]
    assert row.note == "a seed diverged"
    metrics.loc[(metrics.dataset == "dose-0") & (metrics.loss == "ncc"), "value"] = np.nan
    row = confirm(metrics, METHODS, [stated], NOTHING._replace(options=options)).iloc[0]
    assert row.note.startswith("not compared: b diverged")


def test_what_limits_any_dataset_of_a_series_is_said_of_each() -> None:
    metrics, options = doses()
    selection = choose(candidates(metrics, METHODS), METHODS)
    selection["end"] = selection.dataset.map({"dose-0": "roughest", "dose-100": "smoothest"}).where(
        selection.loss == "ncc", ""
    )
    stated = contrast("mse", "ncc", datasets=list(options), over="dose")
    known = NOTHING._replace(options=options, selection=selection)
    assert confirm(metrics, METHODS, [stated], known).iloc[0].note == (
        "b: λ at the roughest end of its grid (dose-0), λ at the smoothest end of its grid (dose-100)"
    )


@pytest.mark.parametrize("metric", ["sdlogj"])
def test_in_a_metric_without_a_better_none_is_called_better(metric: str) -> None:
    metrics = study()
    ncc = (metrics.loss == "ncc") & (metrics.metric == metric)
    metrics.loc[ncc, "value"] += 1.0
    stated = [contrast("mse", "ncc", metric=metric, claim="one"), contrast("ncc", "mse", metric=metric, claim="two")]
    table = confirm(metrics, METHODS, stated, NOTHING)
    assert table.verdict.tolist() == ["different", "different"]
    assert set(judge(table, {"one": "x", "two": "y"}).verdict) == {UNDECIDED}


def test_the_best_that_diverged_on_test_pairs_leaves_a_claim_untested() -> None:
    metrics = study()
    selection = choose(candidates(metrics, METHODS), METHODS)
    metrics.loc[(metrics.loss == "ncc") & (metrics.split == "test"), "value"] = np.nan
    stated = contrast("mse", None, best_of=["ncc"], claim="one")
    table = judge(confirm(metrics, METHODS, [stated], NOTHING._replace(selection=selection)), {"one": "x"})
    assert set(table.verdict) == {NOT_TESTED}
