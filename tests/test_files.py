"""Files appear whole or not at all; logs keep what a job says; a job's time is summed over its runs."""

from __future__ import annotations

import io
import json
import re
import sys
import warnings
from pathlib import Path

import pytest

from likeness.files import Stopwatch, logged, whole, write_json


def test_a_file_appears_when_the_block_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    with whole(target) as path:
        path.write_text("content")
        assert not target.exists()
    assert target.read_text() == "content"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


def write_half(target: Path) -> None:
    with whole(target) as path:
        path.write_text("half")
        raise KeyError


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(KeyError):
        write_half(target)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "stale.txt").write_text("old")
    with whole(target) as path:
        path.mkdir()
        (path / "new.txt").write_text("new")
    assert [p.name for p in target.iterdir()] == ["new.txt"]


def test_json_keeps_the_order_of_keys_and_letters(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"λ": 1, "a": 2})
    text = (tmp_path / "a.json").read_text()
    assert text.index("λ") < text.index('"a"')
    assert json.loads(text) == {"λ": 1, "a": 2}


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


def test_time_is_summed_and_memory_is_the_highest_over_runs_of_a_job() -> None:
    first = Stopwatch().record(rule="train", loss="mse")
    assert first["peak_mb"] > 10
    assert first["rule"] == "train"
    before = first | {"seconds": 100.0, "cpu_seconds": 200.0, "peak_mb": 1e6}
    second = Stopwatch(before).record()
    assert 100 <= second["seconds"] < 110
    assert second["cpu_seconds"] >= 200
    assert second["peak_mb"] == 1e6
