"""The workflow end to end: the smoke study, and what is left to do after it.

Everything runs in a copy of the project, so that nobody's results are touched.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import given_fields
import pandas as pd
import pytest
import yaml
from edits import todo, write_config
from project import Smoke, files, snakemake

from likeness import figures
from likeness.results import KEYS

SUMMARY = (
    "dataset,method,loss,variant,supervision,metric,label,unit,n_pairs,n_subjects,n_seeds,n_missing,n_lost"
    ",mean,sd,median,ci_low,ci_high,note"
)
COMPARISONS = "dataset,method,metric,a,b,n_pairs,n_subjects,effect,se,df,low,high,all_low,all_high,wins,note"
LANDSCAPE = (
    "dataset,loss,variant,transform,reference,pairs,lines,accuracy,distinctiveness,capture_range,minima,risk,attraction,"
    "radius,reach,unit"
)
METRICS = (
    "dataset split method loss variant seed lam moving fixed moving_subject fixed_subject "
    "metric label value unit chosen"
)


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
    for figure in figures.names():
        assert (results / "figures" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert (results / "figures" / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    for dataset in ("mni-brain", "mni-brain-3d"):
        assert f"{dataset}.png" in (results / "datasets" / f"{dataset}.md").read_text()
        assert (results / "datasets" / f"{dataset}.json").is_file()
    assert (results / "tables" / "summary.csv").read_text().startswith(SUMMARY + "\n")
    assert (results / "tables" / "comparisons.csv").read_text().startswith(COMPARISONS + "\n")
    assert (results / "tables" / "landscape.csv").read_text().startswith(LANDSCAPE + "\n")
    # those of networks are temporary, what was searched for is not
    assert {name.split("/")[1] for name in files(results / "fields")} <= {"optimisation", "syn"}
    assert not files(results / "work")
    exported = (name for name in files(results / "exports" / "itk") if name.endswith(".nii.gz"))
    every = 4 + 6 + 3 + 4
    held = {"optimisation": 3 * every, "voxelmorph": 3 * every, "syn": every, **given_fields.HELD}
    assert Counter(name.split("/")[1] for name in exported) == held
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
            ("syn", ""),
            *((method, loss) for method in ("optimisation", "voxelmorph") for loss in ("mse", "ncc", "deepsim_ae")),
            *((method, "") for method, datasets in given_fields.HAVE.items() if dataset in datasets),
        }
        lacking = set(rows.method[rows.n_missing.astype(int) > 0])
        assert lacking == ({given_fields.PARTIAL} if dataset == "mni-brain" else set())
        assert {"epe", "dice", "hd95", "folding", "sdlogj"} <= set(rows.metric)
        assert (rows.n_pairs.astype(int) > 0).all()
    metrics = pd.read_parquet(results / "metrics.parquet")
    assert list(metrics.columns) == METRICS.split()
    assert set(metrics[metrics.method == "voxelmorph"].lam) == {0.1, 1.0}
    assert {0.05, 0.1} <= set(metrics[metrics.method == "optimisation"].lam)
    without = metrics.method.isin(["unregistered", *given_fields.METHODS])
    assert metrics.loc[without, ["loss", "variant", "seed", "lam"]].isna().all(axis=None)
    syn = metrics[metrics.method == "syn"]
    assert syn[["loss", "seed"]].isna().all(axis=None)
    assert set(zip(syn.variant, syn.lam, strict=True)) == {("mi", 0.0), ("mi", 1.0)}
    chosen = metrics[metrics.chosen & ~without]
    assert len(chosen[["dataset", "method", "loss", "lam"]].drop_duplicates()) == 14
    errors = metrics[(metrics.metric == "epe") & (metrics.split == "test") & metrics.chosen].groupby("method").value
    assert (errors.mean()[["optimisation", "syn"]] < 0.8 * errors.mean()["unregistered"]).all()
    runs = pd.read_csv(results / "tables" / "runs.csv")
    ends = ["lam", "multiple", "weight", "iterations", "converged", "diverged", "attained"]
    ends += ["extractor_learning", "extractor_weak"]
    assert list(runs.columns) == [*KEYS, *ends]
    assert set(runs.loss[runs.extractor_learning.notna()]) == {"deepsim_ae"}
    assert (runs.method == "voxelmorph").sum() == 12
    searched = runs[runs.method == "optimisation"]
    searched = searched[searched.attained]
    assert set(searched.lam) >= {0.05, 0.1}
    searches = pd.read_csv(results / "tables" / "searches.csv")
    searches = searches.merge(searched[["dataset", "loss", "lam"]])
    pairs = searches.groupby("dataset").size() / searched.groupby("dataset").size()
    assert pairs.to_dict() == {"mni-brain": 4 + 6, "mni-brain-3d": 3 + 4}
    landscape = pd.read_csv(results / "tables" / "landscape.csv")
    assert len(landscape) == 2 * 3 * 5
    assert set(landscape.reference) == {"true field"}
    assert landscape[["accuracy", "distinctiveness", "capture_range", "minima", "risk"]].notna().all(axis=None)
    runtime = pd.read_csv(results / "tables" / "runtime.csv")
    assert runtime.rule.value_counts().to_dict() == {
        "score": 20,
        "classical": 2,
        "given": 4,
        "optimise": 6,
        "audit": 6,
        "train": 6,
        "register": 6,
        "sample_landscape": 3,
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
    assert "configuration and images are valid" in said
    assert "Nothing to be done" in said
    anew = {"results": "anew", "losses": {"ncc": None}, "contrasts": [], "only_datasets": "mni-brain"}
    write_config(smoke, "anew", yaml.safe_load((smoke / "config" / "smoke.yaml").read_text()) | anew)
    said = subprocess.run([*call, "config/anew.yaml"], cwd=smoke, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^ +train_ncc +1 +[\d.]+$", said, re.M)
    assert re.search(r"about \d+ core-minutes?, .* GB on disk, .* GB while running; up to .* GB memory", said)
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
        "optimisation/ncc/default/seed-": {"optimise_ncc", "score"},
        "given-voxels/-/-/seed-": {"given", "score"},
        "unregistered/-/-/seed-": {"score_unregistered"},
    }
    targets = [f"results/methods/scores/mni-brain/{place}.parquet" for place in asked]
    expected = {"simulate": 1, "prepare": 1, **Counter(rule for rules in asked.values() for rule in rules)}
    assert todo(smoke, "methods", *targets) == expected
