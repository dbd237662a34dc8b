"""Another network and another built-in dataset are one file each: found by their names and checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from additions import DATASET, NETWORK
from project import copy_project

STUDY = {
    "title": "New",
    "results": "results/new",
    "datasets": {"some-bars": {"options": {"side": 24}}},
    "losses": {"mse": None},
    "methods": {"convolution": {"kernel": 5}},
    "training": {"steps": 4, "batch": 2, "validate_every": 2, "lambda": {"grid": [1]}},
    "statistics": {"simulations": 200},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copy_project(tmp_path_factory.mktemp("cards") / "project")
    library = project / "workflow" / "lib" / "likeness"
    (library / "networks" / "convolution.py").write_text(NETWORK)
    (library / "datasets" / "some_bars.py").write_text(DATASET)
    (project / "config" / "new.yaml").write_text(yaml.safe_dump(STUDY))
    return project


def check(project: Path, **changes: object) -> subprocess.CompletedProcess[str]:
    (project / "config" / "other.yaml").write_text(yaml.safe_dump(STUDY | changes))
    command = [sys.executable, "workflow/tools/check.py", "--quick", "--configfile", "config/other.yaml"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_what_their_cards_do_not_allow_is_refused_and_the_rest_is_planned(project: Path) -> None:
    wrong = {"datasets": {"some-bars": {"options": {"side": 8}}}, "methods": {"convolution": {"kernel": 4, "width": 1}}}
    assert check(project, **wrong).stderr.splitlines() == [
        "config/other.yaml: key 'datasets.some-bars.options.side': 8 is too small; give at least 16, the default is 32",
        "config/other.yaml: key 'methods.convolution.kernel': 4 is even; give an odd number (width of the kernel)",
        "config/other.yaml: key 'methods.convolution.width' is unknown to 'convolution'; use one of kind, kernel, "
        "scale_2d, scale_3d",
    ]
    planned = check(project, results="results/other")
    assert planned.returncode == 0, planned.stderr
    assert "train_mse" in planned.stdout


def test_documentation_tells_of_them(project: Path) -> None:
    subprocess.run([sys.executable, "workflow/tools/docs.py"], cwd=project, check=True)
    page = (project / "docs" / "configuration.md").read_text()
    assert "| `kernel` | convolution | integer ≥ 1 | `3` | Width of the kernel. |" in page
    assert "| `options.side` | some-bars | integer ≥ 16, ≤ 256 | `32` |  |" in page
