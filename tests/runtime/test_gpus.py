"""Jobs share the GPUs of a machine: each its own, freed however a job ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from project import ROOT, copy_project, files, snakemake

from likeness.runtime import gpus
from likeness.userinput.errors import UserError

CHILD = """
import os, sys, time
from likeness.runtime import gpus
with gpus.locked(int(sys.argv[1])):
    print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with two GPUs, as far as ``nvidia-smi`` tells, that no scheduler assigns."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    listed = 'echo "GPU 0: Tiny (UUID: GPU-aa)"; echo "GPU 1: Tiny (UUID: GPU-bb)"'
    program.write_text(f'#!/bin/sh\nif [ "$1" = -L ]; then {listed}; else echo GPU-aa; echo GPU-bb; fi\n')
    program.chmod(0o755)
    for name in (gpus.VISIBLE, *gpus.SCHEDULERS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def job(count: int = 1, seconds: float = 60) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "lib")}
    call = [sys.executable, "-c", CHILD, str(count), str(seconds)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, env=environment, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.mark.usefixtures("machine")
def test_each_job_sees_a_gpu_of_its_own_and_the_next_waits_until_one_is_killed() -> None:
    with job() as first, job() as second:
        assert {said(first), said(second)} == {"GPU-aa", "GPU-bb"}
        with job(seconds=0) as third:
            assert said(third) == "waiting for 1 of 2 GPUs to become free"
            second.kill()
            assert said(third) in ("GPU-aa", "GPU-bb")
        first.kill()
    with job(2, 0) as both:
        assert said(both) == "GPU-aa,GPU-bb"


@pytest.mark.usefixtures("machine")
def test_what_is_visible_chooses_among_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpus.VISIBLE, "3,5")
    with gpus.locked(1) as mine:
        assert mine == ["3"]
        assert os.environ[gpus.VISIBLE] == "3"
    assert os.environ[gpus.VISIBLE] == "3,5"


@pytest.mark.usefixtures("machine")
def test_a_machine_with_too_few_refuses() -> None:
    with (
        pytest.raises(UserError, match=r"this machine has 2 GPUs, but the job requests 3; lower `gpu`"),
        gpus.locked(3),
    ):
        pass


@pytest.mark.usefixtures("machine")
def test_a_job_that_asks_for_none_or_that_a_scheduler_placed_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with gpus.locked(0) as mine:
        assert (mine, gpus.VISIBLE in os.environ) == ([], False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with gpus.locked(5) as mine:
        assert (mine, gpus.VISIBLE in os.environ) == ([], False)


@pytest.mark.slow
def test_a_study_runs_as_many_gpu_jobs_as_there_are_gpus(machine: Path) -> None:
    project = copy_project(machine / "project")
    study = {
        "title": "Two trainings",
        "results": "results/gpus",
        "datasets": {"mni-brain": {"options": {"train": 3, "val": 3, "test": 3}}},
        "losses": {"mse": None, "ncc": None},
        "methods": {"voxelmorph": {"channels_2d": [4, 8], "norm": "none"}},
        "training": {"steps": 2, "batch": 1, "validate_every": 2, "lambda": {"grid": [1]}, "precision": "bf16-mixed"},
    }
    (project / "config" / "gpus.yaml").write_text(yaml.safe_dump(study))
    targets = [f"results/gpus/models/mni-brain/voxelmorph/{loss}/default/seed1" for loss in ("mse", "ncc")]
    done = snakemake(project, "gpus", "--cores", "4", "--profile", "profiles/gpu", *targets)
    assert re.search(r"^Provided resources: gpu=\D*2\D*$", done.stderr, re.M)
    asked = {m[1]: m[2] for m in re.finditer(r"rule (\w+):.*?resources: (.*?)$", done.stderr, re.M | re.S)}
    assert {rule: "gpu=1" in resources for rule, resources in asked.items()} == {
        "simulate": False,
        "prepare": False,
        "train_mse": True,
        "train_ncc": True,
    }
    assert set(files(next(machine.glob("likeness-gpus-*")))) == {"GPU-aa.lock", "GPU-bb.lock"}
