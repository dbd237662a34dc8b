"""The former layout of a dataset, with ``subjects.csv``: refused by name, and renamed whole or not at all."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from builders import edit_table, make_dataset, write_meta

from likeness.data import contents, layout
from likeness.data.preparation import prepare
from likeness.data.upgrade import upgrade
from likeness.userinput.errors import DatasetError

TOOL = Path(__file__).parents[2] / "workflow" / "tools" / "upgrade_dataset.py"
RULES = {"intensity": {"rule": "quantile", "shared_by": "subject"}, "pairs": {"different": "subject"}}
SUBJECTS = ["a", "b", "a", "c", "d", "e", "f"]


def todays(folder: Path) -> Path:
    """Write a dataset in which a subject has two images and rules name the column."""
    make_dataset(folder, **RULES)
    for row, subject in enumerate(SUBJECTS):
        edit_table(folder / "images.csv", row, "subject", subject)
    return folder


def former(folder: Path) -> Path:
    """Write the same dataset as it was in the former layout."""
    todays(folder)
    table, rules = folder / "images.csv", folder / "dataset.yaml"
    header, _, rows = table.read_text().partition("\n")
    assert header == "id,image,split,label,subject"
    (folder / "subjects.csv").write_text(f"subject,image,split,label,person\n{rows}")
    table.unlink()
    rules.write_text(rules.read_text().replace(": subject\n", ": person\n"))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(folder: Path) -> str:
    """Give the sentence that refuses to upgrade a folder, in which nothing has changed."""
    before = content(folder) if folder.is_dir() else {}
    with pytest.raises(DatasetError) as caught:
        upgrade(folder)
    assert (content(folder) if folder.is_dir() else {}) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_former_layout_is_refused_by_name(tmp_path: Path) -> None:
    folder = former(tmp_path / "my data")
    said = (
        f"{folder}/subjects.csv: was renamed to images.csv, its column 'subject' to 'id', and 'person' to 'subject'; "
        f"run `make upgrade-dataset FOLDER='{folder}'`, which renames them"
    )
    for read in (layout.check_tables, layout.capabilities, layout.states, contents.check):
        with pytest.raises(DatasetError, match=re.escape(said) + r"\Z"):
            read(folder)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            "subject,image,split,label,person",
            "column 'id' is missing, and 'subject' now means the person, animal or specimen; rename 'subject' to "
            "'id' and, if present, 'person' to 'subject'",
        ),
        ("id,image,split,label,person", "column 'person' was renamed to 'subject'; rename it"),
        ("id,image,split,label,Persons", "column 'Persons' was renamed to 'subject'; rename it"),
        (
            "id,image,split,subject,person",
            "column 'person' was renamed to 'subject'; rename it, or remove it, because 'subject' exists too",
        ),
    ],
)
def test_former_columns_are_refused_by_name(tmp_path: Path, header: str, said: str) -> None:
    table = todays(tmp_path) / "images.csv"
    table.write_text(f"{header}\n{table.read_text().partition(chr(10))[2]}")
    with pytest.raises(DatasetError, match=re.escape(f"{table}: {said}") + r"\Z"):
        layout.check_tables(tmp_path)


@pytest.mark.parametrize(
    ("rules", "key"),
    [
        ({"pairs": {"within": "person"}}, "pairs.within"),
        ({"pairs": {"different": "person"}}, "pairs.different"),
        ({"pairs": {"moving": {"person": "a"}}}, "pairs.moving"),
        ({"pairs": {"fixed": {"person": "a"}}}, "pairs.fixed"),
        ({"intensity": {"rule": "quantile", "shared_by": "person"}}, "intensity.shared_by"),
    ],
)
def test_rules_that_name_the_former_column_are_refused_by_name(tmp_path: Path, rules: dict, key: str) -> None:
    make_dataset(tmp_path, **rules)
    said = f"{tmp_path}/dataset.yaml: key '{key}' refers to the column 'person', which images.csv does not have; "
    with pytest.raises(DatasetError, match=re.escape(f"{said}it was renamed, write 'subject'") + r"\Z"):
        layout.check_tables(tmp_path)


def test_an_upgraded_dataset_passes_and_is_prepared_as_if_it_had_always_been_so(tmp_path: Path) -> None:
    said = upgrade(former(tmp_path / "former"))
    assert said == [
        "subjects.csv to images.csv",
        "column 'subject' to 'id'",
        "column 'person' to 'subject'",
        "column named by key 'pairs.different' to 'subject'",
        "column named by key 'intensity.shared_by' to 'subject'",
    ]
    contents.check(tmp_path / "former")
    assert content(tmp_path / "former") == content(todays(tmp_path / "todays"))
    for name in ("former", "todays"):
        prepare(tmp_path / name, tmp_path / f"prepared-{name}", seed=1)
    prepared = content(tmp_path / "prepared-former")
    assert prepared == content(tmp_path / "prepared-todays")
    assert {path for path in prepared if path.endswith(".npz")} >= {"images/train0.npz", "images/test1.npz"}
    assert "train0,train2" not in prepared["pairs.csv"].decode(), "a subject was registered to itself"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("subject,image,split\na,subject,person\n", "id,image,split\na,subject,person\n"),
        ("image,person,split,subject\n", "image,subject,split,id\n"),
        (
            "\ufeffsubject,image,split,person\r\na,i.png,train,p\r\n",
            "\ufeffid,image,split,subject\r\na,i.png,train,p\r\n",
        ),
        ("subject,image,split\ra,b,c\r", "id,image,split\ra,b,c\r"),
        (
            '"subject","image",split,"person"\n"a","b, c",x,"p""q"\n',
            '"id","image",split,"subject"\n"a","b, c",x,"p""q"\n',
        ),
        ("\n,,\n subject , image,split\n", "\n,,\n id , image,split\n"),
        ('subject,"a,subject","a ""person""",person2,,image\n', 'id,"a,subject","a ""person""",person2,,image\n'),
        ("subject,image,split", "id,image,split"),
    ],
)
def test_of_the_table_the_header_changes_alone(tmp_path: Path, before: str, after: str) -> None:
    former(tmp_path)
    (tmp_path / "subjects.csv").write_bytes(before.encode())
    upgrade(tmp_path)
    assert (tmp_path / "images.csv").read_bytes() == after.encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "# each person twice\npairs:  # by person\n  different:   person   # not the same person\nnote: person\n",
            "# each person twice\npairs:  # by person\n  different:   subject   # not the same person\nnote: person\n",
        ),
        (
            "pairs: {within: 'person', moving: {\"person\": person, n: 1}, fixed: {subject: subject}}\r\nname: a\r\n",
            "pairs: {within: 'subject', moving: {\"subject\": person, n: 1}, fixed: {id: subject}}\r\nname: a\r\n",
        ),
        (
            "\ufeffintensity:\n    rule: quantile\n    shared_by: person\nlabels: {1: person}\n",
            "\ufeffintensity:\n    rule: quantile\n    shared_by: subject\nlabels: {1: person}\n",
        ),
        (
            "pairs:\n  within: &person !!str person\n  different: *person\n",
            "pairs:\n  within: &person !!str subject\n  different: *person\n",
        ),
        ("pairs:\n  within: >-\n    person\n# person\n", "pairs:\n  within: >-\n    subject\n# person\n"),
        (
            "pairs: {different: scanner, max_gap: 1}\nintensity:\n",
            "pairs: {different: scanner, max_gap: 1}\nintensity:\n",
        ),
        ("name: person", "name: person"),
    ],
)
def test_of_the_rules_names_of_columns_change_alone(tmp_path: Path, before: str, after: str) -> None:
    former(tmp_path)
    (tmp_path / "dataset.yaml").write_bytes(before.encode())
    upgrade(tmp_path)
    assert (tmp_path / "dataset.yaml").read_bytes() == after.encode()


