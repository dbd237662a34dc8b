"""What the jobs of a study load, as every one of them leaves it behind when it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from project import ROOT

from likeness.runtime.provenance import code_digest

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


@contextmanager
def traced(folder: Path) -> Iterator[None]:
    """Let every job that runs in a block leave in a folder what it loads."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(LEAVE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield


def complete(folder: Path) -> dict[str, bool]:
    """Tell of the scripts of the jobs that left something whether the digest among their params has all they loaded."""
    found: dict[str, bool] = {}
    for job in (json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))):
        # Snakemake names its copy of a script `tmp….<script>.py`
        script = job["script"].split(".")[-2]
        same = job["code"] == code_digest(ROOT / "workflow" / "scripts" / f"{script}.py", *job["loaded"])
        found[script] = same and found.get(script, True)
    return found
