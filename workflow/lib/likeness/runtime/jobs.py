"""Common parts of all jobs: logging, termination with the workflow, error messages for users, resource usage."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from likeness.runtime import locks
from likeness.runtime.atomic import write_json
from likeness.userinput.errors import sentence

STARTED = time.monotonic()
"""Start time of this process, approximately."""
OWNER = "LIKENESS_OWNER"
"""Environment variable with the path of a file that the starting workflow holds locked while it runs."""
ORPHAN_POLL_SECONDS = 1.0
GRACE_SECONDS = 20.0
"""Time in which an orphaned job can save its state."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Constants of glibc's ``malloc.h``."""
KEPT_BYTES, LARGEST_KEPT_BYTES = 2**30, 2**25
"""Maximum of freed memory that a process keeps, and largest block that it reuses, the maximum that glibc allows."""


class _Tee:
    """A terminal stream that is copied to a log, except for progress bars."""

    def __init__(self, terminal: Any, log: _Log) -> None:
        self.terminal = terminal
        self.log = log

    def write(self, text: str) -> int:
        if "\r" not in text:
            self.log.write(text)
        return self.terminal.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


class _Log:
    """The log of a job, truncated at the start. Write errors, as on a full disk, must not hide why the job ends."""

    def __init__(self, path: Path) -> None:
        self.file = locks.hold(path, lambda: print(f"{path}: waiting for an earlier run of this job to end"))
        with suppress(OSError):
            self.file.truncate(0)

    def write(self, text: str) -> None:
        with suppress(OSError):
            self.file.write(text)
            self.file.flush()

    def close(self) -> None:
        with suppress(OSError):
            self.file.close()


@contextmanager
def logged(path: str | Path) -> Iterator[None]:
    """Run a job: copy its output, warnings and final error to a log, and show errors to the user as one sentence.

    Waits for an earlier run of the same job that is still alive because its workflow was killed; it ends as soon as it
    detects this. The last line of the log is the resource usage of the job.

    Raises:
        SystemExit: instead of an error that the user can fix, with one sentence; the log has the traceback.
    """
    _end_with(os.environ.get(OWNER))
    _keep_memory()
    try:
        log = _Log(Path(path))
    except OSError as error:
        raise SystemExit(sentence(error) or str(error)) from None
    streams: tuple[Any, Any] = _Tee(sys.stdout, log), _Tee(sys.stderr, log)
    try:
        with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
            yield
    except BaseException as error:
        log.write(traceback.format_exc())
        said = sentence(error)
        if said is None:
            raise
        raise SystemExit(said) from None
    finally:
        cpu_seconds, peak_mb = consumed()
        log.write(f"{cpu_seconds:.2f} core-seconds, {peak_mb:.0f} MB\n")
        log.close()


def _end_with(owner: str | None) -> None:
    """End this process soon after its workflow, which could otherwise start the job a second time."""
    if not owner:
        return

    def watch() -> None:
        while not locks.abandoned(Path(owner)):
            time.sleep(ORPHAN_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _keep_memory() -> None:
    """Keep freed memory for the next step; supported for glibc only.

    Returning memory and receiving it again, zeroed, took up to a sixth of a training on volumes.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)


@contextmanager
def told_to_stop() -> Iterator[threading.Event]:
    """Turn a request to stop (SIGTERM: preemption, time limit) into an event, so that a job can save its state.

    Raises:
        SystemExit: at the end, if the request came after the job's last check. The workflow was stopped as well and
            discards results from then on, whereas the job would remove the state that the next run needs.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGTERM, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)
    if event.is_set():
        msg = "told to stop; finished work is saved, the next run will resume from there"
        raise SystemExit(msg)


def consumed() -> tuple[float, float]:
    """Return the CPU seconds and the peak memory in MB of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


@lru_cache
def commit() -> str:
    """Return the commit of the project, or ``"unknown"`` outside a git checkout."""
    try:
        call = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(call, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def processor() -> str:
    """Return the model name of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class Stopwatch:
    """Measure a job: wall time, CPU time and peak memory of the whole process.

    Args:
        memory: JSON file in the job's work folder with the usage of earlier, interrupted runs, which is added.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self.memory = memory
        self.before: dict[str, Any] = {}
        if memory is not None and memory.is_file():
            # a damaged file should only make the measurement wrong, not the job fail
            with suppress(ValueError):
                self.before = json.loads(memory.read_text())

    def save(self) -> None:
        """Save the usage so far, for the run that resumes after an interruption."""
        if self.memory is not None:
            write_json(self.memory, self.record())

    def record(self, **who: Any) -> dict[str, Any]:
        """Return the usage so far as a flat dictionary for ``runtime.csv``."""
        cpu_seconds, peak = consumed()
        gpu, gpu_peak = "", 0.0
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            gpu, gpu_peak = torch.cuda.get_device_name(), torch.cuda.max_memory_allocated() / 1024**2
        before = self.before
        return {
            **who,
            "seconds": round(before.get("seconds", 0.0) + time.monotonic() - STARTED, 2),
            "cpu_seconds": round(before.get("cpu_seconds", 0.0) + cpu_seconds, 2),
            "peak_mb": round(max(before.get("peak_mb", 0.0), peak), 1),
            "gpu_peak_mb": round(max(before.get("gpu_peak_mb", 0.0), gpu_peak), 1),
            "processor": processor(),
            "gpu": gpu,
            "threads": torch.get_num_threads() if torch is not None else 1,
            "runs": before.get("runs", 0) + 1,
            "commit": commit(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
