"""What a newcomer meets first: set-up, which says what it downloads and where it cannot work, and `make try`."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from packaging.requirements import Requirement
from project import FILES, ROOT, copy_project, outside_make, run

CPU = "https://download.pytorch.org/whl/cpu"
TORCH = next(line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.startswith("torch=="))
PYTHON = """#!/bin/sh
# notes how it is called; a virtual environment that it makes has it as Python
echo "called: $*"
[ "$2" != venv ] || { mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; }
"""


def set_up(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call `make setup` in a folder, by a Python that only notes how it is called."""
    folder.mkdir(parents=True)
    for file in FILES:
        shutil.copy2(ROOT / file, folder)
    python = folder.parent / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    call = ["make", "setup", "PYTHON=../python", *arguments]
    environment = {key: value for key, value in outside_make().items() if key != "TORCH_INDEX"}
    return subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def calls(printed: str) -> list[str]:
    """Give the calls of pip, each without what all have."""
    common = "called: -m pip install --quiet --disable-pip-version-check "
    return [line.removeprefix(common) for line in printed.splitlines() if line.startswith(common)]


def test_set_up_says_how_much_it_downloads_before_it_does(tmp_path: Path) -> None:
    done = set_up(tmp_path / "clone")
    assert done.returncode == 0, done.stderr
    assert calls(done.stdout) == ["-r requirements.lock", "--no-deps -r requirements.itk.lock"]
    before = done.stdout.partition("called: -m venv")[0]
    assert re.search(r"pip downloads about [\d.]+ GB", before)
    assert f"TORCH_INDEX={CPU}" in before
    assert (tmp_path / "clone" / ".venv" / ".ready").is_file()


def test_another_index_gives_torch_and_nothing_else(tmp_path: Path) -> None:
    done = set_up(tmp_path / "clone", f"TORCH_INDEX={CPU}")
    first, *others = calls(done.stdout)
    assert first == f"--no-deps --index-url {CPU} {TORCH}"
    assert others == ["-r requirements.lock", "--no-deps -r requirements.itk.lock"]
    # what the second call would otherwise replace
    assert Requirement(TORCH).specifier.contains(f"{TORCH.partition('==')[2]}+cpu")


def test_the_stated_sizes_are_of_the_torch_that_is_locked() -> None:
    """A new lock of torch asks for new sizes: `pip install --dry-run --report` names the files that pip would take."""
    comment = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "sizes of the wheels" in line)
    assert f"torch {TORCH.partition('==')[2]}" in comment
    assert importlib.metadata.version("torch").partition("+")[0] == TORCH.partition("==")[2]


@pytest.mark.parametrize("name", ["my clone", "it's", 'a"quote', "$HOME", "a;b", "a&b", "(1)", "a[b", "a]b", "a:b"])
def test_a_path_that_a_shell_would_interpret_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    done = set_up(tmp_path / name)
    assert done.returncode == 2
    said = [line for line in done.stdout.splitlines() if not line.startswith("called: -c")]
    assert len(said) == 1
    assert said[0].startswith(f"{tmp_path / name}: ")
    assert "move the project" in said[0]
    assert not (tmp_path / name / ".venv").exists()


@pytest.mark.parametrize("name", ["plain", "with-dash_and.dot", "a+b,c@d=e", "josé"])
def test_other_paths_are_taken(tmp_path: Path, name: str) -> None:
    assert set_up(tmp_path / name).returncode == 0


def test_the_real_path_counts_not_the_link_to_it(tmp_path: Path) -> None:
    """Python finds itself by the real one."""
    (tmp_path / "my folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "my folder")
    assert "move the project" in set_up(tmp_path / "link" / "clone").stdout


def test_the_first_study_is_small_and_needs_nothing_else(tmp_path: Path) -> None:
    """What `make try` runs: no network, no second searches, no landscape; two figures."""
    project = copy_project(tmp_path / "project")
    recipe = run(project, "make --dry-run try").replace("\\\n", " ")
    call = next(line for line in recipe.splitlines() if "snakemake" in line)
    planned = run(project, f"{call} --dry-run")
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", planned.partition("Job stats:")[2], re.MULTILINE))
    assert {name for name in jobs if name.startswith("optimise")} == {
        "optimise_mse",
        "optimise_mse_masked",
        "optimise_ncc",
    }
    assert jobs["plot"] == "2"
    assert int(jobs["total"]) <= 15
    assert not {"pretrain", "audit", "landscape", "sample_landscape", "classical"} & set(jobs)


@pytest.mark.slow
@pytest.mark.campaign
def test_the_first_study_shows_what_the_readme_says(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    printed = run(project, "make try")
    shown = re.findall(r"results/try/figures/\w+\.png", printed.rpartition("Elapsed time")[2])
    assert sorted(shown) == ["results/try/figures/img_sample.png", "results/try/figures/scores.png"]
    assert all((project / path).is_file() for path in shown)
    table = pd.read_csv(project / "results" / "try" / "tables" / "summary.csv")
    error = table[(table.metric == "epe") & (table.label == "all")].set_index(["method", "loss"])["mean"]
    unregistered = error["unregistered"].iloc[0]
    mse, masked, ncc = (error["optimisation", loss] for loss in ("mse", "mse_masked", "ncc"))
    assert mse > unregistered > masked > ncc
