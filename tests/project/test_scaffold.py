"""`make loss NAME=x`: two files that pass the conformance suite and run through a study unchanged."""

import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT, Smoke, copy_project, copy_with_results, run


def scaffold(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "workflow/tools/new_loss.py", name]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def sources(project: Path) -> list[Path]:
    """List everything in a project but what Python leaves there."""
    return sorted(path for path in project.rglob("*") if "__pycache__" not in path.parts)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is not a valid name"),
        ("My_loss", "is not a valid name"),
        ("2nd", "is not a valid name"),
        ("_mine", "is not a valid name"),
        ("mine_", "is not a valid name"),
        ("a-b", "is not a valid name"),
        ("../evil", "is not a valid name"),
        ("lambda", "is reserved by the project or Python"),
        ("base", "is reserved by the project or Python"),
        ("unregistered", "is reserved by the project or Python"),
        ("ncc", "workflow/lib/likeness/losses/ncc.py exists; choose another name or edit it"),
    ],
)
def test_refuses_an_existing_or_ill_formed_name_and_writes_nothing(project: Path, name: str, reason: str) -> None:
    before = sources(project)
    done = scaffold(project, name)
    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert sources(project) == before


def test_a_rule_without_its_module_counts_as_existing(project: Path) -> None:
    (project / "workflow" / "rules" / "losses" / "half.smk").touch()
    assert "workflow/rules/losses/half.smk exists" in scaffold(project, "half").stderr


def test_runs_on_a_bare_python_before_there_is_an_environment(project: Path) -> None:
    (project / ".venv").unlink()
    # without the packages of the environment that runs the tests
    run(project, f"make loss NAME=my_loss PYTHON='{sys.executable} -I -S'")
    assert (project / "workflow" / "rules" / "losses" / "my_loss.smk").is_file()
    assert not (project / ".venv").exists()


def test_the_same_name_gives_the_same_files(tmp_path: Path) -> None:
    texts = []
    for copy in ("one", "two"):
        folder = copy_project(tmp_path / copy)
        assert scaffold(folder, "my_loss").returncode == 0
        texts.append((folder / "workflow" / "lib" / "likeness" / "losses" / "my_loss.py").read_bytes())
    assert texts[0] == texts[1]


def test_scaffolds_pass_the_conformance_suite_and_the_linter(project: Path) -> None:
    for name in ("my_loss", "another"):
        assert scaffold(project, name).returncode == 0
    wanted = "'my_loss or another or alike or every_rule'"
    printed = run(project, f"python -m pytest -q tests/losses/test_conformance.py -k {wanted}")
    assert "skipped" not in printed
    files = "workflow/lib/likeness/losses/my_loss.py"
    run(project, f"ruff check {files} && ruff format --check {files} && snakefmt --check workflow/rules/losses")
    # to which torch may be anything here: its types take half a minute to read
    run(project, f"mypy --no-site-packages {files}")


@pytest.mark.slow
@pytest.mark.campaign
def test_a_scaffold_has_the_types_of_torch(project: Path) -> None:
    assert scaffold(project, "my_loss").returncode == 0
    run(project, "mypy")


@pytest.mark.slow
@pytest.mark.campaign
def test_a_scaffold_runs_unchanged_through_the_smoke_study(smoke_study: Smoke, tmp_path: Path) -> None:
    """The study does not list the loss: naming it on the command line is enough."""
    project = copy_with_results(smoke_study.kept, tmp_path / "project")
    run(project, "make loss NAME=my_loss")
    run(project, 'make figures LOSSES="mse my_loss" DATASETS=mni-brain CONFIG=config/smoke.yaml CORES=1')
    assert ",my_loss,default," in (project / "results" / "smoke" / "tables" / "summary.csv").read_text()
    assert not (ROOT / "workflow" / "rules" / "losses" / "my_loss.smk").exists()
