"""A dataset of the smoke study on a one-node Slurm, with jobs killed and preempted, ends like a local run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from given_fields import add_given_methods
from one_node_slurm import Slurm, one_node
from project import (
    Needs,
    Smoke,
    command,
    copy_project,
    copy_with_results,
    environment,
    files,
    leftover,
    planned,
    same_everywhere,
    snakemake,
)

from likeness.results import log

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

PART = ("--config", "only_datasets=mni-brain")
KILLED = "mni-brain/voxelmorph/mse/default/seed1"
TOLD_TO_STOP = "mni-brain/voxelmorph/ncc/default/seed1"
PREEMPTED = "mni-brain/voxelmorph/deepsim_ae/default/seed1"


@dataclass(frozen=True)
class Run:
    """A finished run of the smoke study on Slurm."""

    results: Path
    log: str
    """What Snakemake printed."""
    jobs: list[dict[str, str]]
    """What Slurm knew of every job."""

    def of(self, rule: str, run: str = "") -> list[dict[str, str]]:
        """Give the jobs of a rule, or of one run, in the order of their submission."""
        comment = re.compile(f"rule_{rule}(_wildcards_{wildcards(run)}.*)?")
        return [job for job in self.jobs if comment.fullmatch(job.get("Comment", ""))]


def wildcards(run: str) -> str:
    """Write a run like the plugin does in the comment of its job."""
    return run.replace("/", "_").replace("seed", "")


def training(results: Path, run: str) -> bool:
    """Tell whether a training has kept a state that it can go on from, and what it took until then."""
    work = results / "work" / f"train.{run.replace('/', '.')}"
    return bool(list(work.glob("*/*.checkpoint")) and list(work.glob("*/runtime.json")))


def id_of(slurm: Slurm, run: str) -> str:
    """Find the running job of a training."""
    running = [job for job in slurm.jobs() if job["JobState"] == "RUNNING"]
    found = [job for job in running if job.get("Comment", "").endswith(wildcards(run))]
    assert len(found) == 1
    assert found[0]["Comment"].startswith("rule_train")
    return found[0]["JobId"]


def hold(results: Path, run: str) -> list[int]:
    """Stop the process of a training where it is; the processes that have its log open are its own.

    Slurm takes up to seconds to pass on a signal, in which so short a training would end.
    """
    kept = (results / log("train", run)).resolve()
    held = [int(fd.parts[2]) for fd in Path("/proc").glob("[0-9]*/fd/*") if target(fd) == str(kept)]
    for process in held:
        os.kill(process, signal.SIGSTOP)
    return held


def target(link: Path) -> str:
    """Read where a link leads; processes end while one looks."""
    try:
        return str(link.readlink())
    except OSError:
        return ""


def harm(slurm: Slurm, run: str, held: list[int]) -> None:
    """Do to a training what befalls it."""
    if run == KILLED:
        # like a failing machine
        slurm("scancel", "--signal=KILL", id_of(slurm, run))
    elif run == TOLD_TO_STOP:
        # like Slurm at the end of its time, and before it preempts where there is time of grace
        slurm("scancel", "--signal=TERM", id_of(slurm, run))
        # a process that is held gets to know of the signal when it may go on
        while not all(told(process) for process in held):
            time.sleep(0.05)
        for process in held:
            os.kill(process, signal.SIGCONT)
    else:
        # takes the machine from it and whatever else runs; Slurm lets it go on with the signal to stop
        slurm("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")


def told(process: int) -> bool:
    """Tell whether SIGTERM waits for a process."""
    status = Path(f"/proc/{process}/status").read_text()
    pending = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (signal.SIGTERM - 1) & 1 for mask in pending)


def disturb(slurm: Slurm, results: Path, study: subprocess.Popen[bytes], seconds: float = 1500) -> None:
    """Wait for the end of a study; meanwhile do harm to three trainings, as soon as they could go on after it."""
    harms = {KILLED, TOLD_TO_STOP, PREEMPTED}
    end = time.monotonic() + seconds
    while study.poll() is None and time.monotonic() < end:
        held = {run: hold(results, run) for run in harms if training(results, run)}
        for run, processes in held.items():
            assert processes, f"{run}: the training was over before it could be held"
            assert training(results, run), f"{run}: the training was over before it could be held"
            harm(slurm, run, processes)
            harms.remove(run)
        time.sleep(0.05)
    assert not harms


@pytest.fixture(scope="module")
def on_slurm(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Run:
    folder = tmp_path_factory.mktemp("slurm")
    kept = pytestconfig.cache.mkdir("slurm")  # type: ignore[union-attr]
    project = copy_project(folder / "project")
    add_given_methods(project, "smoke")
    results, log = project / "results" / "smoke", kept / "snakemake.log"
    call = command("smoke", "--profile", "profiles/slurm", *PART)
    # one GPU each, asked for in the place that the profile names, and less patience than a cluster deserves
    call += ["--default-resources", "gpu=1", "--jobs", "5", "--slurm-init-seconds-before-status-checks", "1"]
    with one_node(folder / "cluster") as slurm, log.open("wb") as output:
        whole = {**environment(), **slurm.environment}
        study = subprocess.Popen(call, cwd=project, env=whole, stdout=output, stderr=subprocess.STDOUT)
        try:
            disturb(slurm, results, study)
        finally:
            study.kill()
            (kept / "jobs.txt").write_text(slurm("scontrol", "show", "job"))
            shutil.copy(slurm.folder / "slurmctld.log", kept)
        assert study.returncode == 0, log.read_text()[-6000:]
        return Run(results, log.read_text(), slurm.jobs())


def test_the_tables_are_those_of_a_local_run(on_slurm: Run, smoke_study: Smoke, tmp_path: Path) -> None:
    local = copy_with_results(smoke_study.kept, tmp_path / "local")
    snakemake(local, "smoke", "--cores", "1", *PART)
    found, made = files(on_slurm.results), files(local / "results" / "smoke")
    of_others = [name for name in made if "mni-brain-3d" in name]
    expected = {name: made[name] for name in set(made).difference(of_others)}
    compared = [name for name in expected if same_everywhere(name)]
    assert {"tables/summary.csv", "tables/comparisons.csv", "tables/selection.csv", "metrics.parquet"} <= set(compared)
    assert [name for name in compared if found.get(name) != expected[name]] == []
    assert set(expected) <= set(found)
    assert leftover(found) <= leftover(expected)


def test_a_killed_training_is_submitted_again_and_goes_on(on_slurm: Run) -> None:
    first, *_, last = on_slurm.of("train_mse", KILLED)
    assert (first["JobState"], last["JobState"]) == ("CANCELLED", "COMPLETED")
    assert megabytes(last) > megabytes(first)
    assert runs_of(on_slurm, KILLED) > 1


def test_a_training_that_is_told_to_stop_is_submitted_again_and_goes_on(on_slurm: Run) -> None:
    first, *_, last = on_slurm.of("train_ncc", TOLD_TO_STOP)
    assert (first["JobState"], last["JobState"]) == ("FAILED", "COMPLETED")
    assert runs_of(on_slurm, TOLD_TO_STOP) > 1


def test_a_preempted_training_is_put_back_and_goes_on(on_slurm: Run) -> None:
    (job,) = on_slurm.of("train_deepsim_ae", PREEMPTED)
    assert job["JobState"] == "COMPLETED"
    assert int(job["Restarts"]) == 1
    assert runs_of(on_slurm, PREEMPTED) > 1


def runs_of(run: Run, of: str) -> int:
    """Read how often a training was started, from the table of times."""
    table = pd.read_csv(run.results / "tables" / "runtime.csv")
    keys = [table[k].astype(str) for k in ("dataset", "method", "loss", "variant")]
    here = (table["rule"] == "train") & (keys[0].str.cat(keys[1:], sep="/") + "/seed1" == of)
    return int(table.loc[here, "runs"].iloc[0])


def megabytes(job: dict[str, str]) -> int:
    """Read how much memory a job has got."""
    return int(job["MinMemoryNode"].removesuffix("M"))


def granted(job: dict[str, str]) -> Needs:
    """Read what a job has got from Slurm."""
    days, clock = re.fullmatch(r"(?:(\d+)-)?([\d:]+)", job["TimeLimit"]).groups()  # type: ignore[union-attr]
    hours, minutes, _ = map(int, clock.split(":"))
    gpus = job.get("TresPerJob", "gres:gpu:0").removeprefix("gres:gpu:")
    return Needs(int(job["NumCPUs"]), megabytes(job), (int(days or 0) * 24 + hours) * 60 + minutes, int(gpus))


def test_every_job_gets_what_its_rule_states(on_slurm: Run) -> None:
    rules = planned(on_slurm.log)
    alone = {rule: jobs[0] for rule in rules if (jobs := on_slurm.of(rule))}
    assert {"prepare", "pretrain", "train_mse", "register", "score"} <= set(alone)
    assert {rule: granted(job) for rule, job in alone.items()} == {rule: rules[rule] for rule in alone}
    assert {rules[rule].gpus for rule in ("pretrain", "train_mse", "register")} == {1}


def test_tables_and_figures_are_two_jobs_of_scores_and_of_landscapes(on_slurm: Run) -> None:
    (landscapes,) = on_slurm.of("tables_and_figures_plot_profiles")
    (job,) = [job for job in on_slurm.of("tables_and_figures_.*") if job != landscapes]
    together = {rule: needs for rule, needs in planned(on_slurm.log).items() if not on_slurm.of(rule)}
    assert {"collect", "summary", "comparisons", "plot"} <= set(together)
    assert max(needs.mem_mb for needs in together.values()) < granted(job).mem_mb
    assert granted(job).threads > 1
