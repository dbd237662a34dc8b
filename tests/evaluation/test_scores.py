"""Scores of a pair: which there are, their units, and what is undefined."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from likeness import fields, metrics
from likeness.data.store import PARTS, Dataset, Sample
from likeness.datasets.simulate.fields import random_warp
from likeness.evaluation import table as tables
from likeness.evaluation.scores import PairScorer, score_pair
from likeness.evaluation.table import COLUMNS, score_fields, score_unregistered
from likeness.fields import Fields, Search
from likeness.geometry import warp_labels
from likeness.metrics import overlap
from likeness.results import KEYS, Run
from likeness.userinput.errors import UserError

SHAPE = (40, 48)
NONE = Run("made-up", "unregistered")


def dataset(labels, evaluate, unit="mm", spacing=(2.0, 2.0), groups=("g", "g")):
    meta = {
        "name": "made-up",
        "spatial_dims": len(spacing),
        "shape": list(SHAPE),
        "spacing": list(spacing),
        "spacing_unit": unit,
        "labels": labels,
        "evaluate": evaluate,
    }
    images = pd.DataFrame({"group": list(groups)}, index=["m", "f"])
    return Dataset(Path("nowhere"), meta, images, pd.DataFrame())


def sample(name, shape=SHAPE, **parts):
    return Sample(name, np.zeros(shape, np.float32), **parts)


def scores(rows):
    return {(row["metric"], row["label"]): row["value"] for row in rows}


@pytest.fixture(scope="module")
def simulated():
    """A pair of warps of one template, with all parts that scores need, and its true displacement."""
    grid = np.indices(SHAPE)
    template = ((grid[0] // 8) * 6 + grid[1] // 8 + 1).astype(np.int16)
    centre, disc = (np.array(SHAPE) - 1) / 2, np.moveaxis(grid, 0, -1)
    head = np.linalg.norm((disc - centre) / centre, axis=-1) < 0.8
    lesion = np.linalg.norm(disc - centre, axis=-1) < 4
    template = np.where(head, template, 0)
    pair = []
    for index, name in enumerate("mf"):
        field = random_warp(SHAPE, (2, 2), (8, 16), (3, 4), np.random.default_rng(index))
        parts = {"label": warp_labels(template, field), "mask": warp_labels(head, field), "field": field}
        parts["instances"] = parts["label"].astype(np.int32)
        pair.append(sample(name, unmatched=warp_labels(lesion, field) if name == "f" else None, **parts))
    ids = [int(i) for i in np.unique(template)]
    return dataset({i: f"region {i}" for i in ids}, ids[1:]), *pair


def test_every_score_has_its_unit_and_label(simulated):
    rows = pd.DataFrame(PairScorer(*simulated).score(None))
    units = rows.groupby("metric").unit.unique().map(list).to_dict()
    expected = {
        "dice": ["1"],
        "dice_held_out": ["1"],
        "dice_instance": ["1"],
        "hd95": ["mm"],
        "epe": ["mm"],
        "epe_near_unmatched": ["mm"],
        "abslogj_unmatched": ["1"],
        "folding": ["%"],
        "sdlogj": ["1"],
        "nda": ["%"],
    }
    # of further metrics their cards tell
    assert {metric: units[metric] for metric in expected} == expected
    assert set(rows.label[rows.metric.isin(["dice", "hd95"])]) == {
        simulated[0].labels[i] for i in simulated[0].evaluate
    }
    assert set(rows.label[rows.metric == "dice_held_out"]) == {simulated[0].labels[i] for i in simulated[0].held_out}
    assert set(rows.label[~rows.metric.isin(metrics.per_label())]) == {"all", "mean"}


def test_the_truth_scores_best(simulated):
    scorer = PairScorer(*simulated)
    before, after = scores(scorer.score(None)), scores(scorer.score(scorer.truth.displacement))
    assert after["epe", "all"] == 0 < 2 < before["epe", "all"]
    assert after["epe_near_unmatched", "all"] == 0 < before["epe_near_unmatched", "all"]
    dice = [np.nanmean([v for (metric, _), v in s.items() if metric == "dice"]) for s in (before, after)]
    assert dice[0] < 0.7
    assert dice[1] > 0.85  # regions of 8 voxels, labels of nearest voxels twice over
    assert after["dice_instance", "mean"] > 0.85


def test_the_truth_takes_labels_where_they_belong(simulated):
    """Ties the direction of fields to that of warping: everything else follows from it."""
    _, moving, fixed = simulated
    truth = PairScorer(*simulated).truth
    moved = warp_labels(moving.label, truth.displacement)
    assert (moved == fixed.label)[truth.counterpart].mean() > 0.9
    assert (moving.label == fixed.label)[truth.counterpart].mean() < 0.7


def test_a_scorer_gives_the_same_for_the_same_displacement(simulated):
    scorer = PairScorer(*simulated)
    displacement = random_warp(SHAPE, (2, 2), (8,), (2,), np.random.default_rng(5))
    first = scorer.score(displacement)
    scorer.score(None)
    pd.testing.assert_frame_equal(pd.DataFrame(scorer.score(displacement)), pd.DataFrame(first))
    pd.testing.assert_frame_equal(pd.DataFrame(score_pair(*simulated, displacement)), pd.DataFrame(first))
    without = [row for row in first if not metrics.card(row["metric"])["costly"]]
    assert len(without) < len(first)
    pd.testing.assert_frame_equal(pd.DataFrame(scorer.score(displacement, costly=False)), pd.DataFrame(without))


def test_unregistered_is_the_displacement_zero(simulated):
    scorer = PairScorer(*simulated)
    nothing = scores(scorer.score(None))
    assert nothing == pytest.approx(scores(scorer.score(np.zeros((*SHAPE, 2)))), nan_ok=True)
    assert [nothing[metric, "all"] for metric in ("folding", "sdlogj", "nda", "abslogj_unmatched")] == [0, 0, 0, 0]


def test_labels_absent_before_warping_are_undefined_and_lost_ones_are_infinite():
    moving, fixed = np.zeros((2, *SHAPE), np.int16)
    moving[:, :10], fixed[:, :10] = 1, 1
    moving[:, 40:] = 2  # absent in fixed
    fixed[:, 20:22] = 3  # absent in moving
    moving[30:, 12:14] = fixed[:5, 12:14] = 4
    away = np.zeros((*SHAPE, 2), np.float32)
    away[..., 1] = np.where(np.arange(48) < 20, 15, 0)  # nothing is taken from columns 0 to 14
    made = dataset({i: str(i) for i in range(5)}, [1, 2, 3, 4])
    found = scores(score_pair(made, sample("m", label=moving), sample("f", label=fixed), away))
    assert found["dice", "1"] == 0
    assert found["hd95", "1"] == np.inf
    assert found["hd95", "4"] == np.inf
    assert np.isnan([found[metric, label] for metric in ("dice", "hd95") for label in "23"]).all()
    assert not any(np.isnan(found[metric, label]) for metric in ("dice", "hd95") for label in "14")


def test_background_is_not_scored():
    """It would lift every mean: here to .5 for a registration that misses the structure."""
    moving, fixed = np.zeros((2, *SHAPE), np.int16)
    moving[:3, :3] = fixed[-3:, -3:] = 1
    made = dataset({0: "background", 1: "structure"}, [1])
    found = scores(score_pair(made, sample("m", label=moving), sample("f", label=fixed), None))
    assert [key for key in found if key[0] == "dice"] == [("dice", "structure")]
    assert found["dice", "structure"] == 0
    assert overlap.dice(fixed, moving, [0, 1]).mean() > 0.49


def test_outside_is_no_structure_where_label_0_is_one():
    label = np.zeros(SHAPE, np.int16)
    label[:, 24:] = 1
    made = dataset({0: "membrane", 1: "cell"}, [0, 1], "nm")
    shift = np.zeros((*SHAPE, 2), np.float32)
    shift[..., 1] = -24  # columns 0 to 23 come from outside, 24 to 47 from label 0
    found = scores(score_pair(made, sample("m", label=label), sample("f", label=label), shift))
    assert found["dice", "membrane"] == 0
    assert found["dice", "cell"] == 0


def test_distances_are_in_the_unit_of_the_spacing():
    label = np.zeros((20, 20), np.int16)
    label[:, :10] = 1
    shift = np.zeros((20, 20, 2), np.float32)
    shift[..., 1] = -3
    points = np.array([[4.0, 5.0], [8.0, 9.0]])
    moving = sample("m", (20, 20), label=label, landmarks=points, field=np.zeros_like(shift))
    fixed = sample("f", (20, 20), label=label, landmarks=points, field=np.zeros_like(shift))
    made = dataset({0: "a", 1: "b"}, [1], "nm", (1.0, 4.6))
    rows = score_pair(made, moving, fixed, shift)
    found = scores(rows)
    assert found["epe", "all"] == pytest.approx(3 * 4.6)
    assert found["tre", "all"] == pytest.approx(3 * 4.6)
    assert {row["unit"] for row in rows if row["metric"] in ("epe", "tre", "hd95")} == {"nm"}


def test_there_is_no_truth_between_groups(simulated):
    made, moving, fixed = simulated
    apart = replace(made, images=pd.DataFrame({"group": ["g", "h"]}, index=["m", "f"]))
    found = scores(score_pair(apart, moving, fixed, None))
    assert ("epe", "all") not in found
    assert ("abslogj_unmatched", "all") in found


def test_errors_count_only_where_there_is_a_counterpart(simulated):
    made, moving, fixed = simulated
    truth = PairScorer(*simulated).truth
    assert not (truth.counterpart & ~fixed.mask).any()
    assert not (truth.counterpart & fixed.unmatched).any()
    landing = warp_labels(moving.mask, truth.displacement)
    assert not (truth.counterpart & ~landing).any()
    wrong = np.where(truth.counterpart[..., None], truth.displacement, 99)
    assert scores(score_pair(made, moving, fixed, wrong))["epe", "all"] == 0


def test_content_of_the_moving_image_without_counterpart_is_found_by_the_truth(simulated):
    made, moving, fixed = simulated
    swapped = PairScorer(made, moving, replace(fixed, unmatched=None))
    assert swapped.unmatched is None
    lesion = warp_labels(fixed.unmatched, PairScorer(made, fixed, moving).truth.displacement)
    marked = PairScorer(made, replace(moving, unmatched=lesion), replace(fixed, unmatched=None))
    assert overlap.dice(marked.unmatched.astype(int), fixed.unmatched.astype(int), [1])[0] > 0.8
    assert not (marked.truth.counterpart & marked.unmatched).any()


@pytest.mark.parametrize(("unit", "columns"), [("mm", 5), ("nm", 10)])
def test_near_is_10_mm_or_10_voxels(unit, columns):
    still = np.zeros((*SHAPE, 2), np.float32)
    unmatched = np.zeros(SHAPE, bool)
    unmatched[:, :4] = True
    made = dataset({0: "a"}, [], unit, (2.0, 2.0))
    near = np.zeros((*SHAPE, 2), np.float32)
    near[:, 4 : 4 + columns, 0] = 1
    found = scores(score_pair(made, sample("m", field=still), sample("f", field=still, unmatched=unmatched), near))
    assert found["epe_near_unmatched", "all"] == pytest.approx(2)
    assert found["epe", "all"] < 1


def test_a_dose_of_nothing_is_undefined_near_nothing(simulated):
    made, moving, fixed = simulated
    found = scores(score_pair(made, moving, replace(fixed, unmatched=np.zeros(SHAPE, bool)), None))
    assert np.isnan(found["epe_near_unmatched", "all"])
    assert np.isnan(found["abslogj_unmatched", "all"])
    assert found["epe", "all"] > 0


def test_a_diverged_field_scores_nan_throughout(simulated):
    broken = np.zeros((*SHAPE, 2), np.float32)
    broken[3, 3, 0] = np.nan
    rows = score_pair(*simulated, broken)
    assert np.isnan([row["value"] for row in rows]).all()
    keys = [(row["metric"], row["label"], row["unit"]) for row in score_pair(*simulated, None)]
    assert [(row["metric"], row["label"], row["unit"]) for row in rows] == keys


def test_a_huge_field_scores(simulated):
    found = scores(score_pair(*simulated, np.full((*SHAPE, 2), 1e30, np.float32)))
    assert {v for (metric, _), v in found.items() if metric == "dice"} == {0}


def test_a_field_of_other_shape_is_refused(simulated):
    with pytest.raises(ValueError, match=r"m>f: shape \(2, 40, 48\), but the fixed image needs \(40, 48, 2\)"):
        score_pair(*simulated, np.zeros((2, *SHAPE)))


def test_volumes_have_volume_scores():
    shape = (10, 12, 14)
    label = np.zeros(shape, np.int16)
    label[3:7, 3:8, 3:9] = 1
    made = dataset({0: "a", 1: "b"}, [1], "mm", (1.0, 1.0, 1.0))
    rows = score_pair(made, sample("m", shape, label=label), sample("f", shape, label=label), None)
    found = scores(rows)
    assert found["dice", "b"] == 1
    assert found["hd95", "b"] == 0
    assert ("ndv", "all") in found
    assert ("nda", "all") not in found
    assert ("l2r_sdlogj", "all") in found


@pytest.fixture
def prepared(tmp_path, simulated):
    """A dataset on disk with one validation and one test pair, mirrored."""
    made, moving, fixed = simulated
    (tmp_path / "images").mkdir()
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(made.meta))
    pd.DataFrame({"id": ["m", "f"], "group": "g", "subject": ["ann", ""], "modality": "", "split": "test"}).to_csv(
        tmp_path / "images.csv", index=False
    )
    pd.DataFrame({"split": ["val", "test"], "moving": ["m", "f"], "fixed": ["f", "m"]}).to_csv(
        tmp_path / "pairs.csv", index=False
    )
    for one in (moving, fixed):
        parts = {part: getattr(one, part) for part in PARTS if getattr(one, part) is not None}
        np.savez(tmp_path / "images" / f"{one.name}.npz", **parts)
    return Dataset.open(tmp_path)


def test_table_of_unregistered_pairs(prepared):
    table = score_unregistered(prepared, NONE)
    assert tuple(table.columns) == COLUMNS
    absent = ["loss", "variant", "seed", "lam"]
    assert table.drop(columns=[*absent, "value"]).notna().all(axis=None)
    assert table[absent].isna().all(axis=None)
    names = table[["split", "moving", "fixed", "moving_subject", "fixed_subject"]].drop_duplicates()
    assert names.to_numpy().tolist() == [["val", "m", "f", "ann", "f"], ["test", "f", "m", "f", "ann"]]


def write_fields(dataset, folder, lams):
    """Write the true displacements of all pairs, times λ, or as they are."""
    for moving, fixed in (("m", "f"), ("f", "m")):
        truth = PairScorer(dataset, dataset.load(moving), dataset.load(fixed)).truth.displacement
        for lam in lams:
            fields.write(folder, lam, moving, fixed, truth * (1 if lam is None else lam))


def test_table_of_a_run(prepared, tmp_path):
    write_fields(prepared, tmp_path, (0.5, 2.0))
    searches = [Search(0.5), Search(2.0), Search(8.0, diverged=True)]
    fields.write_manifest(tmp_path, prepared.shape, searches)
    run = Run("made-up", "net", "mse", "default", 3)
    table = score_fields(prepared, Fields.open(tmp_path), run)
    assert tuple(table.columns) == COLUMNS
    assert set(table[list(KEYS)].itertuples(index=False, name=None)) == {tuple(run)}
    assert table.value[table.lam == 8].isna().all()
    assert table.groupby("lam").size().tolist() == [len(table) // 3] * 3
    error = table[table.metric == "epe"].set_index(["split", "lam"]).value
    assert error["val", 0.5] == pytest.approx(
        score_unregistered(prepared, NONE).query("metric == 'epe'").value.iloc[0] / 2
    )
    assert 0 < error["test", 0.5] < error["test", 2.0]


def test_there_and_back_is_scored_where_both_directions_were_registered(prepared, tmp_path):
    """At the chosen λ, on test pairs, with the field of the other direction at the same λ."""
    mirrored = pd.DataFrame({"split": ["val", "test", "test"], "moving": ["m", "f", "m"], "fixed": ["f", "m", "f"]})
    both = replace(prepared, pairs=mirrored)
    write_fields(both, tmp_path, (0.5, 1.0))
    fields.write_manifest(tmp_path, both.shape, [Search(0.5), Search(1.0)])
    run = Run("made-up", "net", "mse", "default", 3)
    found = {}
    for lam in (0.5, 1.0):
        table = score_fields(both, Fields.open(tmp_path), run, lambda _, lam=lam: lam)
        found[lam] = table[table.metric == "inverse_consistency"]
    for lam, rows in found.items():
        assert rows[["split", "lam", "fixed"]].to_numpy().tolist() == [["test", lam, "m"], ["test", lam, "f"]]
    # true fields are inverse to each other, halves of them are not
    assert found[1.0].value.max() < 0.3 < found[0.5].value.min()
    one = score_fields(prepared, Fields.open(tmp_path), run, lambda _: 1.0)
    assert "inverse_consistency" not in set(one.metric)
    assert "inverse_consistency" not in set(score_unregistered(both, NONE).metric)


def test_a_method_without_loss_and_weight_leaves_nulls_that_a_file_keeps(prepared, tmp_path):
    write_fields(prepared, tmp_path / "fields", (None,))
    fields.write_manifest(tmp_path / "fields", prepared.shape, [Search(None)])
    table = score_fields(prepared, Fields.open(tmp_path / "fields"), Run("made-up", "given"))
    assert table[["loss", "variant", "seed", "lam"]].isna().all(axis=None)
    error = table[table.metric == "epe"].value
    assert error.max() < score_unregistered(prepared, NONE).query("metric == 'epe'").value.min()
    table.to_parquet(tmp_path / "table.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "table.parquet"), table)


def test_the_sample_is_of_one_test_pair_and_leaves_out_what_diverged(prepared, tmp_path):
    write_fields(prepared, tmp_path, (0.5,))
    fields.write_manifest(tmp_path, prepared.shape, [Search(0.5), Search(8.0, diverged=True)])
    found = tables.sample(prepared, Fields.open(tmp_path))
    assert (str(found["moving"]), str(found["fixed"])) == ("f", "m")
    assert found["lams"].tolist() == [0.5]
    assert found["displacements"].shape == (1, *SHAPE, 2)


def test_fields_on_another_grid_are_refused(prepared, tmp_path):
    fields.write_manifest(tmp_path, (8, 8), [Search(None)])
    with pytest.raises(UserError, match=r"has fields on a grid of \(8, 8\) voxels, but made-up has \(40, 48\)"):
        score_fields(prepared, Fields.open(tmp_path), Run("made-up", "given"))
