"""A copy of the project that tests may change, and commands in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from likeness.runtime.provenance import code_digest

ROOT = Path(__file__).parents[2]
PARTS = ("workflow", "config", "envs", "profiles", "tests", "docs")
LOCKS = ("requirements.lock", "requirements.itk.lock")
FILES = ("Snakefile", "Makefile", "pyproject.toml", *LOCKS, "README.md", "CONTRIBUTING.md", "CHANGELOG.md")


@dataclass(frozen=True)
class Smoke:
    """The smoke study after an undisturbed run."""

    project: Path
    """A copy of the project with all that the run left; tests may run more there."""
    kept: Path
    """The project that it ran in; nothing changes it."""
    core_seconds: float

    @cached_property
    def files(self) -> dict[str, bytes]:
        """Its results as the run left them, by relative path."""
        return files(self.kept / "results" / "smoke")


def copy_project(folder: Path) -> Path:
    """Copy the project without results; its ``.venv`` is the environment that runs the tests."""
    digest_scripts()
    for part in PARTS:
        # compiled modules are told by time and size, which an edit in a test may leave as they are
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("*.pyc", "oracles"))
    for file in FILES:
        shutil.copy2(ROOT / file, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    # older than the environment: make must not set that up again
    for lock in LOCKS:
        os.utime(folder / lock, (0, 0))
    return folder


@cache
def digest_scripts() -> None:
    """Leave beside the code what was parsed of it, so that no copy has to be parsed again."""
    for script in (ROOT / "workflow" / "scripts").glob("*.py"):
        code_digest(script)


def copy_with_results(project: Path, folder: Path) -> Path:
    """Copy a project with its results, which in the copy are as up to date as they were."""
    return shutil.copytree(project, folder, symlinks=True)


def outside_make() -> dict[str, str]:
    """Give the environment without a make that runs the tests, of which those that they run would tell."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}


def run(folder: Path, command: str) -> str:
    """Run a shell command in a copy of the project and give what it printed.

    Raises:
        AssertionError: if it fails, with what it printed.
    """
    environment = {**outside_make(), "CORES": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PATH"] = f"{sys.prefix}/bin:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def files(folder: Path) -> dict[str, bytes]:
    """Read everything below a folder, by relative path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def same_everywhere(name: str) -> bool:
    """Tell whether a result must have the same bytes in every run: all but times, logs and what figures embed."""
    kept = ("raw/", "data/", "extractors/", "models/", "samples/", "fields/", "scores/", "landscape/", "tables/")
    kept += ("metrics.", "curves.", "landscape.")
    return name.startswith(kept) and name != "tables/runtime.csv"


def leftover(found: Collection[str]) -> set[str]:
    """Give the results that only jobs under way need, and fields: those of networks go once they are scored."""
    return {name for name in found if name.startswith(("work/", "fields/"))}


def command(config: str, *arguments: str) -> list[str]:
    """Give the call of Snakemake on a configuration of a copy of the project."""
    return [sys.executable, "-m", "snakemake", "--configfile", f"config/{config}.yaml", *arguments]


def environment(threads: str = "1") -> dict[str, str]:
    """Give the environment that Snakemake runs in."""
    return {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONDONTWRITEBYTECODE": "1"}


def snakemake(project: Path, config: str, *arguments: str, threads: str = "1") -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a copy of the project.

    Raises:
        AssertionError: if it fails, with what it printed.
    """
    call = command(config, *arguments)
    done = subprocess.run(call, cwd=project, env=environment(threads), capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done


@dataclass(frozen=True)
class Needs:
    """What a job asks for."""

    threads: int
    mem_mb: int
    minutes: int
    gpus: int


def planned(output: str) -> dict[str, Needs]:
    """Read from what Snakemake printed what the first job of each rule asks for, also of rules that form a group."""
    found: dict[str, Needs] = {}
    for _, rule, text in re.findall(r"^( *)rule (\w+):\n((?:\1    .*\n)+)", output, flags=re.MULTILINE):
        threads = re.search(r"threads: (\d+)", text)
        stated = {key: int(value) for key, value in re.findall(r"\b(mem_mb|runtime|gpu)=(\d+)", text)}
        needs = Needs(int(threads[1]) if threads else 1, stated["mem_mb"], stated["runtime"], stated.get("gpu", 0))
        found.setdefault(rule, needs)
    return found
