"""The smoke study, run once for all tests that read what it leaves."""

from __future__ import annotations

import fcntl
import resource
import shutil
from pathlib import Path

from given_fields import add_given_methods
from project import copy_project, snakemake
from tracing import traced


def run_smoke_study(folder: Path) -> tuple[Path, float]:
    """Run the smoke study, with given fields, in a folder, once: who asks later, or meanwhile, waits and gets the same.

    Returns:
        The project that it ran in, below the folder, and the core-seconds that it took.

    Raises:
        AssertionError: if it fails, with what it printed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    project, used = folder / "project", folder / "core_seconds"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not used.exists():
            # of a run that failed
            shutil.rmtree(project, ignore_errors=True)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            copy_project(project)
            add_given_methods(project, "smoke")
            with traced(project / "loaded"):
                snakemake(project, "smoke", "--cores", "2")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used.write_text(str(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return project, float(used.read_text())
