"""Files that appear whole or not at all, and what says how they were made."""

from __future__ import annotations

import json
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Write a file or a folder under a temporary name beside its place and move it there when the block succeeds.

    Args:
        path: where the file or folder is to appear; what lies there is replaced.

    Yields:
        The temporary path; the block creates a file or a folder there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        temporary = Path(scratch) / path.name
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        temporary.replace(path)


class _Tee:
    """A terminal whose words are also written to a log; what a progress bar overwrites stays on the terminal."""

    def __init__(self, terminal: Any, log: TextIO) -> None:
        self.terminal = terminal
        self.log = log

    def write(self, text: str) -> int:
        if "\r" not in text:
            self.log.write(text)
        return self.terminal.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


@contextmanager
def logged(path: str | Path) -> Iterator[None]:
    """Copy what a job prints, its warnings and the error it ends with to its log; the terminal shows all as before.

    The last line of the log says what the job took.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("w", encoding="utf-8", buffering=1) as log:
        streams: tuple[Any, Any] = _Tee(sys.stdout, log), _Tee(sys.stderr, log)
        with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
            try:
                yield
            except BaseException:
                traceback.print_exc(file=log)
                raise
            finally:
                cpu_seconds, peak_mb = consumed()
                log.write(f"{cpu_seconds:.2f} core-seconds, {peak_mb:.0f} MB\n")


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON, whole or not at all, keys in the order given."""
    with whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")


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
    """Measures a job: wall seconds since it was built, CPU seconds and peak memory of the whole process.

    Args:
        before: the record of the same job's earlier, interrupted runs, whose time is added.
    """

    def __init__(self, before: dict[str, float] | None = None) -> None:
        self.start = time.monotonic()
        self.before = before or {"seconds": 0.0, "cpu_seconds": 0.0, "peak_mb": 0.0}

    def record(self, **who: Any) -> dict[str, Any]:
        """Give the record of the job so far, a flat dictionary for ``runtime.csv``."""
        cpu_seconds, peak = consumed()
        gpu, gpu_peak = "", 0.0
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            gpu, gpu_peak = torch.cuda.get_device_name(), torch.cuda.max_memory_allocated() / 1024**2
        return {
            **who,
            "seconds": round(self.before["seconds"] + time.monotonic() - self.start, 2),
            "cpu_seconds": round(self.before["cpu_seconds"] + cpu_seconds, 2),
            "peak_mb": round(max(self.before["peak_mb"], peak), 1),
            "gpu_peak_mb": round(gpu_peak, 1),
            "processor": processor(),
            "gpu": gpu,
            "threads": torch.get_num_threads() if torch is not None else 1,
            "commit": commit(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
