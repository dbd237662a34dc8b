"""A copy of the project that tests may change, and commands in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("workflow", "config", "envs", "profiles", "tests", "docs")
FILES = ("Snakefile", "Makefile", "pyproject.toml", "requirements.lock", "README.md", "CONTRIBUTING.md")


def copy_project(folder: Path) -> Path:
    """Copy the project without results; its ``.venv`` is the environment that runs the tests."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy2(ROOT / file, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run(folder: Path, command: str) -> str:
    """Run a shell command in a copy of the project and give what it printed.

    Raises:
        AssertionError: if it fails, with what it printed.
    """
    # the environment is there already: make must not set it up again
    environment = {**os.environ, "MAKEFLAGS": "-o .venv/.ready", "CORES": "1", "PYTHONDONTWRITEBYTECODE": "1"}
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
