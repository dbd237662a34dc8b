"""What the jobs of a study load, as every one of them leaves it behind when it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

LEAVE = """
import atexit, json, os, sys

def leave():
    job = getattr(sys.modules["__main__"], "snakemake", None)
    if job is not None:
        loaded = [name for name in sys.modules if name.partition(".")[0] == "likeness"]
        said = {"rule": job.rule, "script": sys.argv[0], "code": getattr(job.params, "code", None), "loaded": loaded}
        with open(os.path.join(os.path.dirname(__file__), f"{job.rule}.{os.getpid()}.json"), "w") as file:
            json.dump(said, file)

atexit.register(leave)
"""
"""Python runs it when it starts, of a module of this name on its path."""


@dataclass(frozen=True)
class Loaded:
    """The modules of the library that a job had loaded when it ended, and the digest of code among its params."""

    rule: str
    script: str
    code: str
    modules: tuple[str, ...]


@contextmanager
def traced(folder: Path) -> Iterator[None]:
    """Let every job that runs in a block leave in a folder what it loads."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(LEAVE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield


def loaded(folder: Path) -> list[Loaded]:
    """Read what the jobs left in a folder."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    # Snakemake names its copy of a script `tmp….<script>.py`
    return [Loaded(job["rule"], job["script"].split(".")[-2], job["code"], tuple(job["loaded"])) for job in found]
