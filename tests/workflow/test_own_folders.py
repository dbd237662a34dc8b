"""Studies of folders of one's own, undivided and in parts that ran apart, with trainings that diverge."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from builders import make_dataset
from edits import change, change_manners, library, todo, write_config
from project import command, copy_project, environment, files, run, same_everywhere, snakemake

from likeness import figures

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
    "statistics": {"simulations": 200},
}
"""λ = 1e38 overflows at the first step: a training that diverges."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("own") / "project")


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
def test_an_optimisation_goes_on_from_what_another_method_chose(project: Path) -> None:
    """From a network's fields and from those of another optimisation, which waits for them."""
    make_dataset(project / "own" / "known", 2, 32, with_field=True)
    optimisation = {"levels": 1, "evaluations": 20, "audit": 0, "lambda": {"grid": [0.05]}}
    methods = {
        "voxelmorph": {"channels_2d": [4, 8], "channels_3d": [4, 8], "norm": "none"},
        "refined": {"kind": "optimisation", "optimisation": {"start": "voxelmorph"}},
        "twice": {"kind": "optimisation", "optimisation": {"start": "refined"}},
    }
    study = {**OWN, "results": "results/refined", "methods": methods, "optimisation": optimisation}
    study |= {"datasets": {"known": {"folder": "own/known"}}, "losses": {"mse": None}, "seeds": [1, 2]}
    write_config(project, "refined", study)
    made = [f"results/refined/scores/known/{name}/mse/default/seed-.parquet" for name in ("refined", "twice")]
    snakemake(project, "refined", "--cores", "2", *made, threads="2")
    chosen = json.loads((project / "results/refined/scores/known/voxelmorph/mse/default/seed1.json").read_text())
    assert chosen["chosen"] == 0.5
    errors = [pd.read_parquet(project / path).query("metric == 'epe'").value.mean() for path in made]
    # each goes on where the one before has ended
    assert errors[1] < errors[0]


@pytest.mark.slow
def test_of_test_pairs_alone_the_whole_path_is_shown_and_nothing_chosen(project: Path) -> None:
    make_dataset(project / "own" / "alone", 2, 32, {"test": 4}, with_field=True)
    optimisation = {"levels": 1, "evaluations": 20, "lambda": {"grid": [0.05, 0.1]}}
    study = {**OWN, "results": "results/alone", "methods": {"optimisation": None}, "optimisation": optimisation}
    study |= {"datasets": {"alone": {"folder": "own/alone"}}, "losses": {"mse": None, "ncc": None}}
    write_config(project, "alone", study)
    snakemake(project, "alone", "--cores", "2", threads="2")
    results = project / "results" / "alone"
    metrics = pd.read_parquet(results / "metrics.parquet").query("method == 'optimisation'")
    assert set(metrics.split) == {"test"}
    assert set(metrics.lam) == {0.05, 0.1}
    assert not metrics.chosen.any()
    assert not len(pd.read_csv(results / "tables" / "selection.csv"))
    for figure in figures.names():
        assert (results / "figures" / f"{figure}.png").is_file()
    study |= {"methods": {"voxelmorph": None}}
    write_config(project, "alone", study)
    done = subprocess.run(command("alone", "-n"), cwd=project, env=environment("1"), capture_output=True, text=True)
    told = [set(re.findall(r"'[^']+'", line)) for line in done.stderr.splitlines() if "'datasets.alone'" in line]
    assert any({"'train'", "'ncc'", "'voxelmorph'"} <= names for names in told)


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
    assert notes["mse", "mse_masked"].startswith("not compared: b diverged")
    selection = pd.read_csv(own / "tables" / "selection.csv").set_index(["dataset", "loss"])
    assert not selection.feasible["flat", "mse_masked"]
    for figure in figures.names():
        assert (own / "figures" / f"{figure}.png").is_file()


@pytest.mark.slow
def test_a_weight_that_diverged_leaves_the_others(own: Path) -> None:
    selection = pd.read_csv(own / "tables" / "selection.csv").set_index(["dataset", "loss"])
    assert selection.lam["flat", "mse"] == 0.5
    metrics = pd.read_parquet(own / "metrics.parquet").query("dataset == 'flat' and loss == 'mse' and metric == 'epe'")
    assert metrics.value.notna().groupby(metrics.lam).all().to_dict() == {0.5: True, 1e38: False}


@pytest.mark.slow
@pytest.mark.release
def test_halves_of_two_machines_give_the_tables_of_an_undivided_run(own: Path, project: Path, tmp_path: Path) -> None:
    """To the byte, though jobs of the halves had another number of threads, and as many cores, than the whole had."""
    halves = {"a": "mse mse_masked", "b": "deepsim_seg"}
    copies = {name: copy_project(tmp_path / name) for name in (*halves, "whole")}
    for copy in copies.values():
        # with times of their own
        shutil.copytree(project / "own", copy / "own", copy_function=shutil.copyfile)
        write_config(copy, "own", OWN)

    def half(name: str) -> None:
        until = ("--until", "score", "score_unregistered", "--config", f"only_losses={halves[name]}")
        snakemake(copies[name], "own", "--cores", "1", *until)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(half, halves))
    whole = copies["whole"]
    change_manners(library(whole))
    said = run(whole, f"make merge FROM='{copies['a']}/results/own ../b/results/own' CONFIG=config/own.yaml")
    assert re.search(r"a/results/own: 11 jobs copied\n../b/results/own: 4 jobs copied\n0 jobs existed, 0 and", said)

    jobs = todo(whole, "own")
    assert not [rule for rule in jobs if rule.startswith(("prepare", "pretrain", "train", "register", "score"))]
    tables = [f"tables/{name}.csv" for name in ("summary", "comparisons", "selection")]
    targets = [f"results/own/{name}" for name in tables]
    snakemake(whole, "own", "--cores", "1", *targets)
    first, second = files(own), files(whole / "results" / "own")
    compared = [name for name in second if same_everywhere(name)]
    assert {"metrics.parquet", *tables} < set(compared)
    assert [name for name in compared if first[name] != second[name]] == []
    made = ("data/", "extractors/", "models/", "samples/", "scores/")
    assert all(any(name.startswith(kind) for name in compared) for kind in made)
    assert [name for name in first if name.startswith(made) and name not in second] == []

    # what was taken is known to Snakemake as its own: an edit reruns what depends on it, here also what builds on it
    change(library(whole) / "losses" / "mse.py")
    left = todo(whole, "own", *targets)
    assert [left[rule] for rule in ("train_mse", "train_mse_masked", "register", "score")] == [2, 1, 3, 3]
    assert "train_deepsim_seg" not in left


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
