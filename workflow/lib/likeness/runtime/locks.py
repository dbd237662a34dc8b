"""File locks that the kernel releases when their owner ends, even if it is killed.

They are advisory (``flock``) and work across machines if the shared file system supports it; otherwise every lock is
granted.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

POLL_SECONDS = 0.2


def take(path: Path) -> TextIO | None:
    """Lock a file, created if missing, while the returned handle is open; ``None`` if another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError:
            return file
        if _lies_at(file, path):
            return file
        file.close()


def _lies_at(file: TextIO, path: Path) -> bool:
    """Return whether an open file is still the one at its path, which a former owner could have removed."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def hold(path: Path, waiting: Callable[[], object] = lambda: None) -> TextIO:
    """Lock a file while the returned handle is open; wait for any other process that holds it.

    Args:
        path: lock file, created if missing and not removed.
        waiting: called once if another process holds the lock.
    """
    file = take(path)
    if file is None:
        waiting()
        while (file := take(path)) is None:
            time.sleep(POLL_SECONDS)
    return file


def abandoned(path: Path) -> bool:
    """Return whether the process that locked a file has ended."""
    file = take(path) if path.is_file() else None
    if file is None:
        return not path.is_file()
    file.close()
    return True


def enlist(folder: Path) -> tuple[TextIO, bool]:
    """Register this process as an owner until it ends.

    Args:
        folder: folder with one file per owner; files of owners that have ended are removed.

    Returns:
        The handle of this process's file, to be kept open, and whether it is the only owner alive.

    Raises:
        RuntimeError: if this process is already registered.
    """
    entry = folder / f"{socket.gethostname()}-{os.getpid()}"
    mine = take(entry)
    if mine is None:
        msg = f"{entry}: this process is already registered"
        raise RuntimeError(msg)
    alone = True
    for other in sorted(folder.iterdir()):
        if other != entry:
            file = take(other)
            if file is None:
                alone = False
            else:
                other.unlink(missing_ok=True)
                file.close()
    return mine, alone
