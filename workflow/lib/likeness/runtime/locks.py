"""Locks by file that end with their owner: the kernel frees them however a process ends, also when it is killed.

They are advisory (``flock``) and hold across machines where a shared file system supports it; where it does not, every
lock is granted, as if there were nobody else.
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
    """Lock a file, made if absent, for as long as the handle is open; ``None`` where another process holds it."""
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
    """Tell whether an open file is still the one of that name: its former owner may just have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def hold(path: Path, waiting: Callable[[], object] = lambda: None) -> TextIO:
    """Lock a file for as long as the handle is open, after any other process that holds it.

    Args:
        path: the file, made if absent; it stays.
        waiting: called once where there is another process to be waited for.
    """
    file = take(path)
    if file is None:
        waiting()
        while (file := take(path)) is None:
            time.sleep(POLL_SECONDS)
    return file


def abandoned(path: Path) -> bool:
    """Tell whether the process that locked a file is gone."""
    file = take(path) if path.is_file() else None
    if file is None:
        return not path.is_file()
    file.close()
    return True


def enlist(folder: Path) -> tuple[TextIO, bool]:
    """Enter this process among the owners of something, until it ends.

    Args:
        folder: where each owner has a file of its own; files of owners that are gone are removed.

    Returns:
        This process's entry, to be kept open, and whether it is the only living owner.

    Raises:
        RuntimeError: if this process has entered itself already.
    """
    entry = folder / f"{socket.gethostname()}-{os.getpid()}"
    mine = take(entry)
    if mine is None:
        msg = f"{entry}: this process has entered itself already"
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
