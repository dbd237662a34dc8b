"""Assign GPUs of this machine to jobs, each exclusively, by file locks that are released when the job ends."""

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
"""Environment variables of cluster schedulers, which assign GPUs to jobs themselves."""


def present() -> list[str]:
    """List the GPUs that this process may use: those in ``CUDA_VISIBLE_DEVICES``, or all by UUID."""
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
    """Return the folder of the locks, one per user and machine, so that several studies can share the GPUs."""
    return Path(tempfile.gettempdir()) / f"likeness-gpus-{os.getuid()}"


@contextmanager
def locked(count: int) -> Iterator[list[str]]:
    """Reserve GPUs for this process inside the block, and hide the others from it.

    Must be entered before a library initialises the GPUs.

    Args:
        count: number of GPUs, the resource ``gpu`` of the job; with 0 nothing is hidden, and PyTorch uses what it
            finds.

    Yields:
        Their names; empty if none were requested, or if a cluster scheduler has assigned them.

    Raises:
        UserError: if the machine has fewer.
    """
    if not count or any(name in os.environ for name in SCHEDULERS):
        yield []
        return
    everything = present()
    if len(everything) < count:
        msg = f"this machine has {len(everything)} GPUs, but the job requests {count}; "
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
    """Lock a number of GPUs; a job takes all of them or none, to prevent deadlocks."""
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
