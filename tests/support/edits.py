"""Edits of a copy of the project, and what Snakemake would then run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import yaml
from project import snakemake

from likeness.runtime import provenance

READ = provenance._read

WORDS = re.compile(r'(\bmsg \+?= \(?\s*|\braise \w+\((?:msg \+|path,) |^ *print\()(f?")', re.MULTILINE)
"""Where a message begins."""
MANNERS = {
    "userinput/errors.py": (("did you mean", "do you mean"), ("is a folder", "is just a folder")),
    "config/faults.py": (("is too small", "is far too small"),),
    "runtime/download.py": (("TRIES = 5", "TRIES = 6"), ("PROGRESS_SECONDS = 30.0", "PROGRESS_SECONDS = 31.0")),
    "runtime/progress.py": (("disable=None", "disable=None, mininterval=1.0"),),
    "runtime/jobs.py": (("ORPHAN_POLL_SECONDS = 1.0", "ORPHAN_POLL_SECONDS = 1.1"),),
}
"""Edits in the library of how something is said, shown or tried."""


def library(project: Path) -> Path:
    return project / "workflow" / "lib" / "likeness"


def reword(folder: Path) -> int:
    """Edit every message below a folder, and give how many there are."""
    count = 0
    for path in folder.rglob("*.py"):
        text, found = WORDS.subn(r"\g<1>\g<2>Reworded: ", path.read_text())
        path.write_text(text)
        count += found
    return count


def change(path: Path, *changes: tuple[str, str]) -> None:
    """Edit a file; every text to change must be there; without changes, add code."""
    text = path.read_text()
    for old, new in changes or [(text, f"{text}\nEDITED = 1\n")]:
        assert old in text, f"{path} does not hold {old!r}"
        text = text.replace(old, new, 1)
    path.write_text(text)


def change_manners(root: Path) -> None:
    """Edit every message of a library, and how it shows progress and tries again."""
    assert reword(root) > 200
    for name, changes in MANNERS.items():
        change(root / name, *changes)


@contextmanager
def restored(*folders: Path) -> Iterator[None]:
    """Undo what a block does to the Python files below some folders."""
    before = {path: path.read_text() for folder in folders for path in folder.rglob("*.py")}
    try:
        yield
    finally:
        for path, text in before.items():
            if path.read_text() != text:
                path.write_text(text)


@contextmanager
def edited(path: Path, *changes: tuple[str, str]) -> Iterator[None]:
    """Edit a file for the length of a block, see :func:`change`."""
    with restored(path.parent):
        change(path, *changes)
        yield


@cache
def _parsed(path: Path, _: str) -> tuple[str, frozenset[str]]:
    """Read a file as :mod:`provenance` does, once for every content."""
    return READ.__wrapped__(path)


@contextmanager
def library_at(root: Path) -> Iterator[None]:
    """Let digests of code be those of the library that lies in a folder, as it is then."""
    cached = (provenance.modules, provenance.code_digest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "LIBRARY", root)
        patch.setattr(provenance, "_read", lambda path: _parsed(path, path.read_text()))
        for function in cached:
            function.cache_clear()
        yield
    for function in cached:
        function.cache_clear()


def todo(project: Path, config: str = "smoke", *targets: str) -> dict[str, int]:
    """Ask for the jobs per rule that are left to do."""
    said = snakemake(project, config, "--quiet", "rules", "--dry-run", *targets).stdout
    return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) +(\d+)$", said, re.M) if m[1] != "total"}


def write_config(project: Path, name: str, content: Mapping[str, object]) -> None:
    (project / "config" / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
