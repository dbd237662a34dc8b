"""Results of parts that ran apart become one: the same tables, nothing trained twice, and what does not fit refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import make_dataset
from edits import change, change_manners, library_at
from project import ROOT, files

from likeness.config.study import Study
from likeness.extractors import sources
from likeness.planning.merge import check_data, jobs, parts, take
from likeness.runtime.provenance import LIBRARY, code_digest
from likeness.runtime.published import File, Source
from likeness.userinput.errors import UserError

STUDY: dict[str, Any] = {
    "title": "A study in parts",
    "results": "results/parts",
    "datasets": {"flat": {"folder": "own/flat"}},
    "losses": {"mse": None, "deepsim_ae": None},
    "methods": {"voxelmorph": {"channels_2d": [4, 8], "norm": "none"}},
    "training": {"steps": 4, "batch": 1, "validate_every": 2, "lambda": {"grid": [0.5]}},
    "pretraining": {"steps": 4, "batch": 1, "validate_every": 2, "channels_2d": [4, 8]},
    "statistics": {"simulations": 200},
}


Tree = Callable[..., Path]


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    """A folder with the dataset, to which the study's own results belong."""
    make_dataset(tmp_path / "own" / "flat", 2, 16)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(**changes: Any) -> Study:
    return Study.load(STUDY | changes, "config/parts.yaml")


def results(name: str, study: Study, *rules: str) -> Path:
    """Make up what jobs of a study leave, without running one."""
    folder = Path(name)
    write(folder / "data/flat/dataset.yaml", "name: flat")
    for job in jobs(study):
        if not rules or job.rule in rules:
            for made in job.made:
                suffix = Path(made).suffix
                if suffix:
                    write(folder / made, f"{made} of seed")
                else:
                    write(folder / made / "0.5.safetensors", f"{made} of seed")
                    write(folder / made / ".snakemake_timestamp", "")
            if job.said is not None:
                code = code_digest(ROOT / "workflow" / "scripts" / f"{job.rule}.py", *job.modules)
                write(folder / job.said[0], json.dumps({**job.said[1], "code": code}))
            record = {"rule": job.rule, "code": code_digest(ROOT / f"workflow/scripts/{job.rule}.py", *job.modules)}
            known = job.said[1] if job.said is not None and job.said[0] == job.record else {}
            write(folder / job.record, json.dumps({**known, **record, "seconds": len(name), "commit": "abc"}))
            write(folder / job.log, "said something")
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.usefixtures("here")
def test_every_job_is_taken_from_who_has_all_of_it() -> None:
    a, b = results("a", load(only_losses="mse")), results("b", load(only_losses="deepsim_ae"))
    results("results/parts", load(only_losses="mse"), "train")
    (b / "runtimes/register/flat/voxelmorph/deepsim_ae/default/seed1.json").unlink()
    found = parts(load(), [a, b])
    mse, deepsim = (f"flat/voxelmorph/{loss}/default/seed1" for loss in ("mse", "deepsim_ae"))
    assert [(job.rule, job.place, source) for job, source in found.taken] == [
        ("pretrain", "flat/autoencoder/seed1", b),
        ("score", "flat/unregistered/-/-/seed-", a),
        ("train", deepsim, b),
        ("register", mse, a),
        ("score", mse, a),
    ]
    assert [(job.rule, job.place) for job in found.kept] == [("train", mse)]
    # without its registration a score is nobody's, for it may be of another training
    assert [(job.rule, job.place) for job in found.left] == [("register", deepsim), ("score", deepsim)]


@pytest.mark.usefixtures("here")
def test_what_is_taken_is_the_same_and_an_interrupted_merge_goes_on(monkeypatch) -> None:
    a = results("a", load())
    own = Path("results/parts")
    whole = {name: content for name, content in files(a).items() if "/." not in name and not name.startswith("data")}
    copied = shutil.copyfile
    copies = []

    def failing(source: Path, target: Path) -> object:
        copies.append(source)
        if len(copies) == 9:
            Path(target).write_text("half of")
            raise KeyboardInterrupt
        return copied(source, target)

    monkeypatch.setattr(shutil, "copyfile", failing)
    with pytest.raises(KeyboardInterrupt):
        take(parts(load(), [a]), own)
    some = files(own)
    assert 0 < len(some) < len(whole)
    assert all(whole[name] == content for name, content in some.items())
    again = parts(load(), [a])
    assert again.kept
    take(again, own)
    assert files(own) == whole
    assert parts(load(), [a]).taken == []


