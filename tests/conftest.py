"""What several test files share: the smoke study, run once."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

# before torch is imported: on the small tensors of tests a second thread costs more than it gains, on a busy machine
# tenfold
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from project import Smoke, copy_with_results
from smoke_study import run_smoke_study

# how long an example takes says how busy the machine is
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

SHARED = "SMOKE_STUDY"
"""Names a folder, empty at first: calls of pytest that are given the same one share one run of the smoke study."""


@pytest.fixture(scope="session")
def smoke_study(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Smoke:
    """The smoke study, run once for all workers, and a copy of it for this one."""
    base = tmp_path_factory.getbasetemp()
    session = base if worker_id == "master" else base.parent
    kept, used = run_smoke_study(Path(os.environ.get(SHARED, session / "smoke-study")))
    return Smoke(copy_with_results(kept, tmp_path_factory.mktemp("smoke") / "project"), kept, used)


@pytest.fixture(scope="session")
def smoke(smoke_study: Smoke) -> Path:
    """The project after the smoke study; a test that changes it changes it back."""
    return smoke_study.project


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have the most slow tests, then the most tests, so that workers end together."""
    every = Counter(item.path for item in items)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (-slow[item.path], -every[item.path], item.path))
