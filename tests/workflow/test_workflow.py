"""The workflow end to end: the smoke study, and what an edit leads to.

Everything runs in a copy of the project, so that nobody's results are touched.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import yaml
from project import Smoke, files, snakemake

from likeness.results import KEYS

FIGURES = ("scores", "smoothness_vs_dice", "convergence", "tuning", "img_sample", "landscape")
AFTER_SCORES = {"collect": 1, "runtime": 1, "summary": 1, "comparisons": 1, "plot": 5, "all": 1}
AFTER_ALL = {**AFTER_SCORES, "profiles": 1, "plot": 6}
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


def todo(project: Path, config: str = "smoke", *targets: str) -> dict[str, int]:
    """Ask for the jobs per rule that are left to do."""
    said = snakemake(project, config, "--quiet", "rules", "--dry-run", *targets).stdout
    return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) +(\d+)$", said, re.M) if m[1] != "total"}


@contextmanager
def edited(path: Path, *changes: tuple[str, str]) -> Iterator[None]:
    """Change a file for the length of a block; every text to change must be there; without changes, add code."""
    before = path.read_text()
    after = before if changes else before + "\nEDITED = 1\n"
    for old, new in changes:
        assert old in after, f"{path} does not hold {old!r}"
        after = after.replace(old, new, 1)
    path.write_text(after)
    try:
        yield
    finally:
        path.write_text(before)


def write_config(project: Path, name: str, content: Mapping[str, object]) -> None:
    (project / "config" / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def library(project: Path) -> Path:
    return project / "workflow" / "lib" / "likeness"


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
def test_comments_and_docstrings_rerun_nothing(smoke: Path) -> None:
    remark = ("\nfrom __future__ import", "\n# a remark\n\nfrom __future__ import")
    lib, scripts = library(smoke), smoke / "workflow" / "scripts"
    with (
        edited(lib / "losses" / "ncc.py", remark, ('"""', '"""Reworded: ')),
        edited(
            lib / "training" / "trainer.py", remark, ('    """Trains one model', '    """Reworded: trains one model')
        ),
        edited(lib / "data" / "preparation.py", remark),
        edited(scripts / "train.py", ("def main", "# a remark\ndef main")),
        edited(scripts / "summary.py", ('"""', '"""Reworded: ')),
    ):
        assert todo(smoke) == {}


@pytest.mark.slow
def test_an_edited_loss_reruns_what_depends_on_it(smoke: Path) -> None:
    with edited(library(smoke) / "losses" / "ncc.py"):
        jobs = {"train_ncc": 2, "register": 2, "score": 2, "probe": 1}
        assert todo(smoke) == {**jobs, **AFTER_ALL}


@pytest.mark.slow
def test_an_edited_extractor_reruns_its_pretraining_and_its_losses(smoke: Path) -> None:
    with edited(library(smoke) / "extractors" / "autoencoder.py"):
        jobs = {"pretrain": 2, "train_deepsim_ae": 2, "register": 2, "score": 2, "probe": 1}
        assert todo(smoke) == {**jobs, **AFTER_ALL}


@pytest.mark.slow
def test_an_edited_trainer_reruns_every_training(smoke: Path) -> None:
    trainings = {"pretrain": 2, "train_mse": 2, "train_ncc": 2, "train_deepsim_ae": 2}
    with edited(library(smoke) / "training" / "trainer.py"):
        assert todo(smoke) == {**trainings, "register": 6, "score": 6, "probe": 3, **AFTER_ALL}


@pytest.mark.slow
def test_an_edited_metric_scores_anew_and_trains_nothing(smoke: Path) -> None:
    with edited(library(smoke) / "metrics" / "surface.py"):
        jobs = todo(smoke)
    assert (jobs["score"], jobs["score_unregistered"]) == (6, 2)
    assert not [rule for rule in jobs if rule.startswith(("train", "pretrain"))]


@pytest.mark.slow
def test_an_edited_plot_redraws_one_figure(smoke: Path) -> None:
    with edited(library(smoke) / "figures" / "tuning.py"):
        assert todo(smoke) == {"plot": 1, "all": 1}


@pytest.mark.slow
def test_an_edited_measure_probes_and_trains_nothing(smoke: Path) -> None:
    with edited(library(smoke) / "statistics" / "landscape.py"):
        assert todo(smoke) == {"profiles": 1, "plot": 1, "all": 1}


@pytest.mark.slow
def test_another_sampling_of_a_dataset_trains_nothing(smoke: Path) -> None:
    config = yaml.safe_load((smoke / "config" / "smoke.yaml").read_text())
    config["datasets"]["mni-brain"]["landscape"] = {"steps": 3}
    write_config(smoke, "denser", config)
    assert todo(smoke, "denser") == {"probe": 3, "runtime": 1, "profiles": 1, "plot": 1, "all": 1}


@pytest.mark.slow
def test_a_changed_card_reruns_what_shows_it(smoke: Path) -> None:
    card = library(smoke) / "losses" / "ncc.py"
    colour = re.search(r'"colour": "(#\w+)"', card.read_text())
    assert colour is not None
    with edited(card, (colour[1], "#123456")):
        assert todo(smoke) == {"plot": 6, "all": 1}
    with edited(card, ('"supervision": "none"', '"supervision": "labels"')):
        assert todo(smoke) == {"plot": 6, "summary": 1, "comparisons": 1, "all": 1}


@pytest.mark.slow
def test_a_changed_grid_of_one_loss_retrains_that_loss(smoke: Path) -> None:
    config = yaml.safe_load((smoke / "config" / "smoke.yaml").read_text())
    write_config(smoke, "grid", config | {"losses": config["losses"] | {"ncc": {"lambda": {"grid": [0.2]}}}})
    assert todo(smoke, "grid") == {"train_ncc": 2, "register": 2, "score": 2, **AFTER_SCORES}


@pytest.mark.slow
def test_a_further_loss_runs_alone(smoke: Path) -> None:
    """Tables and figures exist already; the new loss runs all the same."""
    config = yaml.safe_load((smoke / "config" / "smoke.yaml").read_text())
    write_config(smoke, "further", config | {"losses": config["losses"] | {"mind": None}})
    jobs = {"train_mind": 2, "register": 2, "score": 2, "probe": 1}
    assert todo(smoke, "further") == {**jobs, **AFTER_ALL}


@pytest.mark.slow
def test_check_tells_what_is_left_to_do(smoke: Path) -> None:
    call = [sys.executable, "workflow/tools/check.py", "--configfile"]
    said = subprocess.run([*call, "config/smoke.yaml"], cwd=smoke, capture_output=True, text=True, check=True).stdout
    assert "configuration and images are in order" in said
    assert "Nothing to be done" in said
    anew = {"results": "anew", "losses": {"ncc": None}, "only_datasets": "mni-brain"}
    write_config(smoke, "anew", yaml.safe_load((smoke / "config" / "smoke.yaml").read_text()) | anew)
    said = subprocess.run([*call, "config/anew.yaml"], cwd=smoke, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^ +train_ncc +1 +[\d.]+$", said, re.M)
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