@pytest.mark.usefixtures("here")
def test_only_times_may_differ_between_two_runs_of_one_job() -> None:
    a, longer = results("a", load()), results("longer", load())
    write(longer / "logs/train/flat/voxelmorph/mse/default/seed1.log", "said something else")
    assert parts(load(), [a, longer]).left == []
    write(longer / "scores/flat/voxelmorph/mse/default/seed1.parquet", "other scores")
    refuse(
        [a, longer],
        "longer/scores/flat/voxelmorph/mse/default/seed1.parquet: differs from "
        "a/scores/flat/voxelmorph/mse/default/seed1.parquet, although both are of one job; delete the results of one",
    )
    write(a / "models/flat/voxelmorph/mse/default/seed1/1.safetensors", "one more")
    refuse([a, longer], "longer/models/flat/voxelmorph/mse/default/seed1/1.safetensors: differs from a/models/")


def refuse(sources: list[Path], said: str, **changes: Any) -> None:
    with pytest.raises(UserError) as refusal:
        parts(load(**changes), sources)
    assert str(refusal.value).startswith(said)
    assert "\n" not in str(refusal.value)
    assert not Path("results/parts").exists()


@pytest.mark.usefixtures("here")
def test_what_the_study_would_make_otherwise_is_refused() -> None:
    a = results("a", load())
    place = "a/models/flat/voxelmorph/mse/default/seed1/provenance.json: was computed with"
    refuse([a], f"{place} steps 4, but config/parts.yaml has 8", training=STUDY["training"] | {"steps": 8})
    extractor = "a/extractors/flat/autoencoder/seed1.json: was computed with batch 1, but config/parts.yaml has 2"
    refuse([a], extractor, pretraining=STUDY["pretraining"] | {"batch": 2})
    record = Path("a/runtimes/score/flat/voxelmorph/mse/default/seed1.json")
    write(record, record.read_text().replace('"code": "', '"code": "0'))
    refuse([a], f"{record}: was computed with different code (commit abc); ")


OPTIMISED: dict[str, Any] = {
    "datasets": {"mni-brain": None},
    "losses": {"mse": None, "deepsim_ae": None},
    "methods": {"optimisation": None},
    "optimisation": {"audit": 2, "lambda": {"grid": [0.1, 0.2]}},
}


@pytest.mark.usefixtures("here")
def test_searches_and_their_audits_are_taken_and_those_of_another_path_are_not() -> None:
    a, b = results("a", load(**OPTIMISED, only_losses="mse")), results("b", load(**OPTIMISED, only_losses="deepsim_ae"))
    found = parts(load(**OPTIMISED), [a, b])
    assert found.left == []
    rules = ("optimise", "score", "audit")
    assert {(job.rule, source) for job, source in found.taken if job.rule in rules} == {
        (rule, source) for rule in rules for source in (a, b)
    }
    take(found, Path("results/parts"))
    assert parts(load(**OPTIMISED), [a, b]).taken == []
    shutil.rmtree("results/parts")

    def differs(**changes: Any) -> dict[str, Any]:
        return OPTIMISED | {"optimisation": OPTIMISED["optimisation"] | changes}

    place = "mni-brain/optimisation/mse/default/seed-"
    said = f"a/fields/{place}/provenance.json: was computed with"
    refuse([a], f"{said} separate False, but config/parts.yaml has True", **differs(separate=["mse"]))
    refuse(
        [a], f"a/runtimes/audit/{place}.json: was computed with pairs 2, but config/parts.yaml has", **differs(audit=4)
    )


