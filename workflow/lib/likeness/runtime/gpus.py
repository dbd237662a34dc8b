"""Which GPUs of this machine a job may see: each its own, by file locks that end with the job, however it ends."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from likeness.runtime import locks
from likeness.userinput.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
SCHEDULERS = ("SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST")
"""Set where a cluster's scheduler has given a job its GPUs already."""


def present() -> list[str]:
    """Name the GPUs of this machine that this process may use: those of ``CUDA_VISIBLE_DEVICES``, or all by UUID."""
    allowed = os.environ.get(VISIBLE)
    if allowed is not None:
        return [name.strip() for name in allowed.split(",") if name.strip()]
    call = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        done = subprocess.run(call, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.split()


def _locks() -> Path:
    """Give the folder of the locks, one a user and machine, so that several studies share the GPUs of a machine."""
    return Path(tempfile.gettempdir()) / f"likeness-gpus-{os.getuid()}"


@contextmanager
def locked(count: int) -> Iterator[list[str]]:
    """Give this process GPUs of its own for the length of a block, and hide the others from it.

    To be entered before a library opens the GPUs.

    Args:
        count: how many, the resource ``gpu`` of the job; none hides nothing, and what PyTorch finds is used.

    Yields:
        Their names; nothing where none was asked for, or where a cluster's scheduler has assigned them.

    Raises:
        UserError: if the machine has fewer.
    """
    if not count or any(name in os.environ for name in SCHEDULERS):
        yield []
        return
    everything = present()
    if len(everything) < count:
        msg = f"this machine has {len(everything)} GPUs, but the job asks for {count}; "
        raise UserError(msg + "lower `gpu` in the profile's default-resources, or run without that profile")
    before = os.environ.get(VISIBLE)
    with ExitStack() as held:
        mine = _wait_for(count, everything, held)
        os.environ[VISIBLE] = ",".join(mine)
        try:
            yield mine
        finally:
            os.environ.pop(VISIBLE)
            if before is not None:
                os.environ[VISIBLE] = before


def _wait_for(count: int, everything: list[str], held: ExitStack) -> list[str]:
    """Lock a number of GPUs; a job takes all of them or none, so that two jobs cannot wait for each other."""
    told = False
    while True:
        found: dict[str, TextIO] = {}
        for name in everything:
            if len(found) < count and (lock := locks.take(_locks() / f"{name}.lock")) is not None:
                found[name] = lock
        if len(found) == count:
            for lock in found.values():
                held.enter_context(lock)
            return list(found)
        for lock in found.values():
            lock.close()
        if not told:
            print(f"waiting for {count} of {len(everything)} GPUs to become free")
            told = True
        time.sleep(locks.POLL_SECONDS)
