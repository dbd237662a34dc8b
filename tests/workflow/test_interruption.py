"""A study that is killed goes on by itself and ends with the same bytes as an undisturbed one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from edits import change_manners, library
from given_fields import add_given_methods
from project import (
    Smoke,
    command,
    copy_project,
    copy_with_results,
    environment,
    files,
    leftover,
    same_everywhere,
    snakemake,
)

SEED = 20210421
JOB_KILLS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)
GROUP_KILLS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL)


@contextmanager
def started(project: Path, *targets: str) -> Iterator[subprocess.Popen[str]]:
    """Run the smoke study, or a part, in a process group of its own; nothing of it outlives the block."""
    output = subprocess.PIPE
    with subprocess.Popen(
        command("smoke", "--cores", "2", *targets),
        cwd=project,
        env=environment(),
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as workflow:
        try:
            yield workflow
        finally:
            if workflow.poll() is None:
                os.killpg(workflow.pid, signal.SIGKILL)


def jobs_of(workflow: subprocess.Popen[str]) -> list[int]:
    """List the processes of a workflow that run a job's script."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and os.getpgid(0) != int(entry.name):
            try:
                group = os.getpgid(int(entry.name))
                call = (entry / "cmdline").read_bytes().split(b"\0")
            except (ProcessLookupError, FileNotFoundError):
                continue
            if group == workflow.pid and b"python" in call[0] and b"/.snakemake/scripts/" in b"".join(call[1:]):
                found.append(int(entry.name))
    return found


def wait_for(what: Callable[[], object], workflow: subprocess.Popen[str], seconds: float = 300) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: if the workflow ends first, or it takes too long.
    """
    end = time.monotonic() + seconds
    while not what():
        assert workflow.poll() is None, "the study ended too early"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


class Ended(Exception):
    """All that could run has run."""


def reach(workflow: subprocess.Popen[str], finished: int, seconds: float) -> list[int]:
    """Wait until so many more jobs have finished, then so many seconds, then for a job that runs.

    Returns:
        The processes of running jobs.

    Raises:
        Ended: if the workflow ends before.
    """
    assert workflow.stdout
    while finished:
        line = workflow.stdout.readline()
        if not line:
            raise Ended
        finished -= line.startswith("Finished jobid")
    time.sleep(seconds)
    while not (running := jobs_of(workflow)):
        if workflow.poll() is not None:
            raise Ended
        time.sleep(0.02)
    return running


def kill(
    project: Path, kills: list[tuple[str, signal.Signals]], chance: random.Random
) -> list[tuple[str, signal.Signals]]:
    """Run the study once and kill jobs, up to the first kill of the whole group; give the kills that are left."""
    with started(project) as workflow:
        try:
            while kills:
                running = reach(workflow, chance.randint(0, 3), chance.uniform(0, 3))
                (whom, how), *kills = kills
                if whom == "group":
                    os.killpg(workflow.pid, how)
                    workflow.communicate(timeout=300)
                    break
                os.kill(chance.choice(running), how)
        except Ended:
            pass
        workflow.communicate(timeout=300)
    assert workflow.returncode != 0
    return kills


@pytest.mark.slow
@pytest.mark.release
def test_a_study_killed_at_ten_random_moments_ends_with_the_same_bytes(tmp_path: Path, smoke_study: Smoke) -> None:
    project = copy_project(tmp_path / "project")
    add_given_methods(project, "smoke")
    chance = random.Random(SEED)
    kills = [("job", how) for how in JOB_KILLS] + [("group", how) for how in GROUP_KILLS]
    chance.shuffle(kills)
    while kills:
        kills = kill(project, kills, chance)
    snakemake(project, "smoke", "--cores", "2")
    found = files(project / "results" / "smoke")
    expected = {name: content for name, content in smoke_study.files.items() if same_everywhere(name)}
    assert [name for name in expected if found.get(name) != expected[name]] == []
    hidden = [name for name in found if "/." in name and not name.endswith("/.snakemake_timestamp")]
    assert hidden + sorted(leftover(found) - leftover(smoke_study.files)) == []


@pytest.mark.slow
def test_a_training_killed_in_the_middle_goes_on_from_its_checkpoint_though_messages_were_edited(
    tmp_path: Path, smoke_study: Smoke
) -> None:
    project = copy_with_results(smoke_study.kept, tmp_path / "project")
    results = project / "results" / "smoke"
    target = "results/smoke/models/mni-brain/voxelmorph/mse/default/seed1"
    work = results / "work" / "train.mni-brain.voxelmorph.mse.default.seed1"
    shutil.rmtree(project / target)
    with started(project, target) as workflow:
        # the second is written after the first
        wait_for(lambda: list(work.glob("*/*.checkpoint")) and list(work.glob("*/runtime.json")), workflow)
        os.killpg(workflow.pid, signal.SIGKILL)
    assert list(work.glob("*/*.checkpoint"))
    change_manners(library(project))
    snakemake(project, "smoke", "--cores", "2", target)
    assert not work.exists()
    name = Path(target).relative_to("results/smoke")
    assert pd.read_json(results / "runtimes" / "train" / f"{name.relative_to('models')}.json", typ="series").runs == 2
    assert files(results / name) == {
        path.removeprefix(f"{name}/"): content
        for path, content in smoke_study.files.items()
        if path.startswith(f"{name}/")
    }


@pytest.mark.slow
def test_jobs_end_when_only_their_workflow_is_killed(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    with started(project) as workflow:
        wait_for(lambda: jobs_of(workflow), workflow)
        os.kill(workflow.pid, signal.SIGKILL)
        workflow.wait()
        end = time.monotonic() + 60
        while jobs_of(workflow):
            assert time.monotonic() < end, "a job outlived its workflow"
            time.sleep(0.2)
    assert not (project / "results" / "smoke" / "tables").exists()
    runtime = "results/smoke/runtimes/score/mni-brain/unregistered/-/-/seed-.json"
    snakemake(project, "smoke", "--cores", "2", runtime)
    assert pd.read_json(project / runtime, typ="series").runs == 1