@pytest.mark.usefixtures("here")
def test_results_from_before_a_message_was_edited_are_taken_and_from_before_a_loss_was_are_not() -> None:
    a = results("a", load())
    copy = Path(shutil.copytree(LIBRARY, "copy/likeness"))
    change_manners(copy)
    with library_at(copy):
        assert len(parts(load(), [a]).taken) == len(jobs(load()))
    change(copy / "losses" / "mse.py")
    with library_at(copy):
        record = "a/runtimes/train/flat/voxelmorph/mse/default/seed1.json"
        refuse([a], f"{record}: was computed with different code (commit abc); ")


@pytest.mark.usefixtures("here")
def test_results_of_other_data_are_refused() -> None:
    a = results("a", load())
    write(Path("results/parts/data/flat/dataset.yaml"), "name: flat")
    check_data(load(), [a])
    write(a / "data/flat/dataset.yaml", "name: flatter")
    with pytest.raises(UserError, match=r"^a/data/flat: differs from results/parts/data/flat, so scores are not"):
        check_data(load(), [a])
    shutil.rmtree(a / "data")
    with pytest.raises(UserError, match=r"^a/data/flat: missing, so the data behind the results are unknown"):
        check_data(load(), [a])


@pytest.mark.usefixtures("here")
def test_a_source_without_anything_of_the_study_is_refused() -> None:
    refuse([Path("a")], "a: no such folder; name the results of another run of the study")
    other = load(datasets={"other": {"folder": "own/flat"}})
    refuse([results("b", other)], "b: has no finished job of config/parts.yaml; name the configuration")
    refuse([results("c", load()) / "data"], "c/data: has no finished job")
    own = results("results/parts", load())
    with pytest.raises(UserError, match=r"^results/parts: this is the study's own results folder; name those to merge"):
        parts(load(), [own])


def test_merging_says_what_is_missing_in_one_sentence(tmp_path: Path) -> None:
    call = [sys.executable, str(ROOT / "workflow" / "tools" / "merge.py"), "--configfile", "config/smoke.yaml"]
    for folders, said in (
        ([], 'FROM is missing: make merge FROM="results-a results-b" CONFIG=…'),
        ([str(tmp_path / "x")], f"{tmp_path}/x: no such folder; name the results of another run of the study, FROM=…"),
    ):
        done = subprocess.run([*call, *folders], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr.strip()) == (1, "", said)


def test_published_weights_and_extractors_of_other_datasets_are_taken_with_what_builds_on_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Source("autoencoder", (File("a.pth", "https://x.org", "1" * 64, None),), "", "MIT", "see x.org")
    datasets = {"mni-brain": None, "cells": None}
    moved = {"deepsim_ae": {"variants": {"moved": {"trained_on": "cells"}}}}
    study = Study.load(STUDY | {"datasets": datasets, "losses": moved, "only_datasets": "mni-brain"})
    found = {job.place: job for job in jobs(study) if job.rule == "train"}
    assert [job.after.place for job in found.values() if job.after] == [
        "mni-brain/autoencoder/seed1",
        "cells/autoencoder/seed1",
    ]
    monkeypatch.setattr(sources, "source", lambda name: made if name == "autoencoder" else None)
    study = Study.load(STUDY | {"datasets": datasets, "losses": {"deepsim_ae": None}})
    first, *others = jobs(study)
    assert (first.rule, first.place, first.record) == ("convert", "autoencoder", "runtimes/convert/autoencoder.json")
    assert {"extractors/autoencoder.safetensors", "checkpoints/autoencoder.json"} < set(first.made)
    assert [job.after for job in others if job.rule == "train"] == [first, first]


@pytest.mark.usefixtures("here")
def test_a_search_that_starts_from_another_method_is_made_anew_and_so_is_what_judges_it() -> None:
    methods = {
        **STUDY["methods"],
        "optimisation": None,
        "refined": {"kind": "optimisation", "optimisation": {"start": "voxelmorph"}},
    }
    study = load(methods=methods)
    found = {(job.rule, job.place.split("/")[1]) for job in jobs(study) if job.rule in ("optimise", "score", "audit")}
    assert {("optimise", "optimisation"), ("score", "optimisation"), ("score", "voxelmorph")} <= found
    assert not any(method == "refined" for _, method in found)
