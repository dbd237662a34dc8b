"""The choice of λ, the merging of pairs and seeds, and the tables."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from fake_study import LAMS, METHODS, Made, Study, chosen, only_made_up_losses

from likeness import losses
from likeness.data.store import Dataset
from likeness.fields import PairSearch, Search
from likeness.results import KEYS
from likeness.statistics.aggregate import name_of, observations, overall, read_csv, write_csv
from likeness.statistics.comparisons import COLUMNS as COMPARISON_COLUMNS
from likeness.statistics.comparisons import compare
from likeness.statistics.final import HARDEST, final
from likeness.statistics.learning import learnt_little, still_learning
from likeness.statistics.selection import candidates, choose, primary_metric
from likeness.statistics.summary import COLUMNS as SUMMARY_COLUMNS
from likeness.statistics.summary import describe, summarise
from likeness.statistics.verdicts import endings
from likeness.statistics.verdicts import summarise as summarise_verdicts

STATED = ["order", "uses_loss", "optimised"]


@pytest.fixture(autouse=True)
def cards(tmp_path: Path) -> Iterator[None]:
    with only_made_up_losses(tmp_path / "losses"):
        yield


def test_the_best_feasible_weight_is_chosen():
    metrics = Study([Made("a")], ["mse"]).metrics()
    scored = candidates(metrics, METHODS)
    assert list(scored.lam) == [0.25, 0.5, 1, 2, 4]
    assert list(scored.feasible) == [False, True, True, True, True]
    assert choose(scored, METHODS).lam.item() == 1
    assert choose(scored, METHODS).end.item() == ""
    assert choose(scored[scored.lam >= 1], METHODS).end.item() == "roughest"
    assert choose(scored[scored.lam <= 1], METHODS).end.item() == "smoothest"
    assert choose(scored[scored.lam == 1], METHODS).end.item() == ""
    assert choose(scored.assign(feasible=scored.lam >= 2), METHODS).lam.item() == 2


def test_where_nothing_is_feasible_the_least_folding_is_taken_and_flagged():
    scored = candidates(Study([Made("a")], ["mse"]).metrics(), METHODS)
    scored = scored.assign(feasible=False, ndv=[5.0, 4.0, 3.0, 0.5, 2.0])
    row = choose(scored, METHODS).iloc[0]
    assert row.lam == 2
    assert not row.feasible


def test_a_diverged_weight_is_never_preferred_and_a_diverged_training_stays_in_the_table():
    metrics = Study([Made("a", diverged=("ncc",))], ["mse", "ncc"]).metrics()
    best = (metrics.loss == "mse") & (metrics.lam == 1) & (metrics.split == "val")
    one_bad_pair = best & (metrics.moving == metrics.moving[best].iloc[0])
    metrics.loc[one_bad_pair, "value"] = np.nan
    selection = choose(candidates(metrics, METHODS), METHODS).set_index("loss")
    assert selection.lam["mse"] in {0.5, 2}
    assert np.isnan(selection.score["ncc"])
    assert selection.lam["ncc"] == 4
    assert not selection.feasible["ncc"]


def test_end_point_error_decides_where_it_is_known():
    metrics = Study([Made("a"), Made("b", field=False)], ["mse"]).metrics()
    assert primary_metric(metrics, "a") == "epe"
    assert primary_metric(metrics, "b") == "dice"
    scored = candidates(metrics, METHODS).set_index(["dataset", "lam"]).score
    rows = metrics[
        (metrics.dataset == "b") & (metrics.lam == 1) & (metrics.split == "val") & (metrics.metric == "dice")
    ]
    assert scored["b", 1.0] == pytest.approx(rows.groupby(["moving", "fixed"])["value"].mean().mean())


def test_marking_keeps_one_weight_per_run_and_everything_of_methods_without_one():
    named = ("voxelmorph", "given", "direct", "classical")
    metrics = chosen(Study([Made("a")], ["mse", "ncc"], seeds=(0, 1), named=named))
    kept = metrics[metrics.chosen].drop_duplicates(["method", "loss", "variant", "seed", "lam"])
    assert kept.method.value_counts().to_dict() == {
        "voxelmorph": 4,
        "direct": 2,
        "given": 1,
        "classical": 1,
        "unregistered": 1,
    }
    assert kept.lam[kept.method == "classical"].item() == 1
    assert metrics.chosen[metrics.method.isin(["given", "direct", "unregistered"])].all()


def rows_of(values: list[tuple], metric: str = "epe") -> pd.DataFrame:
    """Build metrics rows of one loss from (moving, fixed, their subjects, seed, label, value)."""
    columns = ["moving", "fixed", "moving_subject", "fixed_subject", "seed", "label", "value"]
    fixed = {"dataset": "a", "split": "test", "method": "voxelmorph", "loss": "mse", "variant": "default"}
    return pd.DataFrame(values, columns=columns).assign(lam=1.0, metric=metric, unit="mm", chosen=True, **fixed)


def test_mirrored_pairs_are_merged_before_seeds_are_averaged():
    merged = observations(
        rows_of(
            [
                ("a", "b", "a", "b", 0, "all", 1.0),
                ("b", "a", "b", "a", 0, "all", 3.0),
                ("a", "b", "a", "b", 1, "all", 10.0),
                ("b", "c", "b", "c", 0, "all", np.nan),
            ]
        )
    ).set_index("observation")
    assert merged.value["a|b"] == 6  # not the mean of 1, 3 and 10
    assert merged.seeds["a|b"] == 2
    assert np.isnan(merged.value["b|c"])
    assert merged.seeds["b|c"] == 0


def test_exchanged_roles_of_two_subjects_are_mirrored_pairs_and_images_of_one_subject_are_not():
    merged = observations(
        rows_of(
            [
                ("p-brain", "q-head", "p", "q", 0, "all", 1.0),
                ("q-brain", "p-head", "q", "p", 0, "all", 3.0),
                ("t1", "t2", "r", "r", 0, "all", 5.0),
                ("t2", "t3", "r", "r", 0, "all", 7.0),
                ("t2", "t1", "r", "r", 0, "all", 9.0),
            ]
        )
    )
    assert dict(zip(merged.observation, merged.value, strict=True)) == {"p|q": 2.0, "t1|t2": 7.0, "t2|t3": 7.0}


def test_an_absent_label_does_not_count_and_an_infinite_distance_does():
    rows = [("a", "b", "a", "b", 0, "x", 0.5), ("a", "b", "a", "b", 0, "y", np.nan)]
    assert overall(rows_of(rows, "dice")).value.item() == 0.5
    assert overall(rows_of([*rows, ("a", "b", "a", "b", 0, "z", np.inf)], "hd95")).value.item() == np.inf


def test_dice30_is_of_what_had_the_lowest_dice_before_registration():
    metrics = chosen(Study([Made("a"), Made("b", subjects=24)], ["mse"]))
    rows = final(metrics)
    hardest = rows[rows.label == HARDEST]
    assert set(hardest.metric) == {"dice"}
    test = metrics[(metrics.split == "test") & metrics.chosen & (metrics.metric == "dice")]
    for name, part in test.groupby("dataset"):
        table = part.pivot_table(index=["moving", "fixed"], columns=["method", "label"], values="value")
        before, after = table["unregistered"].to_numpy(), table["voxelmorph"].to_numpy()
        # 20 pairs in two directions with three labels
        lowest = np.isin(before, np.sort(before, axis=None)[: int(0.3 * 119) + 1])
        assert 36 <= lowest.sum() <= 38
        wanted = np.nanmean(np.where(lowest, after, np.nan)[lowest.any(1)], axis=1)
        found = hardest[(hardest.dataset == name) & (hardest.method == "voxelmorph")].sort_values(["moving", "fixed"])
        np.testing.assert_allclose(found.value, wanted)
    table = summarise(metrics, METHODS, {})
    means = table[(table.dataset == "a") & (table.method == "unregistered")].set_index(["metric", "label"])["mean"]
    assert means["dice", HARDEST] < means["dice", "mean"]


def test_without_labels_there_is_no_dice30():
    metrics = chosen(Study([Made("a", labels=())], ["mse"]))
    assert HARDEST not in set(final(metrics).label)


def test_infinite_scores_are_not_averaged_away():
    values = np.array([1.0, 2.0, np.inf])
    mean, sd, median, low, high = describe(values, values, (1.0, 2.0))
    assert (mean, median) == (np.inf, 2)
    assert np.isnan([sd, low, high]).all()


@pytest.fixture
def study() -> Study:
    return Study([Made("a", diverged=("nmi",)), Made("b", dims=3, field=False, subjects=24)], ["mse", "ncc", "nmi"])


def test_summary(study: Study):
    metrics = chosen(study)
    table = summarise(metrics, METHODS, {})
    assert list(table.columns) == SUMMARY_COLUMNS
    row = table[(table.dataset == "a") & (table.loss == "ncc") & (table.metric == "epe")].iloc[0]
    rows = metrics[(metrics.dataset == "a") & (metrics.loss == "ncc") & (metrics.metric == "epe")]
    rows = rows[(rows.split == "test") & rows.chosen]
    assert row["mean"] == pytest.approx(rows.value.mean())
    assert row.ci_low < row["mean"] < row.ci_high
    assert (row.n_pairs, row.n_subjects, row.n_seeds) == (20, 12, 1)
    assert row.note == "about these trainings: fewer than 3 seeds"
    assert (row.method, row.label, row.unit, row.supervision) == ("voxelmorph", "all", "mm", "none")
    assert {"mean", "cortex"} <= set(table.label[table.metric == "dice"])
    assert set(table[table.method == "unregistered"].metric) == set(table.metric[table.loss == "mse"])
    diverged = table[(table.dataset == "a") & (table.loss == "nmi")]
    assert (diverged.n_pairs == 0).all()
    assert diverged[["mean", "median", "ci_low"]].isna().all(axis=None)


def test_comparisons(study: Study):
    table = compare(chosen(study), METHODS, {})
    assert list(table.columns) == COMPARISON_COLUMNS
    family = table[(table.dataset == "b") & (table.metric == "dice")]
    assert list(zip(family.a, family.b, strict=True)) == [
        ("mse", "ncc"),
        ("mse", "nmi"),
        ("mse", "unregistered"),
        ("ncc", "nmi"),
        ("ncc", "unregistered"),
        ("nmi", "unregistered"),
    ]
    assert (family.effect[family.b == "unregistered"] > 0).all()
    assert family.effect.between(family.low, family.high).all()
    assert (family.all_low < family.low).all()
    assert (family.all_high > family.high).all()
    assert set(family.note) == {"about these trainings: fewer than 3 seeds"}
    few = table[(table.dataset == "a") & (table.metric == "epe")].set_index(["a", "b"])
    assert few.note["mse", "nmi"] == "not compared: b diverged"
    assert np.isnan(few.effect["mse", "nmi"])


def test_an_infinite_distance_is_not_compared(study: Study):
    metrics = chosen(study)
    worst = (metrics.loss == "mse") & (metrics.metric == "hd95") & metrics.chosen & (metrics.split == "test")
    metrics.loc[metrics.index[worst][0], "value"] = np.inf
    table = compare(metrics, METHODS, {})
    row = table[(table.dataset == "a") & (table.metric == "hd95") & (table.a == "mse") & (table.b == "ncc")].iloc[0]
    assert row.note == "not compared: infinite pairs, 1 of a, 0 of b"
    assert np.isnan(row.effect)


def test_two_subjects_are_not_tested():
    table = compare(chosen(Study([Made("a", subjects=2, pairs=1)], ["mse", "ncc"])), METHODS, {})
    assert table.note.str.startswith("no interval: fewer than 3 subjects").all()
    assert table.low.isna().all()
    assert table.effect.notna().all()


def test_a_subset_gives_the_same_numbers(study: Study):
    metrics = chosen(study)
    whole = compare(metrics, METHODS, {})
    part = compare(metrics[(metrics.loss != "nmi") & (metrics.dataset == "a")], METHODS, {})
    keys = ["dataset", "metric", "a", "b"]
    both = part.merge(whole, on=keys, suffixes=("", "_whole"))
    assert len(both) == len(part)
    for column in ("effect", "se", "low", "high"):
        np.testing.assert_allclose(both[column], both[f"{column}_whole"], rtol=1e-12)


def test_variants_and_seeds():
    study = Study([Made("a")], ["mse", "ncc"], variants={"ncc": ("small",)}, seeds=(0, 1, 2))
    metrics = chosen(study)
    table = compare(metrics, METHODS, {})
    assert "ncc/small" in set(table.b)
    assert (summarise(metrics, METHODS, {}).query("method == 'voxelmorph'").n_seeds == 3).all()


def test_bytes_of_tables_depend_on_their_content_alone(study: Study, tmp_path):
    metrics = chosen(study)
    for name, rows in (("one.csv", metrics), ("two.csv", metrics.sample(frac=1, random_state=1))):
        write_csv(summarise(rows, METHODS, {}), tmp_path / name)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert b"e-17" not in (tmp_path / "one.csv").read_bytes()


def run_script(name: str, **job: dict) -> None:
    """Run a script of the workflow with a stand-in for what Snakemake gives it."""
    path = Path(losses.__file__).parents[3] / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(SimpleNamespace(**{key: SimpleNamespace(**value) for key, value in job.items()}))


def test_scripts_lead_from_scores_to_tables(study: Study, tmp_path: Path):
    scores, models = [], []
    searches = []
    for key, rows in study.metrics().groupby(["dataset", "method", "loss"], dropna=False):
        scores.append(tmp_path / f"{'-'.join(map(str, key))}.parquet")
        rows.drop(columns="chosen").to_parquet(scores[-1], index=False)
    for made in study.datasets:
        for run in study.runs(made):
            searches.append(tmp_path / f"{run.place.replace('/', '-')}.json")
            found = [asdict(Search(lam, 10, 1.0, pairs=(PairSearch("a", "b", 10, True, 0.5, 0.1),))) for lam in LAMS]
            searches[-1].write_text(json.dumps({**run._asdict(), "searches": found}))
    for key, rows in study.curves().groupby(["dataset", "loss"]):
        models.append(tmp_path / "-".join(key))
        models[-1].mkdir()
        rows.to_csv(models[-1] / "curves.csv", index=False)
    names = {"metrics": "m.parquet", "curves": "c.parquet", "selection": "s.csv", "runs": "r.csv", "searches": "p.csv"}
    collected = {key: tmp_path / name for key, name in names.items()}
    used = {"collect": ["has_lam", "scale"], "summary": STATED, "comparisons": STATED}
    methods = {
        rule: {name: method.plain(*keys) for name, method in study.methods.items()} for rule, keys in used.items()
    }
    given = {"scores": scores, "searches": searches, "models": models}
    run_script("collect", input=given, output=collected, params={"methods": methods["collect"], "learnt": {}})
    for name in ("summary", "comparisons"):
        output = {"table": tmp_path / f"{name}.csv"}
        run_script(
            name,
            input={"datasets": [], **{key: collected[key] for key in ("metrics", "selection")}},
            output=output,
            params={"confidence": 0.9, "methods": methods[name]},
        )
    assert len(pd.read_csv(collected["selection"])) == 6
    assert len(pd.read_parquet(collected["curves"])) == len(study.curves())
    runs = pd.read_csv(collected["runs"])
    ends = ["lam", "multiple", "weight", "iterations", "converged", "diverged", "attained"]
    ends += ["extractor_learning", "extractor_weak"]
    assert list(runs.columns) == [*KEYS, *ends]
    assert len(runs) == 6 * len(LAMS)
    searches = pd.read_csv(collected["searches"])
    assert list(searches.columns) == [*KEYS, "lam", *(field.name for field in dataclass_fields(PairSearch))]
    assert len(searches) == len(runs)
    table = read_csv(tmp_path / "summary.csv")
    assert set(table.loss[table.method == "voxelmorph"]) == {"mse", "ncc", "nmi"}
    assert table.loss[table.method == "unregistered"].isna().all()
    assert set(read_csv(tmp_path / "comparisons.csv").b) == {"ncc", "nmi", "unregistered"}


def test_the_runtime_table_takes_records_of_different_jobs(tmp_path: Path):
    records = [tmp_path / "a.json", tmp_path / "b.json"]
    records[0].write_text(json.dumps({"rule": "train", "dataset": "a", "loss": "mse", "seed": 0, "seconds": 1.5}))
    records[1].write_text(json.dumps({"rule": "pretrain", "dataset": "a", "extractor": "x", "gpu": "none"}))
    run_script("runtime", input={"records": records}, output={"runtime": tmp_path / "runtime.csv"})
    table = pd.read_csv(tmp_path / "runtime.csv")
    assert list(table.rule) == ["train", "pretrain"]
    assert table.seconds[0] == 1.5


MADE_UP = ("voxelmorph", "transmorph", "given", "direct", "classical")
"""Two networks, a method without loss and λ, one with a loss but no λ, and one with λ but no loss."""


def test_every_kind_of_method_has_its_lines():
    study = Study([Made("a"), Made("b", field=False, missing=("ncc",))], ["mse", "ncc"], seeds=(0, 1), named=MADE_UP)
    metrics = chosen(study)
    table = summarise(metrics, METHODS, {}).query("dataset == 'a' and metric == 'epe'")
    seeds = {"voxelmorph": 2, "transmorph": 2, "direct": 0, "classical": 0, "given": 0, "unregistered": 0}
    assert list(table.method) == [*["voxelmorph"] * 2, *["transmorph"] * 2, *["direct"] * 2, *list(seeds)[3:]]
    assert (table.n_seeds == table.method.map(seeds)).all()
    assert (table.n_pairs == 20).all()
    uses_loss = table.method.isin(["voxelmorph", "transmorph", "direct"])
    assert (table.loss.notna() == uses_loss).all()
    assert (table.supervision.notna() == uses_loss).all()
    assert table["mean"].notna().all()


def test_the_losses_of_each_method_are_compared_beside_the_methods_that_use_none():
    study = Study([Made("a")], ["mse", "ncc"], named=MADE_UP)
    table = compare(chosen(study), METHODS, {}).query("metric == 'dice'")
    assert list(table.method.unique()) == ["voxelmorph", "transmorph", "direct"]
    for _, family in table.groupby("method"):
        assert list(dict.fromkeys([*family.a, *family.b])) == ["mse", "ncc", "classical", "given", "unregistered"]
        assert len(family) == 10
        assert family.low.notna().all()


def test_methods_without_losses_are_compared_with_each_other():
    table = compare(chosen(Study([Made("a")], [], named=("given", "classical"))), METHODS, {})
    assert table.method.isna().all()
    assert set(table.a) | set(table.b) == {"given", "classical", "unregistered"}


def test_what_is_compared_is_named_by_the_loss_or_by_the_method():
    assert name_of(METHODS["voxelmorph"], "ncc", "default") == "ncc"
    assert name_of(METHODS["direct"], "ncc", "small") == "ncc/small"
    assert name_of(METHODS["given"], None, None) == "given"
    assert name_of(METHODS["classical"], None, "cc") == "classical/cc"


AUDITED = ("unregistered", "path", "again", "identity", "truth")


def audit(
    objectives: tuple[float, ...], scores: tuple[float, ...], pair: str = "a", dataset: str = "d"
) -> pd.DataFrame:
    """Make the rows of one pair up, a search from every start."""
    rows = zip(AUDITED, objectives, scores, strict=True)
    who = {"dataset": dataset, "method": "optimisation", "loss": "mse", "variant": "default", "seed": pd.NA, "lam": 0.1}
    found = [{**who, "moving": pair, "fixed": "b", "start": s, "objective": o, "score": v} for s, o, v in rows]
    return pd.DataFrame(found).astype({"seed": "Int64"})


@pytest.mark.parametrize(
    ("objectives", "scores", "verdict"),
    [
        ((1.0, 0.5, 0.5, 0.5, 0.5), (5.0, 2.0, 2.0, 2.0, 2.0), "sound"),
        # lower from the truth, and another place
        ((1.0, 0.5, 0.5, 0.5, 0.4), (5.0, 2.0, 2.0, 2.0, 1.0), "search failed"),
        # lower from the identity, though further off: the search failed all the same
        ((1.0, 0.5, 0.5, 0.4, 0.6), (5.0, 2.0, 2.0, 3.0, 1.0), "search failed"),
        # lower from a second round: it had not converged, which is another matter
        ((1.0, 0.5, 0.4, 0.5, 0.5), (5.0, 2.0, 1.0, 2.0, 2.0), "sound"),
        # lower, but the same place; another place, but hardly lower
        ((1.0, 0.5, 0.4, 0.5, 0.5), (5.0, 2.0, 2.01, 2.0, 2.0), "sound"),
        ((1.0, 0.5, 0.496, 0.5, 0.5), (5.0, 2.0, 1.0, 2.0, 2.0), "sound"),
        # better at the truth, where the objective is higher
        ((1.0, 0.5, 0.5, 0.5, 0.6), (5.0, 2.0, 2.0, 2.0, 1.0), "loss wrong"),
        # this search alone diverged; all of them did
        ((1.0, np.nan, np.nan, 0.5, 0.4), (5.0, np.nan, np.nan, 2.0, 1.0), "search failed"),
        ((1.0, *[np.nan] * 4), (5.0, *[np.nan] * 4), "diverged"),
        # the same, but hardly better
        ((1.0, 0.5, 0.5, 0.5, 0.6), (5.0, 2.0, 2.0, 2.0, 1.98), "sound"),
    ],
)
def test_an_audit_tells_whether_search_or_loss_is_to_blame(objectives, scores, verdict):
    assert set(endings(audit(objectives, scores), {"d": "epe"}).verdict) == {verdict}


def test_higher_dice_is_better_in_an_audit():
    scores = (0.5, 0.7, 0.7, 0.7, 0.8)
    assert set(endings(audit((1.0, 0.5, 0.5, 0.5, 0.6), scores), {"d": "dice"}).verdict) == {"loss wrong"}
    assert set(endings(audit((1.0, 0.5, 0.5, 0.5, 0.6), scores), {"d": "tre"}).verdict) == {"sound"}


def test_audits_are_summed_up_by_run():
    one = audit((1.0, 0.5, 0.5, 0.5, 0.6), (5.0, 2.0, 2.0, 2.0, 1.0))
    other = audit((1.0, 0.5, 0.5, 0.5, 0.4), (5.0, 4.0, 4.2, 3.0, 2.0), pair="c")
    (row,) = summarise_verdicts(endings(pd.concat([one, other]), {"d": "epe"}), {"d": "epe"}).itertuples()
    assert (row.pairs, row.score, row.reference, row.reference_score) == (2, 3.0, "truth", 1.5)
    assert row.again == pytest.approx(0.1)
    assert row.identity == pytest.approx(-0.5)
    assert not row.settled
    assert row.path_worse
    assert np.isnan(row.draws)
    assert (row.search_failed, row.loss_wrong) == (0.5, 0.5)
    assert not len(summarise_verdicts(endings(one[:0], {}), {}))


def test_a_second_round_that_moves_pairs_both_ways_has_not_settled():
    one = audit((1.0, 0.5, 0.5, 0.5, 0.5), (5.0, 2.0, 2.2, 2.0, 2.0))
    other = audit((1.0, 0.5, 0.5, 0.5, 0.5), (5.0, 2.0, 1.8, 2.0, 2.0), pair="c")
    (row,) = summarise_verdicts(endings(pd.concat([one, other]), {"d": "epe"}), {"d": "epe"}).itertuples()
    assert row.again == pytest.approx(0)
    assert not row.settled
    assert not row.path_worse


@pytest.mark.parametrize(("metric", "worse"), [("epe", False), ("dice", True)])
def test_a_path_is_worse_where_separate_starts_score_better(metric: str, worse: bool):
    rows = audit((1.0, 0.5, 0.5, 0.5, 0.5), (0.4, 0.7, 0.7, 0.75, 0.7))
    (row,) = summarise_verdicts(endings(rows, {"d": metric}), {"d": metric}).itertuples()
    assert row.path_worse == worse


def test_what_more_draws_change_is_no_verdict():
    rows = audit((1.0, 0.5, 0.5, 0.5, 0.5), (5.0, 2.0, 2.0, 2.0, 2.0))
    drawn = rows[rows.start == "path"].assign(start="draws", objective=0.1, score=2.5)
    scored = endings(pd.concat([rows, drawn]), {"d": "epe"})
    assert set(scored.verdict) == {"sound"}
    assert summarise_verdicts(scored, {"d": "epe"}).draws.item() == pytest.approx(0.5)


def test_pairs_that_diverged_from_one_start_are_left_out_of_what_it_changes():
    one = audit((1.0, 0.5, 0.5, 0.5, 0.6), (5.0, 2.0, 2.5, 2.0, 1.0))
    other = audit((1.0, 0.5, np.nan, 0.5, np.nan), (5.0, 4.0, np.nan, 3.0, np.nan), pair="c")
    (row,) = summarise_verdicts(endings(pd.concat([one, other]), {"d": "epe"}), {"d": "epe"}).itertuples()
    assert (row.score, row.again, row.identity, row.reference_score) == (3.0, 0.5, -0.5, 2.0)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], None),
        ([2.0], True),
        # the last improvement is late, and large
        ([2.0, 1.0, 0.9, 0.8], True),
        # the same, but small; none; and one that was good enough before
        ([2.0, 1.0, 0.9, 0.89], False),
        ([2.0, 1.0, 0.9, 1.5], False),
        ([2.0, 0.8, 0.9, 0.8], False),
    ],
)
def test_a_curve_tells_whether_an_extractor_was_still_learning(losses, expected):
    curve = pd.DataFrame({"step": [10 * k for k in range(1, len(losses) + 1)], "quantity": "val_loss", "value": losses})
    other = curve.assign(quantity="train_loss", value=0.0)
    assert still_learning(pd.concat([curve, other])) is expected


@pytest.mark.parametrize(
    ("lost", "ignorance", "expected"), [(0.4, 1.0, False), (0.6, 1.0, True), (0.6, 1.3, False), (0.4, None, None)]
)
def test_a_curve_tells_whether_an_extractor_has_learnt_little(lost, ignorance, expected):
    rows = [(10, "val_loss", 2.0), (20, "val_loss", lost), (20, "train_loss", 0.1), (0, "val_ignorance", ignorance)]
    curve = pd.DataFrame(rows, columns=["step", "quantity", "value"])
    assert learnt_little(curve) is expected
    assert learnt_little(curve[:0]) is None


def test_what_lacks_pairs_is_compared_on_those_that_both_have():
    """Also where only one direction of a mirrored pair is there."""
    study = Study([Made("a")], ["mse"], named=("voxelmorph", "given"))
    metrics = chosen(study)
    pairs = metrics[(metrics.split == "test") & (metrics.method == "given")][["moving", "fixed"]].drop_duplicates()
    kept = set(pairs[::3].itertuples(index=False, name=None))
    there = np.array([pair in kept for pair in zip(metrics.moving, metrics.fixed, strict=True)])
    partial = metrics[(metrics.method != "given") | there]
    table = compare(partial, METHODS, {}).query("metric == 'epe'").set_index(["a", "b"])
    only = compare(metrics[there], METHODS, {}).query("metric == 'epe'").set_index(["a", "b"])
    whole = compare(metrics, METHODS, {}).query("metric == 'epe'").set_index(["a", "b"])
    for who in (("mse", "given"), ("given", "unregistered")):
        assert table.effect[who] == pytest.approx(only.effect[who])
        assert table.n_pairs[who] == only.n_pairs[who] < whole.n_pairs[who]
        assert "on the pairs that both have" in table.note[who]
    alone = ("mse", "unregistered")
    pd.testing.assert_series_equal(table.loc[alone], whole.loc[alone])
    missing = summarise(partial, METHODS, {}).groupby("method").n_missing.unique()
    assert missing["given"].tolist() == [len(pairs) - len(kept)]
    assert missing["voxelmorph"].tolist() == missing["unregistered"].tolist() == [0]


def test_no_interval_leaves_what_a_metric_can_be():
    study = Study([Made("a", subjects=5, pairs=4)], ["mse"], seeds=(1, 2, 3))
    metrics = chosen(study)
    folding = metrics.metric == "dice"
    metrics.loc[folding, "value"] = np.resize([0.01, 0.99], folding.sum())
    table = summarise(metrics, METHODS, {}).query("metric == 'dice'")
    assert table.ci_low.min() == 0
    assert table.ci_high.max() == 1
    # what is not known is not made up
    alone = summarise(chosen(Study([Made("a", subjects=2, pairs=1)], ["mse"])), METHODS, {})
    assert alone.ci_low.isna().all()


def test_an_atlas_is_no_subject_of_the_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of two atlases with half of the images each, no subject recurs."""
    pairs = [(f"p{i}", f"atlas{i % 2}") for i in range(8)]
    dataset = SimpleNamespace(
        meta={"name": "a"},
        pairs_of=lambda split: pairs if split == "test" else [],
        subject=lambda name: name,
        subjects=lambda *pair: pair[:1] * 2,
    )
    monkeypatch.setattr(Dataset, "open", lambda _: dataset)
    job = {"input": {"datasets": ["a"]}, "output": {"table": tmp_path / "t.csv"}, "params": {"simulations": 10}}
    run_script("calibration", **job)
    assert set(read_csv(tmp_path / "t.csv").query("case == 'normal'").n_subjects) == {8}
