"""YAML and text that users write: read strictly, refused in one line that names the place and the fix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from likeness.userinput import documents
from likeness.userinput.errors import UserError, suggest


def refusal(folder: Path, content: bytes) -> str:
    path = folder / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        documents.read(path, UserError, "title: …")
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert len(said.splitlines()) == 1
    return said.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a block of keys and values; start with 'title: …'"),
        (b"# nothing\n", "is not a block of keys and values; start with 'title: …'"),
        (b"- a\n", "is not a block of keys and values; start with 'title: …'"),
        (b"hello\n", "is not a block of keys and values; start with 'title: …'"),
        (b"a: [1\n", "line 2, column 1: expected ',' or ']', but got '<stream end>'; fix the YAML there"),
        (b"a: 1\n\tb: 2\n", r"line 2, column 1: found character '\t' that cannot start any token; indent with spaces"),
        (b"a: 1\n---\nb: 2\n", "line 2, column 1: but found another document; fix the YAML there"),
        (b"a: 1\nb: 2\na: 3\n", "line 3, column 1: key 'a' is given twice in the block that starts on line 1; keep"),
        (
            b"x:\n  1: a\n  '1': b\n",
            "line 3, column 3: key '1' is given twice in the block that starts on line 2; keep",
        ),
        (b"x:\n  1: a\n  01: b\n", "line 3, column 3: key '1' is given twice in the block that starts on line 2; keep"),
        (
            b"b: &b {x: 1}\na: {<<: *b, <<: *b}\n",
            "line 2, column 13: key '<<' is given twice in the block that starts on line 2",
        ),
        (b"? [a, b]\n: 1\n", "line 1, column 3: found unhashable key; fix the YAML there"),
        (b"a: " + b"[" * 100_000, "maximum recursion depth exceeded"),
        (b"a: " + b"9" * 5000, "Exceeds the limit (4300 digits) for integer string conversion"),
        (b"a: 2020-13-45\n", "month must be in 1..12; fix the YAML there"),
        (b"a: !!python/object/apply:os.system [exit]\n", "line 1, column 4: could not determine a constructor"),
        (b"a: \x00\n", "unacceptable character"),
        (b"a: \xff\n", "is not UTF-8 text (byte 4); save it as UTF-8"),
        ("a: é\n".encode("utf-16"), "is not UTF-8 text (byte 1); save it as UTF-8"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refuses_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    assert refusal(tmp_path, content).startswith(message)


def test_a_file_that_nobody_wrote_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate(documents.MOST_CHARACTERS + 1)
    with pytest.raises(UserError, match="has 10000001 bytes, too many for a hand-written file; correct the path"):
        documents.read(path, UserError, "")


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    cases = {
        "missing.yaml": "does not exist; correct the path",
        ".": "is a folder; name a file",
        "loop": "is a symbolic link that leads to itself",
        "x" * 300: "has a longer name than the file system allows",
    }
    for name, message in cases.items():
        with pytest.raises(UserError, match=message):
            documents.read(tmp_path / name, UserError, "")
    with pytest.raises(UserError, match="cannot be read"):
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
    refused = "cannot be read by this user; change its permissions or those of its folders"
    assert said == [f"{place}a.yaml: {refused}", "True", *[f"{place}closed/b.yaml: {refused}"] * 2]


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
    assert said.startswith("use one of name0, name1, ")
    assert said.endswith("name19, …")
