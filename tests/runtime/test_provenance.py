"""The digest of code changes when the code that runs changes, and not when a comment does."""

from __future__ import annotations

from pathlib import Path

import pytest

from likeness.runtime import provenance
from likeness.runtime.provenance import code_digest, digest, folder_digest, modules

CACHED = (provenance._read, provenance.modules, provenance.code_digest)


@pytest.fixture
def library(tmp_path: Path, monkeypatch) -> Path:
    """A library of three modules, of which a script imports one, which imports the second."""
    root = tmp_path / "likeness"
    (root / "losses").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "losses" / "__init__.py").write_text("")
    (root / "losses" / "ncc.py").write_text('"""Doc."""\n\nCARD = {"colour": "#111111"}\n\nWINDOW = 9\n')
    (root / "low.py").write_text("def f():\n    return 1\n")
    (root / "high.py").write_text("from likeness.low import f\n\n\ndef g():\n    return f()\n")
    (tmp_path / "script.py").write_text("import json\n\n\ndef main():\n    from likeness import high\n")
    monkeypatch.setattr(provenance, "LIBRARY", root)
    return tmp_path


def now(library: Path, *extra: str) -> str:
    for function in CACHED:
        function.cache_clear()
    return code_digest(library / "script.py", *extra)


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_modules_are_found_through_imports_inside_functions_too(library: Path) -> None:
    now(library)
    assert {path.name for path in modules(library / "script.py")} == {"script.py", "__init__.py", "high.py", "low.py"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("likeness/low.py", "return 1", "return 2"),
        ("likeness/high.py", "return f()", "return -f()"),
        ("script.py", "import json\n", "import json\nimport sys\n"),
    ],
)
def test_code_that_runs_changes_the_digest(library: Path, file: str, old: str, new: str) -> None:
    before = now(library)
    edit(library / file, old, new)
    assert now(library) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("likeness/low.py", "def f():\n", 'def f():\n    """Give one."""\n'),
        ("likeness/low.py", "    return 1", "    # one\n\n    return (\n        1\n    )"),
        ("script.py", "import json", '"""What it does."""\n\nimport json'),
        ("likeness/losses/ncc.py", "WINDOW = 9", "WINDOW = 11"),
    ],
)
def test_words_layout_and_unused_modules_do_not(library: Path, file: str, old: str, new: str) -> None:
    before = now(library)
    edit(library / file, old, new)
    assert now(library) == before


def test_a_module_with_a_computed_name_counts_when_it_is_given_but_its_card_never(library: Path) -> None:
    loss = library / "likeness" / "losses" / "ncc.py"
    before = now(library, "likeness.losses.ncc")
    assert before != now(library)
    edit(loss, "#111111", "#222222")
    assert now(library, "likeness.losses.ncc") == before
    edit(loss, "WINDOW = 9", "WINDOW = 11")
    assert now(library, "likeness.losses.ncc") != before


def test_a_digest_depends_on_values_and_not_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest(["a", "b"]) != digest(["ab"])


def test_a_folder_is_its_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("a")
    before = folder_digest(tmp_path)
    (tmp_path / ".hidden").write_text("Snakemake's own")
    (tmp_path / "sub" / "a.txt").write_text("a")
    assert folder_digest(tmp_path) == before
    (tmp_path / "sub" / "a.txt").rename(tmp_path / "sub" / "b.txt")
    assert folder_digest(tmp_path) != before
