"""Files appear whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT

from likeness.runtime.atomic import atomic_write, check_writable, read_json, work_folder, write_json
from likeness.userinput.errors import UserError


def test_a_file_appears_when_the_block_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    with atomic_write(target) as path:
        path.write_text("content")
        assert not target.exists()
    assert target.read_text() == "content"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


def write_half(target: Path) -> None:
    with atomic_write(target) as path:
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
    with atomic_write(target) as path:
        path.mkdir()
        (path / "new.txt").write_text("new")
    assert [p.name for p in target.iterdir()] == ["new.txt"]


def test_json_keeps_the_order_of_keys_and_letters(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"λ": 1, "a": 2})
    text = (tmp_path / "a.json").read_text()
    assert text.index("λ") < text.index('"a"')
    assert json.loads(text) == {"λ": 1, "a": 2}


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    code = (
        "import sys, time\n"
        "from likeness.runtime.atomic import atomic_write\n"
        "with atomic_write(sys.argv[1]) as path:\n"
        "    path.write_text('half')\n"
        "    print(flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "lib")}
    with subprocess.Popen([sys.executable, "-c", code, target], stdout=subprocess.PIPE, env=environment) as writer:
        assert writer.stdout
        writer.stdout.readline()
        with atomic_write(target) as path:
            path.write_text("first")
        assert len(list(tmp_path.iterdir())) == 2
        writer.kill()
    with atomic_write(target) as path:
        path.write_text("second")
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
    assert target.read_text() == "second"


def test_a_work_folder_of_another_key_is_removed(tmp_path: Path) -> None:
    old = work_folder(tmp_path / "job", "old")
    old.mkdir(parents=True)
    (old / "unfinished.checkpoint").write_text("state")
    assert work_folder(tmp_path / "job", "old") == old
    assert old.is_dir()
    assert work_folder(tmp_path / "job", "new") == tmp_path / "job" / "new"
    assert not old.exists()


def test_a_full_disk_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    full = Path("/dev/full")
    with (
        pytest.raises(OSError, match="No space left") as caught,
        atomic_write(tmp_path / "a"),
        full.open("wb", 0) as device,
    ):
        device.write(b"x")
    assert caught.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_probe_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file") as caught:
        check_writable(tmp_path / "file" / "c")
    assert caught.value.filename == str(tmp_path / "file" / "c")


def test_broken_json_says_what_to_delete(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{\xff")
    with pytest.raises(UserError, match=rf"a.json: is not valid JSON \(.*\); delete {tmp_path} and run again"):
        read_json(tmp_path / "a.json", tmp_path)
