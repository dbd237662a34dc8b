"""Atomic writing of files and folders: they appear completely or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from likeness.runtime import locks
from likeness.userinput.errors import made_anew

_OWNER = "owner"
"""Lock file in a temporary folder, held by the process that owns the folder."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Write a file or folder under a temporary name in the same directory and move it into place on success.

    Leftovers of killed processes are removed.

    Args:
        path: file or folder to write; an existing one is replaced.

    Yields:
        The temporary path, at which the block creates a file or folder.

    Raises:
        OSError: if writing fails; its ``filename`` is set to ``path`` if it has none, as for a full disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name}."
    for left in path.parent.glob(f"{prefix}????????/{_OWNER}"):
        if locks.abandoned(left):
            shutil.rmtree(left.parent, ignore_errors=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent) as scratch,
            locks.hold(Path(scratch) / _OWNER),
        ):
            temporary = Path(scratch) / path.name
            yield temporary
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def check_writable(folder: Path, size: int = 1_000_000) -> None:
    """Check that a folder, created if missing, is writable and has ``size`` bytes of free space, by a synced write.

    Raises:
        OSError: if not; its ``filename`` is the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(folder)
        raise


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically, with keys in the given order."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path, source: Path) -> Any:
    """Read JSON written by a job.

    Args:
        path: JSON file.
        source: file or folder that contains all results of the job, for the message.

    Raises:
        UserError: if the file is damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise made_anew(path, f"is not valid JSON ({error})", source) from error


def work_folder(place: str | Path, key: str) -> Path:
    """Return the folder for the intermediate results of an unfinished job.

    Args:
        place: folder of this job only.
        key: digest of everything that determines the job's results; folders with other keys are outdated and removed.

    Returns:
        ``<place>/<key>``, which may not exist yet.
    """
    chosen = Path(place) / key
    for other in Path(place).glob("*"):
        if other != chosen:
            shutil.rmtree(other, ignore_errors=True)
    return chosen
