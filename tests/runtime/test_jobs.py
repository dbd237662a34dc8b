"""What every job does: its log, its end, its cost; and the locks that end with their owner."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from project import ROOT

from likeness.runtime import locks
from likeness.runtime.jobs import Stopwatch, logged, told_to_stop
from likeness.userinput.errors import UserError


def speak(log: Path) -> None:
    with logged(log):
        print("to the user")
        print("\r 10 %", end="", file=sys.stderr)
        print("beware", file=sys.stderr)
        msg = "too bad"
        raise ValueError(msg)


def test_a_log_keeps_what_was_said_and_the_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "logs" / "job.log"
    with pytest.raises(ValueError, match="too bad"):
        speak(log)
    shown = capsys.readouterr()
    assert shown.out == "to the user\n"
    assert shown.err == "\r 10 %beware\n"
    kept = log.read_text()
    assert kept.startswith("to the user\nbeware\nTraceback")
    *_, error, cost = kept.splitlines()
    assert error == "ValueError: too bad"
    assert re.fullmatch(r"[0-9.]+ core-seconds, [0-9]+ MB", cost)


def test_warnings_are_logged(tmp_path: Path) -> None:
    with warnings.catch_warnings(), logged(tmp_path / "job.log"):
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: print(message, file=sys.stderr)
        warnings.warn("mind the gap", stacklevel=1)
    assert "mind the gap" in (tmp_path / "job.log").read_text()


def test_a_logged_job_still_knows_its_terminal(tmp_path: Path, monkeypatch) -> None:
    """A progress bar shows itself on a terminal only, and asks the stream whether it is one."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with logged(tmp_path / "job.log"):
        assert sys.stderr.isatty()
        sys.stderr.flush()
    assert isinstance(sys.stderr, Terminal)


def test_time_is_summed_and_memory_is_the_highest_over_runs_of_a_job(tmp_path: Path) -> None:
    memory = tmp_path / "work" / "runtime.json"
    watch = Stopwatch(memory)
    first = watch.record(rule="train", loss="mse")
    assert first["peak_mb"] > 10
    assert first["rule"] == "train"
    watch.save()
    before = json.loads(memory.read_text())
    memory.write_text(json.dumps(before | {"seconds": 1000.0, "cpu_seconds": 2000.0, "peak_mb": 1e6, "gpu_peak_mb": 7}))
    second = Stopwatch(memory).record()
    # both are rounded to hundredths
    assert second["seconds"] > 999.98 + before["seconds"]
    assert second["cpu_seconds"] > 1999.98 + before["cpu_seconds"]
    assert (second["peak_mb"], second["gpu_peak_mb"], second["runs"]) == (1e6, 7, 2)


def fail(log: Path, error: Exception) -> None:
    with logged(log):
        print("said")
        raise error


def test_an_error_that_a_person_can_fix_is_one_sentence_and_its_traceback_is_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    with pytest.raises(SystemExit, match=r"^a\.yaml: key 'b' is wrong$"):
        fail(log, UserError("a.yaml: key 'b' is wrong"))
    assert "Traceback" in log.read_text()
    with pytest.raises(SystemExit, match=r"^/a/b: the disk is full; free some space"):
        fail(log, OSError(errno.ENOSPC, "No space left on device", "/a/b"))


def test_a_log_on_a_full_disk_does_not_hide_why_a_job_ends(tmp_path: Path) -> None:
    log = tmp_path / "full.log"
    log.symlink_to("/dev/full")
    with pytest.raises(SystemExit, match="key 'b'"):
        fail(log, UserError("a.yaml: key 'b' is wrong"))


CHILD = """
import sys, time
from likeness.runtime.jobs import logged, told_to_stop
with logged(sys.argv[1]):
    with told_to_stop() as stop:
        print("begun", flush=True)
        assert stop.wait(60)
        print("saved", flush=True)
"""


def start(log: Path, **more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "lib"), **more}
    return subprocess.Popen([sys.executable, "-c", CHILD, log], stdout=subprocess.PIPE, env=environment, text=True)


def test_a_job_whose_workflow_was_killed_ends_and_the_next_run_of_it_waits_for_that(tmp_path: Path) -> None:
    owner, log = tmp_path / "owner", tmp_path / "job.log"
    lock = locks.take(owner)
    assert lock
    with start(log, LIKENESS_OWNER=str(owner)) as orphan:
        assert orphan.stdout
        assert orphan.stdout.readline() == "begun\n"
        with start(log, LIKENESS_OWNER="") as later:
            assert later.stdout
            assert later.stdout.readline() == f"{log}: waiting for an earlier run of this job to end\n"
            lock.close()
            assert orphan.communicate(timeout=20)[0] == "saved\n"
            assert later.stdout.readline() == "begun\n"
            later.terminate()
            assert later.communicate(timeout=20)[0] == "saved\n"


def test_a_job_that_is_told_to_stop_when_it_no_longer_looks_ends_before_it_removes_what_it_kept() -> None:
    with pytest.raises(SystemExit, match="told to stop"), told_to_stop():
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_file_lock_ends_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = "import sys, time; from pathlib import Path; from likeness.runtime import locks\n"
    code += "held = locks.take(Path(sys.argv[1])); print(flush=True); time.sleep(60)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "lib")}
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout
        owner.stdout.readline()
        assert locks.take(path) is None
        assert not locks.abandoned(path)
        owner.kill()
    assert locks.abandoned(path)


def test_owners_that_are_gone_are_struck_off(tmp_path: Path) -> None:
    (tmp_path / "elsewhere-1").touch()
    other = locks.take(tmp_path / "elsewhere-2")
    assert other
    mine, alone = locks.enlist(tmp_path)
    assert not alone
    assert {p.name for p in tmp_path.iterdir()} == {"elsewhere-2", Path(mine.name).name}
    mine.close()
    other.close()
    assert locks.enlist(tmp_path)[1]