def test_nothing_but_two_files_is_touched(tmp_path: Path) -> None:
    folder = former(tmp_path / "own")
    (folder / "dataset.yaml").chmod(0o640)
    (folder / "subjects.csv").chmod(0o604)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    upgrade(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")} == before
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.yaml", "image", "images.csv", "label"]
    assert (folder / "dataset.yaml").stat().st_mode & 0o777 == 0o640
    assert (folder / "images.csv").stat().st_mode & 0o777 == 0o604


def test_what_is_no_former_layout_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == (
        f"{tmp_path}/none: contains no subjects.csv, so it is not a dataset of the former layout; correct FOLDER"
    )
    folder = former(tmp_path / "own")
    table = (folder / "subjects.csv").read_text()
    upgrade(folder)
    assert refusal(folder) == (
        f"{folder}: contains images.csv and no subjects.csv, so it is already upgraded; nothing to do"
    )
    (folder / "subjects.csv").write_text(table)
    assert refusal(folder) == f"{folder}: contains images.csv and subjects.csv; remove the outdated one"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("image,split\n", "column 'subject' is missing, so this is not a table of the former layout; correct FOLDER"),
        ("", "column 'subject' is missing, so this is not a table of the former layout; correct FOLDER"),
        (
            "subject,image,split,id\n",
            "column 'id' already exists, but 'subject' is to be renamed to it; rename or remove it",
        ),
        ("subject,image,split\n\xff", "is not UTF-8 text (byte 21); save it as UTF-8"),
        (
            f"{'x' * 200_000},subject\n",
            "cannot be read as CSV (field larger than field limit (131072)); save it as comma-separated text",
        ),
    ],
    ids=["other", "empty", "id", "bytes", "csv"],
)
def test_a_table_that_cannot_be_renamed_is_refused(tmp_path: Path, table: str, said: str) -> None:
    path = former(tmp_path) / "subjects.csv"
    path.write_bytes(table.encode("latin-1"))
    assert refusal(tmp_path) == f"{path}: {said}"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("name: [a\n", "line 2, column 1: expected ',' or ']', but got '<stream end>'; fix the YAML there"),
        (
            'pairs: {within: "pers\\x6fn"}\n',
            "names columns under 'pairs' or 'intensity' in a way that cannot be edited in place; write them "
            "without escapes, and run this again",
        ),
    ],
)
def test_rules_that_cannot_be_renamed_are_refused(tmp_path: Path, rules: str, said: str) -> None:
    path = former(tmp_path) / "dataset.yaml"
    path.write_text(rules)
    assert refusal(tmp_path) == f"{path}: {said}"


