"""Time the dry run of a large study, before anything ran and after everything has: `make bench-scale`.

Nothing is trained: outputs are empty files that Snakemake is told to take as up to date.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

import yaml  # noqa: E402

from likeness import losses  # noqa: E402
from likeness.datasets import recipes  # noqa: E402

# what Snakemake waits between two files that it touches, 0.1 s, would take longer than all else
TOUCH = """
import sys
from snakemake.cli import main
from snakemake.executors.touch import Executor
Executor.SLEEPING_TIME = 0
main(sys.argv[1:])
"""


class Cost(NamedTuple):
    """Seconds on the clock and of the processor."""

    wall: float
    core: float


def study(jobs: int) -> dict:
    """Configure every loss on every built-in dataset, with as many seeds as it takes to reach a number of jobs."""
    # three jobs a training, and one each for two of the nine losses' extractors
    each = len(recipes.names()) * len(losses.names()) * 3
    return {
        "title": "A large study",
        "results": "results",
        "seeds": list(range(1, 2 + jobs // each)),
        "datasets": dict.fromkeys(recipes.names()),
        "losses": dict.fromkeys(losses.names()),
    }


def snakemake(scratch: Path, *arguments: str, start: tuple[str, ...] = ("-m", "snakemake")) -> tuple[str, Cost]:
    """Run Snakemake in a scratch folder; give what it said and what it took."""
    call = [sys.executable, *start, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(scratch)]
    call += ["--workflow-profile", str(ROOT / "profiles" / "default"), "--configfile", str(scratch / "study.yaml")]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([*call, *arguments], capture_output=True, text=True, check=False, cwd=scratch)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    core = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout + done.stderr, Cost(ended - began, core)


def finish(scratch: Path) -> None:
    """Leave the study as a run would: every output there, recorded, and no field."""
    listed, _ = snakemake(scratch, "--summary")
    for line in listed.splitlines():
        path = scratch / line.split("\t")[0]
        if "\t" not in line or line.startswith("output_file") or "fields" in path.parts:
            continue
        (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.touch()
    snakemake(scratch, "--touch", "--forceall", "--cores", "1", "--quiet", "all", start=("-c", TOUCH))


def dry_run(scratch: Path) -> tuple[int, Cost]:
    """Give the jobs left to do and what it took to tell."""
    said, cost = snakemake(scratch, "--dry-run", "--quiet", "rules")
    total = re.search(r"^total +(\d+)$", said, re.M)
    return int(total[1]) if total else 0, cost


def main() -> None:
    """Print jobs and seconds of both dry runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="at least about so many")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "study.yaml").write_text(yaml.safe_dump(study(parser.parse_args().jobs), sort_keys=False))
        for state in ("nothing done", "everything done"):
            jobs, cost = dry_run(scratch)
            print(f"{state:15}  {jobs:6} jobs  {cost.wall:6.1f} s  {cost.core:6.1f} core-seconds", flush=True)
            if jobs:
                finish(scratch)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
