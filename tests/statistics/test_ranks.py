"""Ranks over samples of subjects, their agreement, the loss that is picked, and the power of contrasts.

Expected values are computed by hand, or by scipy and statsmodels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_study import METHODS, Made, Study, chosen, only_made_up_losses
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from likeness.statistics import agreement, critical_difference, learn2reg, picked, power, ranks
from likeness.statistics.aggregate import write_csv
from likeness.statistics.contrasts import Known, confirm
from likeness.statistics.inference import ONE_SPECIMEN
from likeness.statistics.matched import match
from likeness.statistics.resampling import Contest, Draws, Tables
from likeness.statistics.selection import candidates, choose


@pytest.fixture(autouse=True)
def cards(tmp_path: Path) -> Iterator[None]:
    with only_made_up_losses(tmp_path / "losses"):
        yield


def table(scores: dict[str, list[float]], pairs: list[tuple[str, str]], **said: Any) -> pd.DataFrame:
    """Make test rows of a dataset with one score, the end-point error, of some losses."""
    rows = [
        {"loss": loss, "moving": a, "fixed": b, "moving_subject": a, "fixed_subject": b, "value": value}
        for loss, values in scores.items()
        for (a, b), value in zip(pairs, values, strict=True)
    ]
    same = {"dataset": "d", "split": "test", "method": "direct", "variant": "default", "seed": None, "lam": np.nan}
    same |= {"metric": "epe", "label": "all", "unit": "mm", "chosen": True, **said}
    return pd.DataFrame(rows).assign(**same).astype({"seed": "Int64"})


def ring(number: int) -> list[tuple[str, str]]:
    names = [f"s{place:02d}" for place in range(number)]
    return [*pairwise(names), (names[0], names[-1])]


def rank(rows: pd.DataFrame) -> pd.DataFrame:
    return ranks.rank(rows, METHODS, {}, ())


def test_a_pair_weighs_the_product_of_its_subjects_and_one_within_a_subject_weighs_that_once():
    rows = table({"mse": [1.0, 2.0, 3.0]}, [("a", "b"), ("b", "c"), ("c", "c")])
    draws = Draws("d", rows, 50)
    a, b, c = draws.weights(np.array(["a", "b", "c"]), np.array(["a", "b", "c"])).T
    np.testing.assert_array_equal(a + b + c, 3)
    expected = np.stack([a * b, b * c, c], axis=1)
    np.testing.assert_array_equal(draws.weights(np.array(["a", "b", "c"]), np.array(["b", "c", "c"])), expected)
    other = Draws("e", rows, 50).weights(np.array(["a"]), np.array(["a"]))[:, 0]
    assert (other != a).any()


def test_means_are_weighted_and_infinite_where_a_lost_structure_is_drawn():
    rows = table({"mse": [1.0, 2.0, np.inf], "ncc": [4.0, 5.0, 6.0]}, [("a", "b"), ("b", "c"), ("a", "c")])
    contest, draws = Contest(Tables(rows), METHODS, "direct", "epe"), Draws("d", rows, 40)
    weights = draws.weights(contest.first, contest.second)
    for weight, (mse, ncc) in zip(weights, contest.means(draws), strict=True):
        # sorted by name: a|b, a|c, b|c
        assert np.isnan(ncc) if not weight.any() else ncc == pytest.approx(np.average([4.0, 6.0, 5.0], weights=weight))
        assert np.isinf(mse) == (weight[1] > 0)


@settings(max_examples=20, deadline=None)
@given(
    scores=st.lists(st.floats(0.1, 10), min_size=6, max_size=6),
    better=st.lists(st.floats(0.01, 5), min_size=6, max_size=6),
)
def test_a_loss_that_is_better_in_every_pair_is_first_in_every_draw(scores: list[float], better: list[float]):
    worse = [score + difference for score, difference in zip(scores, better, strict=True)]
    found = rank(table({"mse": worse, "ncc": scores}, ring(6)))
    row = found[(found.group == "all") & (found.loss == "ncc")].iloc[0]
    assert (row["rank"], row.mean_rank, row.low, row.high, row["first"]) == (1, 1, 1, 1, 1)


def test_equal_losses_share_a_rank_in_every_draw():
    random = np.random.default_rng(0).uniform(1, 2, 20)
    found = rank(table({"mse": [*random], "ncc": [*(random + 1e-15)], "nmi": [*(random + 1)]}, ring(20)))
    mse, ncc, nmi = (found[(found.group == "all") & (found.loss == loss)].iloc[0] for loss in ("mse", "ncc", "nmi"))
    assert (mse["rank"], ncc["rank"], nmi["rank"]) == (1.5, 1.5, 3)
    assert (mse.mean_rank, mse["first"], ncc["first"], nmi["first"]) == (1.5, 1, 1, 0)


def test_a_pair_and_its_reverse_count_once():
    one = table({"mse": [1.0, 2.0, 3.0], "ncc": [2.0, 2.5, 1.0]}, [("a", "b"), ("b", "c"), ("a", "c")])
    reverse = {"moving": one.fixed, "fixed": one.moving, "moving_subject": one.fixed_subject}
    both = pd.concat([one, one.assign(**reverse, fixed_subject=one.moving_subject)], ignore_index=True)
    pd.testing.assert_frame_equal(rank(one), rank(both))


def test_ranks_within_groups_diverged_losses_and_notes():
    study = Study([Made("a", diverged=("nmi",))], ["mse", "ncc", "nmi", "deepsim_seg", "ncc_sup"], named=("direct",))
    marks = {("a", "direct", "mse", "default"): "every λ folds too much"}
    found = ranks.rank(chosen(study), METHODS, marks, {"a"})
    assert list(found.columns) == ranks.COLUMNS
    labels = found[found.group == "labels"]
    assert set(labels.loss) == {"deepsim_seg", "ncc_sup"}
    assert sorted(labels["rank"]) == [1, 2]
    lost = found[found.loss == "nmi"]
    assert set(lost.note) == {"not ranked: diverged"}
    assert lost["rank"].isna().all()
    assert found.note[found.loss == "mse"].str.contains("every λ folds too much").all()
    assert found.note[found["rank"].notna()].str.contains(ONE_SPECIMEN).all()
    assert found["rank"].notna().sum() == 4 + 2 + 2


def test_methods_are_ranked_on_the_pairs_that_all_have():
    rows = table({"mse": [1.0, 2.0, 3.0], "ncc": [2.0, 1.0, 9.0]}, [("a", "b"), ("b", "c"), ("a", "c")])
    given = table({"-": [5.0, 5.0]}, [("a", "b"), ("b", "c")], method="given", variant=None).assign(loss=None)
    found = rank(pd.concat([rows, given], ignore_index=True)).query("group == 'all'").set_index("method")
    assert set(found.n_pairs) == {2}
    assert found.note.str.contains("on the pairs that all have").all()
    assert list(found.loc["direct", "mean"]) == [1.5, 1.5]
    assert found.loc["given", "rank"] == 3


def test_the_rank_of_learn2reg_by_hand():
    # the first wins against both others, which do not differ: 2, 0 and 0 comparisons
    assert learn2reg.score(np.array([2, 0, 0])) == pytest.approx([1, 0.325, 0.325])
    assert learn2reg.score(np.array([0])) == pytest.approx([1])
    first = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 0]], bool)
    second = np.array([[0, 0, 0], [1, 0, 1], [1, 0, 0]], bool)
    # of the second metric: 0, 2 and 1
    expected = [np.sqrt(1 * 0.1), np.sqrt(0.325 * 1), np.sqrt(0.325 * 0.55)]
    assert learn2reg.rank([first, second]) == pytest.approx(expected)


def test_wins_are_those_of_the_signed_rank_test():
    random = np.random.default_rng(3)
    costs = random.normal(size=(25, 5)) + np.arange(5) * 0.3
    won = learn2reg.wins(costs)
    for i in range(5):
        for j in range(5):
            if i != j:
                p = stats.wilcoxon(costs[:, i], costs[:, j], method="asymptotic").pvalue
                assert won[i, j] == (p < 0.05 and np.median(costs[:, i] - costs[:, j]) < 0)
    assert 0 < won.sum() < 10
    assert not learn2reg.wins(np.ones((12, 3))).any()


def test_the_critical_difference_is_that_of_the_paper():
    # Demšar 2006, section 3.2.2: four classifiers, 14 datasets, average ranks 3.143, 2.000, 2.893, 1.964, CD 1.25 at
    # .05, and table 5(a) for the quantiles
    assert critical_difference._quantile(4, 0.05) * np.sqrt(4 * 5 / (6 * 14)) == pytest.approx(1.25, abs=0.005)
    for number, quantile in {2: 1.960, 3: 2.343, 5: 2.728, 10: 3.164}.items():
        assert critical_difference._quantile(number, 0.05) == pytest.approx(quantile, abs=0.001)


def test_losses_within_the_critical_difference_form_groups():
    assert critical_difference._groups(np.array([3.0, 1.0, 1.8, 2.6]), 1.0) == [
        frozenset({1, 2}),
        frozenset({2, 3}),
        frozenset({3, 0}),
    ]
    costs = np.random.default_rng(0).normal(size=(20, 4)) + np.array([0, 0.2, 2, 4])
    found = critical_difference.compare(costs)
    assert found.p == pytest.approx(stats.friedmanchisquare(*costs.T).pvalue)
    assert found.average == pytest.approx(stats.rankdata(costs, axis=1).mean(axis=0))
    alike = critical_difference.compare(np.ones((20, 4)))
    assert alike.groups == [frozenset(range(4))]


@pytest.mark.parametrize(("number", "expected"), [(20, 10), (21, 10)])
def test_independent_pairs_of_a_ring_are_every_second(number: int, expected: int):
    first, second = np.array(ring(number)).T
    chosen = critical_difference.independent(first, second)
    subjects = [*first[chosen], *second[chosen]]
    assert len(chosen) == expected
    assert len(subjects) == len(set(subjects))


def test_there_is_a_critical_difference_from_ten_independent_pairs_on():
    random = np.random.default_rng(1)
    scores = {loss: [*(random.normal(place, 0.1, 20) + 5)] for place, loss in enumerate(["mse", "ncc", "nmi"])}
    found = rank(table(scores, ring(20))).query("group == 'all'")
    assert list(found.average_rank) == [1, 2, 3]
    assert set(found.n_independent) == {10}
    assert list(found.alike) == ["g1", "g1 g2", "g2"]
    few = rank(table({loss: values[:19] for loss, values in scores.items()}, ring(19))).query("group == 'all'")
    assert few.average_rank.isna().all()
    assert few.note.str.contains("no critical difference: fewer than 10 pairs").all()


def test_tau_is_that_of_scipy():
    random = np.random.default_rng(2)
    a, b = random.integers(0, 6, (2, 30, 9))
    expected = [stats.kendalltau(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert agreement.tau(a, b) == pytest.approx(expected)
    assert np.isnan(agreement.tau(np.ones(4), np.arange(4)))
    assert agreement.tau(np.array([1, np.inf, np.inf]), np.array([1, 2, 2])) == 1


def test_rankings_are_compared_in_one_respect():
    made = [Made("a"), Made("b", field=False)]
    study = Study(made, ["mse", "ncc", "nmi", "mind"], seeds=(0, 1, 2), named=("voxelmorph", "direct"))
    metrics = chosen(study)
    found = agreement.agree(metrics, match(metrics, METHODS), METHODS)
    assert list(found.columns) == agreement.COLUMNS
    counts = found[found.group == "all"].groupby("between").size().to_dict()
    # of a all pairs of epe, dice, hd95, and of b of two metrics; seeds of the network alone; limits of both methods,
    # and of each both measures
    expected = {"datasets": 2, "methods": 2, "metrics": 2 * (3 + 1), "seeds": 2 * 3}
    assert counts == {**expected, "limits": 2 * 2 * 3, "measures": 2 * 2 * 3}
    assert (found.limit.notna() == (found.between == "measures")).all()
    datasets = found[found.between == "datasets"]
    assert datasets.dataset.isna().all()
    assert datasets.metric.isna().all()
    inside = found.low.isna() | ((found.low <= found.tau + 1e-9) & (found.tau <= found.high + 1e-9))
    assert inside.mean() > 0.9
    # losses differ by more than noise in all of these
    assert (found.tau[found.between == "metrics"] > 0.6).all()


def test_reversed_rankings_disagree():
    pairs = ring(8)
    names, random = ["mse", "ncc", "nmi", "mind"], np.random.default_rng(0)
    scores = {loss: [*(place + random.uniform(0, 0.1, 8))] for place, loss in enumerate(names)}
    rows = [table(scores, pairs), table(dict(zip(names[::-1], scores.values(), strict=True)), pairs, dataset="e")]
    metrics = pd.concat(rows, ignore_index=True)
    nothing = pd.DataFrame(columns=["dataset", "method", "loss", "variant", "metric", "measure", "limit", "mean"])
    [row] = agreement.agree(metrics, nothing, METHODS).to_dict("records")
    assert (row["between"], row["tau"], row["low"], row["high"]) == ("datasets", -1, -1, -1)


def test_the_loss_is_picked_on_validation_and_its_gain_is_on_test():
    pairs = [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h")]
    none = {"method": "unregistered", "variant": None}
    before = [5.0, 6.0, 7.0, 8.0]
    parts = [
        table({"mse": [1.0] * 4, "ncc": [2.0] * 4, "nmi": [3.0] * 4}, pairs, split="val"),
        table({"mse": [2.0, 3.0, 4.0, 7.0], "ncc": [1.0, 1.5, 3.0, 5.0], "nmi": [9.0] * 4}, pairs),
    ]
    parts += [table({"-": before}, pairs, split=split, **none).assign(loss=None) for split in ("val", "test")]
    found = picked.pick(pd.concat(parts, ignore_index=True), METHODS, {}, ()).query("group == 'all'").set_index("over")
    assert list(found.a) == ["mse"] * 3
    assert found.b.to_dict() == {"unregistered": "unregistered", "runner-up": "ncc", "baseline": "ncc"}
    gain = np.subtract(before, [2.0, 3.0, 4.0, 7.0])
    low, high = stats.t.interval(0.95, 3, gain.mean(), stats.sem(gain))
    row = found.loc["unregistered"]
    assert (row.gain, row.low, row.high) == pytest.approx((gain.mean(), low, high))
    # the second on validation pairs is better on test pairs
    assert found.gain["runner-up"] == pytest.approx(-1.375)


def test_a_higher_score_is_a_gain_and_what_is_not_there_is_said():
    study = Study([Made("a", field=False)], ["mse", "ncc_sup"], named=("direct",))
    found = picked.pick(chosen(study), METHODS, {}, {"a"}).set_index(["group", "over"])
    assert (found.gain[:, "unregistered"] > 0).all()
    assert found.note["none", "runner-up"] == f"there is none; {ONE_SPECIMEN}"
    assert found.note["all", "baseline"].startswith("there is none")


@pytest.mark.parametrize("effect", [0.3, 0.5, 1.0])
def test_the_number_of_independent_pairs_is_that_of_statsmodels(effect: float):
    # pairs of two subjects of their own: a t test over pairs; theirs counts findings of the wrong sign too
    now = 30
    design = power.Design(se=1 / np.sqrt(now), df=now - 1, subjects=2 * now)
    two_sided = TTestPower().power(effect, now, 0.05)
    assert design.power(effect, 0.05, np.array(2 * now), np.array(0)) == pytest.approx(two_sided, abs=1e-3)
    needed = power._fewest(lambda n: design.power(effect, 0.05, n, np.array(0)), 3, 100_000)
    assert needed / 2 == pytest.approx(TTestPower().solve_power(effect, alpha=0.05, power=0.8), abs=1)


def test_seeds_add_variance_and_power_by_hand():
    design = power.Design(se=0.2, df=20, subjects=10, between_seeds=(0.03, 0.06))
    first, second, third = 0.04 * 10 / 40, 0.01, 0.02
    total = first + second + third
    df = total**2 / (first**2 / 80 + second**2 / 2 + third**2 / 2)
    expected = stats.nct.sf(stats.t.ppf(1 - 0.025 / 2, df), df, 0.5 / np.sqrt(total))
    assert design.power(0.5, 0.025, np.array(40), np.array(3)) == pytest.approx(expected)


NOTHING = {"metric": None, "method": None, "datasets": [], "best_of": [], "over": None, "claim": None}


def known(metrics: pd.DataFrame) -> Known:
    return Known(choose(candidates(metrics, METHODS), METHODS), {}, {}, {})


def test_power_of_contrasts():
    study = Study([Made("a", subjects=20, pairs=40)], ["mse", "ncc", "mind"], named=("direct",))
    metrics = chosen(study)
    stated = [
        {**NOTHING, "a": "ncc", "b": "mse", "smallest": 0.05},
        {**NOTHING, "a": "ncc", "b": "mse", "smallest": 0.025},
        {**NOTHING, "a": "nmi", "b": "mse", "smallest": 0.05},
    ]
    contrasts = confirm(metrics, METHODS, stated, known(metrics))
    found = power.plan(metrics, contrasts, METHODS)
    assert list(found.columns) == power.COLUMNS
    assert found.note[2] == "not scored"
    assert found.alpha[0] == pytest.approx(0.025)
    row, contrast = found.iloc[0], contrasts.iloc[0]
    # with as many pairs for every subject the components would give the standard error back
    about = np.sqrt((4 * row.sd_subjects**2 + 2 * row.sd_pairs**2 / row.pairs_per_subject) / row.n_subjects)
    assert about == pytest.approx(contrast.se, rel=0.1)
    assert row.n_seeds == 0
    assert found.subjects[1] > found.subjects[0]
    design = power.Design(contrast.se, contrast.df, int(contrast.n_subjects))
    for number, enough in ((row.subjects, True), (row.subjects - 1, False)):
        assert (design.power(0.05, 0.025, np.array(number), np.array(0)) >= power.POWER) == enough


def test_below_three_seeds_no_number_is_given():
    study = Study([Made("a")], ["mse", "ncc"], seeds=(0, 1))
    metrics = chosen(study)
    stated = [{**NOTHING, "a": "ncc", "b": "mse", "smallest": None}]
    [row] = power.plan(metrics, confirm(metrics, METHODS, stated, known(metrics)), METHODS).to_dict("records")
    assert np.isnan(row["subjects"])
    assert "fewer than 3" in row["note"]


def test_the_same_bytes_twice(tmp_path: Path):
    metrics = chosen(Study([Made("a"), Made("b")], ["mse", "ncc", "nmi"]))
    for name in ("one", "two"):
        write_csv(rank(metrics), tmp_path / f"{name}.csv")
        write_csv(agreement.agree(metrics, match(metrics, METHODS), METHODS), tmp_path / f"{name}-agreement.csv")
    for name in ("", "-agreement"):
        assert (tmp_path / f"one{name}.csv").read_bytes() == (tmp_path / f"two{name}.csv").read_bytes()
