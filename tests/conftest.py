"""What several test files share: the smoke study, run once."""

from __future__ import annotations

import os
import resource
from collections import Counter
from pathlib import Path
from typing import Any

# before torch is imported: on the small tensors of tests a second thread costs more than it gains, on a busy machine
# tenfold
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from project import Smoke, copy_project, files, snakemake
from tracing import traced
from xdist.scheduler import LoadFileScheduling

SMOKE_STUDY = (
    "tests/workflow/test_interruption.py",
    "tests/workflow/test_reruns.py",
    "tests/workflow/test_workflow.py",
)
"""What uses it of the files that `make test` runs: more would be one more smoke study."""


@pytest.fixture(scope="session")
def smoke_study(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    project = copy_project(tmp_path_factory.mktemp("smoke") / "project")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with traced(project / "loaded"):
        snakemake(project, "smoke", "--cores", "2")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Smoke(project, files(project / "results" / "smoke"), used)


@pytest.fixture(scope="session")
def smoke(smoke_study: Smoke) -> Path:
    """The project after the smoke study; a test that changes it changes it back."""
    return smoke_study.project


class Scheduling(LoadFileScheduling):
    """Gives each file to one worker, and all files that share the smoke study to the same."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return SMOKE_STUDY[0] if file in SMOKE_STUDY else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have the most slow tests, so that workers end together."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (-slow[item.path], item.path))
