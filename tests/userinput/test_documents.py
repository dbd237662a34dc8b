"""YAML and text that users write: read strictly, refused in one line that names the place and what is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import refused, told

from likeness.userinput import documents
from likeness.userinput.errors import LISTED, UserError, suggest


@pytest.mark.parametrize(
    ("content", "where", "facts"),
    [
        (b"", "", ["'title: …'"]),
        (b"# nothing\n", "", ["'title: …'"]),
        (b"- a\n", "", ["'title: …'"]),
        (b"hello\n", "", ["'title: …'"]),
        (b"a: [1\n", "line 2, column 1:", ["','", "']'"]),
        (b"a: 1\n\tb: 2\n", "line 2, column 1:", [r"'\t'", "spaces"]),
        (b"a: 1\n---\nb: 2\n", "line 2, column 1:", ["document"]),
        (b"a: 1\nb: 2\na: 3\n", "line 3, column 1: key 'a'", ["twice", "line 1"]),
        (b"x:\n  1: a\n  '1': b\n", "line 3, column 3: key '1'", ["twice", "line 2"]),
        (b"x:\n  1: a\n  01: b\n", "line 3, column 3: key '1'", ["twice", "line 2"]),
        (b"b: &b {x: 1}\na: {<<: *b, <<: *b}\n", "line 2, column 13: key '<<'", ["twice", "line 2"]),
        (b"? [a, b]\n: 1\n", "line 1, column 3:", ["key"]),
        (b"a: " + b"[" * 100_000, "", ["recursion"]),
        (b"a: " + b"9" * 5000, "", ["4300 digits"]),
        (b"a: 2020-13-45\n", "", ["month"]),
        (b"a: !!python/object/apply:os.system [exit]\n", "line 1, column 4:", ["os.system"]),
        (b"a: \x00\n", "", ["character"]),
        (b"a: \xff\n", "", ["UTF-8", "4"]),
        ("a: é\n".encode("utf-16"), "", ["UTF-8", "1"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refuses_in_one_line(tmp_path: Path, content: bytes, where: str, facts: list[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with refused(UserError, f"{path}: {where}", *facts):
        documents.read(path, UserError, "title: …")


def test_a_file_that_nobody_wrote_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate(documents.MOST_CHARACTERS + 1)
    with refused(UserError, f"{path}: ", "10000001 bytes"):
        documents.read(path, UserError, "")


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    cases = {"missing.yaml": "exist", ".": "folder", "loop": "link", "x" * 300: "longer"}
    for name, fact in cases.items():
        with refused(UserError, f"{tmp_path / name}: ", fact):
            documents.read(tmp_path / name, UserError, "")
    with refused(UserError, rf"{tmp_path}/a\x00b: ", "read"):
        documents.read(tmp_path / "a\0b", UserError, "")


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    """Root may read everything, so the reading is done by nobody."""
    code = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from likeness.userinput import documents
from likeness.userinput.errors import UserError, suggest
folder = Path(sys.argv[2])
folder.chmod(0o777)
(folder / "closed").mkdir()
for path in (folder / "a.yaml", folder / "closed" / "b.yaml"):
    path.write_text("a: 1")
os.chmod(folder / "a.yaml", 0)
os.chmod(folder / "closed", 0)
if os.geteuid() == 0:
    os.chdir(folder)
    folder = Path(".")
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for path in (folder / "a.yaml", folder / "closed" / "b.yaml"):
    for ask in (lambda: documents.read(path, UserError, ""), lambda: documents.is_file(path, UserError)):
        try:
            print(ask())
        except UserError as error:
            print(error)
"""
    library = Path(documents.__file__).parents[2]
    call = [sys.executable, "-c", code, str(library), str(tmp_path)]
    said = subprocess.run(call, capture_output=True, text=True, check=True).stdout.splitlines()
    (tmp_path / "closed").chmod(0o700)
    place = "" if os.geteuid() == 0 else f"{tmp_path}/"
    assert said.pop(1) == "True", "that it is a file is seen without reading it"
    for message, name in zip(said, ("a.yaml", "closed/b.yaml", "closed/b.yaml"), strict=True):
        told(message, f"{place}{name}: ", "permissions")


def test_anchors_aliases_and_merged_keys_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("p: {q: &b {<<: &a {x: 1, y: 1}, x: 2}}\nc: {<<: [*b, *a], y: 3}\nd: *b\n", encoding="utf-8-sig")
    two = {"x": 2, "y": 1}
    assert documents.read(path, UserError, "") == {"p": {"q": two}, "c": {"x": 2, "y": 3}, "d": two}


def test_a_number_that_yaml_takes_for_text_is_written_so_that_it_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1.0e-07\n")
    assert documents.read(path, UserError, "") == {"a": 1e-7}


def test_a_long_list_of_names_is_cut() -> None:
    said = suggest("zzz", [f"name{n}" for n in range(50)])
    told(said, "", *(f"name{n}" for n in range(LISTED)), "…")
    assert f"name{LISTED}" not in said