def test_a_folder_without_a_description_is_refused(tmp_path: Path) -> None:
    (former(tmp_path) / "dataset.yaml").unlink()
    assert refusal(tmp_path) == f"{tmp_path}/dataset.yaml: does not exist; correct the path"


CHANGES = 5
"""Of what a folder holds by name: the new rules aside and in place, the new table, the former one gone, tidied up."""


@pytest.mark.parametrize("after", range(CHANGES + 1))
def test_killed_anywhere_it_is_refused_as_former_or_whole_and_completed(
    tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, left = former(tmp_path / "own"), [after]

    def dying(change):
        def call(path, *args, **kwargs):
            if path.parent.name.startswith(".own"):
                return change(path, *args, **kwargs)
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return change(path, *args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "rmdir"):
            patch.setattr(Path, name, dying(getattr(Path, name)))
        if after < CHANGES:
            with pytest.raises(KeyboardInterrupt):
                upgrade(folder)
        else:
            upgrade(folder)
            assert left == [0], "it changes more than this test breaks off"
    if (folder / "images.csv").exists():
        layout.check_tables(folder)
    else:
        with pytest.raises(DatasetError, match=r"was renamed to images\.csv"):
            layout.check_tables(folder)
    if (folder / "subjects.csv").exists():
        upgrade(folder)
    elif after < CHANGES:
        with pytest.raises(DatasetError, match="it is already upgraded"):
            upgrade(folder)
    assert content(folder) == content(todays(tmp_path / "todays"))
    assert not list(folder.glob(".*"))


def test_an_upgrade_that_was_killed_takes_what_was_edited_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = former(tmp_path)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", die)
        with pytest.raises(KeyboardInterrupt):
            upgrade(folder)
    (folder / "subjects.csv").write_text("subject,image,split\nedited,a.png,train\n")
    write_meta(folder, {"name": "edited", "pairs": {"different": "subject"}})
    upgrade(folder)
    assert (folder / "images.csv").read_text() == "id,image,split\nedited,a.png,train\n"
    assert (folder / "dataset.yaml").read_text() == "name: edited\npairs:\n  different: subject\n"


def test_the_tool_says_what_it_did_and_why_it_does_not(tmp_path: Path) -> None:
    folder = former(tmp_path / "my data")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, str(TOOL), *arguments], capture_output=True, text=True, check=False)

    done = call(str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{folder}: renamed subjects.csv to images.csv, column 'subject' to 'id', ")
    for again, said in (
        (str(folder), "it is already upgraded"),
        ("", "FOLDER is missing: make upgrade-dataset FOLDER="),
    ):
        done = call(again)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
