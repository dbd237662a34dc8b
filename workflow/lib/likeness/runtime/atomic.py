"""Files that appear whole or not at all."""

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
"""The file that the owner of a temporary folder holds locked."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Write a file or a folder under a temporary name beside its place and move it there when the block succeeds.

    What a killed process left of an earlier attempt is removed.

    Args:
        path: where the file or folder is to appear; what lies there is replaced.

    Yields:
        The temporary path; the block creates a file or a folder there.

    Raises:
        OSError: if the disk does not take it; where the error names no file, as that of a full disk, it names this one.
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
    """Check that a folder, made if absent, takes ``size`` bytes: write them to the disk and delete them again.

    Raises:
        OSError: if that is not possible; its ``filename`` is the folder.
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
    """Write JSON, whole or not at all, keys in the order given."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path, source: Path) -> Any:
    """Read JSON that a job wrote.

    Args:
        path: the file.
        source: the file or folder that the job made with it, for the message.

    Raises:
        UserError: if it is broken.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise made_anew(path, f"is no JSON ({error})", source) from error


def work_folder(place: str | Path, key: str) -> Path:
    """Give the folder in which an unfinished job keeps what it has.

    Args:
        place: a folder for this job alone.
        key: digest of all that decides what the job makes; what is there under another key is stale and removed.

    Returns:
        ``<place>/<key>``; it may not exist yet.
    """
    chosen = Path(place) / key
    for other in Path(place).glob("*"):
        if other != chosen:
            shutil.rmtree(other, ignore_errors=True)
    return chosen
