"""What every job does: keep a log, end with those who started it, tell errors to a person, measure itself."""

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
"""When this process began, as near as Python tells."""
OWNER = "LIKENESS_OWNER"
"""Environment variable: the file that the workflow which started a job holds locked while it lives."""
ORPHAN_POLL_SECONDS = 1.0
GRACE_SECONDS = 20.0
"""What an orphaned job has to save its state in."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's ``malloc.h``."""
KEPT_BYTES, LARGEST_KEPT_BYTES = 2**30, 2**25
"""Freed memory that a process keeps; the largest block that it keeps once freed, the most that glibc allows."""


class _Tee:
    """A terminal whose words are also written to a log; what a progress bar overwrites stays on the terminal."""

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
    """The log of a job, empty at first. That it cannot be written, on a full disk, does not hide why the job ends."""

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
    """Run a job: its words, its warnings and the error it ends with go to its log too, and errors speak to a person.

    An earlier run of the same job that still lives, because the workflow that started it was killed, is waited for;
    it ends by itself as soon as it notices. The last line of the log says what the job took.

    Raises:
        SystemExit: in place of an error that a person can fix, with one sentence; the log has the traceback.
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
    """End this process soon after its owner, or the workflow would start the job again beside it."""
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
    """Keep freed memory for the next step; only glibc's allocator can be told so.

    To give it back and be given it anew, zeroed, took up to a sixth of a training of volumes.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)


@contextmanager
def told_to_stop() -> Iterator[threading.Event]:
    """Turn a request to stop (SIGTERM: preemption, time limit) into an event, so that a job can save its state.

    Raises:
        SystemExit: at the end, if the request came after the job last looked. The workflow was told as well and drops
            what the job gives it from then on, while the job would remove the state that the next run needs.
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
        msg = "told to stop; what was done is saved, the next run goes on from there"
        raise SystemExit(msg)


def consumed() -> tuple[float, float]:
    """Give the CPU seconds and the peak memory in MB of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


@lru_cache
def commit() -> str:
    """Name the commit of the project, or ``"unknown"`` outside a checkout."""
    try:
        call = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(call, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def processor() -> str:
    """Name the processor's model."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class Stopwatch:
    """Measures a job: wall seconds, CPU seconds and peak memory of the whole process.

    Args:
        memory: a JSON file in the job's work folder; what an earlier, interrupted run of the job left there is added.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self.memory = memory
        self.before: dict[str, Any] = {}
        if memory is not None and memory.is_file():
            # a broken memory costs a wrong time, not the job
            with suppress(ValueError):
                self.before = json.loads(memory.read_text())

    def save(self) -> None:
        """Keep what the job took so far for the run that goes on after an interruption."""
        if self.memory is not None:
            write_json(self.memory, self.record())

    def record(self, **who: Any) -> dict[str, Any]:
        """Give the record of the job so far, a flat dictionary for ``runtime.csv``."""
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
