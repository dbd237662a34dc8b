"""The workflow end to end: the smoke study, and what an edit, a failure or a folder of one's own leads to.

Everything runs in a copy of the project, so that nobody's results are touched.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from builders import make_dataset
from edits import library, todo, write_config
from project import Smoke, copy_project, files, same_everywhere, snakemake

from likeness.results import KEYS

FIGURES = ("scores", "smoothness_vs_dice", "convergence", "tuning", "img_sample", "landscape")
SUMMARY = (
    "dataset,method,loss,variant,supervision,metric,label,unit,n_pairs,n_subjects,n_seeds,mean,sd,median,ci_low,ci_high"
)
COMPARISONS = "dataset,method,metric,a,b,n_pairs,n_subjects,p,p_holm,effect,effect_low,effect_high,note"
LANDSCAPE = (
    "dataset,loss,variant,transform,gold,pairs,lines,accuracy,distinctiveness,capture_range,minima,risk,"
    "radius,reach,unit"
)
METRICS = (
    "dataset split method loss variant seed lam moving fixed moving_subject fixed_subject "
    "metric label value unit chosen"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("workflow") / "project")


def cost(project: Path) -> pd.DataFrame:
    """Jobs, wall seconds and core-seconds of every rule that ran."""
    wall, core = {}, {}
    for record in (project / ".snakemake" / "metadata").rglob("*"):
        if record.is_file():
            job = json.loads(record.read_text())
            # one record for each output of a job
            wall[job["rule"], *job["log"]] = job["endtime"] - job["starttime"]
            last = (project / job["log"][0]).read_text().splitlines()[-1]
            core[job["rule"], *job["log"]] = float(last.split(" core-seconds")[0])
    table = pd.Series(wall).groupby(level=0).agg(["count", "sum"])
    table.columns = pd.Index(["jobs", "wall_seconds"])
    return table.assign(core_seconds=pd.Series(core).groupby(level=0).sum()).sort_values("core_seconds")[::-1]


@pytest.mark.slow
def test_the_smoke_study_gives_every_result(smoke_study: Smoke, capsys: pytest.CaptureFixture[str]) -> None:
    smoke = smoke_study.project
    results = smoke / "results" / "smoke"
    for figure in FIGURES:
        assert (results / "figures" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert (results / "figures" / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    for dataset in ("mni-brain", "mni-brain-3d"):
        assert f"{dataset}.png" in (results / "datasets" / f"{dataset}.md").read_text()
        assert (results / "datasets" / f"{dataset}.json").is_file()
    assert (results / "tables" / "summary.csv").read_text().startswith(SUMMARY + "\n")
    assert (results / "tables" / "comparisons.csv").read_text().startswith(COMPARISONS + "\n")
    assert (results / "tables" / "landscape.csv").read_text().startswith(LANDSCAPE + "\n")
    assert not (results / "fields").exists() or not files(results / "fields")
    assert not files(results / "work")
    table = cost(smoke)
    with capsys.disabled():
        used = smoke_study.core_seconds
        print(f"\n\nThe smoke study: {table.jobs.sum()} jobs, {used:.0f} core-seconds with Snakemake itself")
        print(table.to_string(float_format="%.1f", na_rep="-"))


@pytest.mark.slow
def test_the_tables_of_the_smoke_study_hold_every_method_on_every_dataset(smoke: Path) -> None:
    results = smoke / "results" / "smoke"
    summary = pd.read_csv(results / "tables" / "summary.csv", keep_default_na=False)
    for dataset in ("mni-brain", "mni-brain-3d"):
        rows = summary[(summary.dataset == dataset) & (summary.label.isin(["mean", "all"]))]
        assert set(zip(rows.method, rows.loss, strict=True)) == {
            ("unregistered", ""),
            ("voxelmorph", "mse"),
            ("voxelmorph", "ncc"),
            ("voxelmorph", "deepsim_ae"),
        }
        assert {"epe", "dice", "hd95", "folding", "sdlogj"} <= set(rows.metric)
        assert (rows.n_pairs.astype(int) > 0).all()
    metrics = pd.read_parquet(results / "metrics.parquet")
    assert list(metrics.columns) == METRICS.split()
    network = metrics.method == "voxelmorph"
    assert set(metrics[network].lam) == {0.1, 1.0}
    assert metrics.loc[~network, ["loss", "variant", "seed", "lam"]].isna().all(axis=None)
    chosen = metrics[metrics.chosen & network]
    assert len(chosen[["dataset", "loss", "lam"]].drop_duplicates()) == 6
    runs = pd.read_csv(results / "tables" / "runs.csv")
    assert list(runs.columns) == [*KEYS, "lam", "iterations", "converged", "diverged"]
    assert len(runs) == 12
    landscape = pd.read_csv(results / "tables" / "landscape.csv")
    assert len(landscape) == 2 * 3 * 5
    assert set(landscape.gold) == {"true field"}
    assert landscape[["accuracy", "distinctiveness", "capture_range", "minima", "risk"]].notna().all(axis=None)
    runtime = pd.read_csv(results / "tables" / "runtime.csv")
    assert runtime.rule.value_counts().to_dict() == {
        "score": 8,
        "train": 6,
        "register": 6,
        "probe": 3,
        "pretrain": 2,
    }
    assert (runtime.peak_mb < 4000).all()


@pytest.mark.slow
def test_a_second_call_does_nothing(smoke: Path) -> None:
    assert "Nothing to be done" in snakemake(smoke, "smoke", "--cores", "1").stderr


@pytest.mark.slow
def test_check_tells_what_is_left_to_do(smoke: Path) -> None:
    call = [sys.executable, "workflow/tools/check.py", "--configfile"]
    said = subprocess.run([*call, "config/smoke.yaml"], cwd=smoke, capture_output=True, text=True, check=True).stdout
    assert "configuration and images are in order" in said
    assert "Nothing to be done" in said
    write_config(smoke, "anew", yaml.safe_load((smoke / "config" / "smoke.yaml").read_text()) | {"results": "anew"})
    said = subprocess.run([*call, "config/anew.yaml"], cwd=smoke, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^ +train_ncc +2 +[\d.]+$", said, re.M)
    assert re.search(r"about \d+ core-minutes?, .* GB on disk and .* GB while it runs; up to .* GB of memory", said)
    assert re.search(r"^Kinds of jobs: \d+ measured here", said, re.M)
    assert not (smoke / "anew").exists()


@pytest.mark.slow
def test_one_path_of_every_method_leads_to_its_own_rules(smoke: Path) -> None:
    """Of two methods of one kind, and of none, no rule makes the fields of another."""
    config = yaml.safe_load((smoke / "config" / "smoke.yaml").read_text())
    config["methods"]["narrow"] = {"kind": "voxelmorph", "channels_2d": [4, 8], "channels_3d": [4, 8]}
    write_config(smoke, "methods", config | {"results": "results/methods"})
    asked = {
        "voxelmorph/ncc/default/seed1": {"train_ncc", "register", "score"},
        "narrow/ncc/default/seed1": {"train_ncc", "register", "score"},
        "unregistered/-/-/seed-": {"score_unregistered"},
    }
    targets = [f"results/methods/scores/mni-brain/{place}.parquet" for place in asked]
    expected = {"simulate": 1, "prepare": 1, **Counter(rule for rules in asked.values() for rule in rules)}
    assert todo(smoke, "methods", *targets) == expected


def test_every_loss_has_a_rule_of_its_name_and_every_rule_a_loss(project: Path) -> None:
    modules = {p.stem for p in (library(project) / "losses").glob("[!_]*.py")} - {"base"}
    rules = {p.stem: p.read_text() for p in (project / "workflow" / "rules" / "losses").glob("*.smk")}
    assert set(rules) == modules
    for name, text in rules.items():
        assert f"use rule train as train_{name} with:" in text
        assert f'loss="{name}"' in text


OWN: dict[str, object] = {
    "title": "Two folders of one's own",
    "results": "results/own",
    "datasets": {"flat": {"folder": "own/flat"}, "solid": {"folder": "own/solid"}},
    "losses": {
        "mse": {"lambda": {"grid": [0.5, 1e38]}},
        "mse_masked": {"lambda": {"grid": [1e38]}},
        "deepsim_seg": None,
    },
    "methods": {"voxelmorph": {"channels_2d": [4, 8], "channels_3d": [4, 8], "norm": "none"}},
    "training": {"steps": 6, "batch": 1, "learning_rate": 0.001, "validate_every": 3, "lambda": {"grid": [0.5]}},
    "pretraining": {"steps": 6, "batch": 1, "validate_every": 3, "channels_2d": [4, 8], "channels_3d": [4, 8]},
    "statistics": {"resamples": 200},
}
"""λ = 1e38 overflows at the first step: a training that diverges."""


@pytest.fixture(scope="module")
def own(project: Path) -> Path:
    """Results of a study of two folders that a user gives, in which some trainings diverge."""
    parts = ("with_mask", "with_instances", "with_landmarks", "with_field", "with_unmatched")
    make_dataset(project / "own" / "flat", 2, 32, **dict.fromkeys(parts, True))
    make_dataset(project / "own" / "solid", 3, 24, with_label=False, with_landmarks=True, labels=None, evaluate=None)
    write_config(project, "own", OWN)
    snakemake(project, "own", "--cores", "2", threads="2")
    return project / "results" / "own"


@pytest.mark.slow
def test_a_folder_of_ones_own_goes_through_the_same_jobs(own: Path) -> None:
    metrics = pd.read_parquet(own / "metrics.parquet")
    found = {name: set(rows.metric) for name, rows in metrics.groupby("dataset")}
    alike = {"tre", "folding", "sdlogj"}
    assert {"dice", "dice_instance", "hd95", "epe", "nda", "epe_near_unmatched", *alike} <= found["flat"]
    assert {"ndv", *alike} <= found["solid"]
    assert not {"dice", "hd95", "epe"} & found["solid"]
    assert set(metrics.unit[metrics.metric.isin(["tre", "epe", "hd95"])]) == {"mm"}
    for name in ("flat", "solid"):
        assert (own / "datasets" / f"{name}.md").is_file()
    assert set(metrics.loss[metrics.dataset == "solid"].dropna()) == {"mse"}


@pytest.mark.slow
def test_a_diverged_training_is_a_result(own: Path) -> None:
    models = own / "models" / "flat" / "voxelmorph"
    training = json.loads((models / "mse_masked" / "default" / "seed1" / "training.json").read_text())
    assert training["grid"][0]["diverged_at"] == 0
    assert training["grid"][0]["file"] is None
    summary = pd.read_csv(own / "tables" / "summary.csv", keep_default_na=False)
    rows = summary[(summary.loss == "mse_masked") & (summary.metric == "epe")]
    assert rows[["n_pairs", "mean"]].astype(str).to_numpy().tolist() == [["0", ""]]
    notes = pd.read_csv(own / "tables" / "comparisons.csv").query("metric == 'epe'").set_index(["a", "b"]).note
    assert notes["mse", "mse_masked"] == "not compared: b diverged"
    selection = pd.read_csv(own / "tables" / "selection.csv").set_index(["dataset", "loss"])
    assert not selection.feasible["flat", "mse_masked"]
    for figure in FIGURES:
        assert (own / "figures" / f"{figure}.png").is_file()


@pytest.mark.slow
def test_a_weight_that_diverged_leaves_the_others(own: Path) -> None:
    selection = pd.read_csv(own / "tables" / "selection.csv").set_index(["dataset", "loss"])
    assert selection.lam["flat", "mse"] == 0.5
    metrics = pd.read_parquet(own / "metrics.parquet").query("dataset == 'flat' and loss == 'mse' and metric == 'epe'")
    assert metrics.value.notna().groupby(metrics.lam).all().to_dict() == {0.5: True, 1e38: False}


@pytest.mark.slow
def test_two_runs_with_different_cores_and_threads_give_the_same_bytes(own: Path, project: Path) -> None:
    write_config(project, "again", OWN | {"results": "results/again"})
    again = project / "results" / "again"
    targets = [f"results/again/tables/{name}.csv" for name in ("summary", "comparisons", "selection")]
    snakemake(project, "again", "--cores", "1", *targets)
    first, second = files(own), files(again)
    compared = [name for name in second if same_everywhere(name)]
    assert {f"tables/{name}.csv" for name in ("summary", "comparisons", "selection")} < set(compared)
    assert any(name.endswith(".safetensors") for name in compared)
    assert [name for name in compared if first[name] != second[name]] == []


@pytest.mark.slow
def test_a_changed_image_is_prepared_anew_and_a_spoilt_one_refused(own: Path, project: Path) -> None:
    image = project / "own" / "flat" / "image" / "train0.png"
    assert todo(project, "own") == {}
    os.utime(image)
    assert todo(project, "own")["prepare"] == 1
    before = files(own / "tables")
    image.write_bytes(b"no picture")
    call = [sys.executable, "-m", "snakemake", "--configfile", "config/own.yaml", "--cores", "1"]
    done = subprocess.run(call, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("config/own.yaml: key 'datasets.flat.folder': own/flat/image/train0.png: ")
    assert "Traceback" not in done.stderr
    check = [sys.executable, "workflow/tools/check.py", "--configfile", "config/own.yaml"]
    checked = subprocess.run(check, cwd=project, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr.strip()) == (1, last)
    assert files(own / "tables") == before
