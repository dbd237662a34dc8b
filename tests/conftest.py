"""What several test files share: the smoke study, run once."""

from __future__ import annotations

import os
import resource

# before torch is imported: on the small tensors of tests a second thread costs more than it gains, on a busy machine
# tenfold
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from project import Smoke, copy_project, files, snakemake


@pytest.fixture(scope="session")
def smoke_study(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    project = copy_project(tmp_path_factory.mktemp("smoke") / "project")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    snakemake(project, "smoke", "--cores", "2")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Smoke(project, files(project / "results" / "smoke"), used)
