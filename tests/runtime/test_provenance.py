"""The digest of code changes when what a job computes may change, and not when a word does."""

from __future__ import annotations

import ast
import os
import shutil
import sys
from pathlib import Path

import pytest
from edits import change, change_manners, edited, library_at, restored
from project import ROOT

from likeness import metrics
from likeness.runtime import provenance
from likeness.runtime.atomic import work_folder
from likeness.runtime.provenance import LIBRARY, STATED, code_digest, digest, folder_digest, modules

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


def test_what_was_parsed_is_kept_for_the_same_source_alone(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before, module = now(library), library / "likeness" / "low.py"
    parse = provenance._parse
    monkeypatch.setattr(provenance, "_parse", lambda source: pytest.fail(f"parsed again: {source!r}"))
    assert now(library) == before
    monkeypatch.setattr(provenance, "_parse", parse)
    # as long and as old as it was, which is all that Python looks at
    times = module.stat().st_atime_ns, module.stat().st_mtime_ns
    edit(module, "return 1", "return 2")
    os.utime(module, ns=times)
    assert now(library) != before
    edit(module, "return 2", "return 1")
    for broken in ("", "[]", "{}", '{"state": 1}'):
        (module.parent / "__pycache__" / "low.code.json").write_text(broken)
        assert now(library) == before


def test_nothing_is_kept_where_python_keeps_nothing(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    now(library)
    assert not list(library.rglob("__pycache__"))


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


WORDS = [
    ('raise ValueError("a")', 'raise ValueError("b")'),
    ('raise ValueError(f"a {x}")', 'raise ValueError(f"b {x + 1}, {y}")'),
    ('msg = "a"\n    raise ValueError(msg + "b")', 'msg = "a"\n    raise ValueError(msg + f"c {x}")'),
    ('msg = "a"\n    raise ValueError(msg)', 'msg = f"b {x}"\n    msg += "c"\n    raise ValueError(msg) '),
    ('msg: str = "a"\n    raise ValueError(msg)', "msg: str = describe(x)\n    raise ValueError(msg)"),
    ('raise UserError(x, text="a" if y else "b")', 'raise UserError(x, text="c" if z else "b")'),
    ('raise other(x, f"a {x}") from y', 'raise other(x, f"b {x}") from y'),
    ('assert x, "a"', 'assert x, f"b {x}"'),
    ('print("a", x)', 'print(f"b {x}", x)'),
    ('print("a", end="", flush=True)', 'print("b", end=" ", flush=True)'),
    ('warnings.warn("a", DeprecationWarning)', 'warnings.warn("b", DeprecationWarning)'),
    ('logging.info("a %s", x)', 'logging.info("b %s", x)'),
    ('logger.warning(f"a {x}")', 'logger.warning(f"b {x}")'),
    (
        'try:\n        f()\n    except OSError:\n        print("a")',
        'try:\n        f()\n    except OSError:\n        print("b")',
    ),
]
RESULTS = [
    ('return "a"', 'return "b"'),
    ('note = "a"\n    return note', 'note = "b"\n    return note'),
    ('table["msg"] = "a"', 'table["msg"] = "b"'),
    ("raise SystemExit(1)", "raise SystemExit(2)"),
    ('raise ValueError("a")', 'raise KeyError("a")'),
    ('raise Found(table["a"])', 'raise Found(table["b"])'),
    ('raise Found(folder / "a")', 'raise Found(folder / "b")'),
    ('raise Found("a" if x else y)', 'raise Found("a" if x else z)'),
    ("raise Found(name)", "raise Found(other)"),
    ("assert x", "assert y"),
    ("print(x)", "print(y)"),
    ('print("a", file=x)', 'print("b", file=x)'),
    ('print("a", **x)', 'print("b", **x)'),
    ('x = open("a")', 'x = open("b")'),
    ('log.append("a")', 'log.append("b")'),
    ('x.print("a")', 'x.print("b")'),
    ('tell("a")', 'tell("b")'),
    ('if x > 1:\n        raise ValueError("a")', 'if x > 2:\n        raise ValueError("a")'),
    # a name that is more than a message
    ('msg = "a"\n    return msg', 'msg = "b"\n    return msg'),
    ("msg = mlp(x)\n    return msg + y", "msg = mlp(2 * x)\n    return msg + y"),
    ('msg = "a"\n    table[msg] = x', 'msg = "b"\n    table[msg] = x'),
    ('msg = "a"\n    note(msg)\n    raise ValueError(msg)', 'msg = "b"\n    note(msg)\n    raise ValueError(msg)'),
    ('msg = kept = "a"\n    return kept', 'msg = kept = "b"\n    return kept'),
    ('msg, x = "a", 1\n    return x', 'msg, x = "a", 2\n    return x'),
    ('for msg in ["a"]:\n        f()', 'for msg in ["b"]:\n        f()'),
    ('x.msg = "a"', 'x.msg = "b"'),
    ('class C:\n        msg = "a"', 'class C:\n        msg = "b"'),
    ('if (msg := "a") in x:\n        f()', 'if (msg := "b") in x:\n        f()'),
    ('CARD = {"colour": "a"}', 'CARD = {"colour": "b"}'),
]


def body(text: str) -> str:
    return f"def f(x):\n    {text}\n"


@pytest.mark.parametrize(("old", "new"), WORDS)
def test_the_text_of_a_message_does_not_count(library: Path, old: str, new: str) -> None:
    module = library / "likeness" / "low.py"
    module.write_text(body(old))
    before = now(library)
    module.write_text(body(new))
    assert now(library) == before


@pytest.mark.parametrize(("old", "new"), RESULTS)
def test_what_looks_like_a_message_but_may_change_a_result_counts(library: Path, old: str, new: str) -> None:
    module = library / "likeness" / "low.py"
    module.write_text(body(old))
    before = now(library)
    module.write_text(body(new))
    assert now(library) != before


@pytest.mark.parametrize("name", ["msg", "CARD"])
def test_what_a_module_reads_of_its_own_counts(library: Path, name: str) -> None:
    module = library / "likeness" / "low.py"
    module.write_text(f'{name} = {{"a": 1}}\n\n\ndef f():\n    return {name}["a"]\n')
    before = now(library)
    edit(module, "1", "2")
    assert now(library) != before


def test_a_text_that_is_raised_counts_where_it_is_data(library: Path) -> None:
    module = library / "likeness" / "low.py"
    module.write_text('NAME = "a"\n\n\ndef f():\n    raise KeyError(NAME)\n\n\ndef g():\n    raise KeyError("a")\n')
    before = now(library)
    edit(module, 'KeyError("a")', 'KeyError("b")')
    assert now(library) == before
    edit(module, 'NAME = "a"', 'NAME = "b"')
    assert now(library) != before


def test_rooms_that_speak_are_left_out_but_not_their_reader_and_not_what_others_import(library: Path) -> None:
    root = library / "likeness"
    for module in ("runtime/download.py", "userinput/errors.py", "userinput/documents.py"):
        (root / module).parent.mkdir(exist_ok=True)
        (root / module).write_text("TRIES = 5\n")
    imports = "from likeness.runtime import download\nfrom likeness.userinput import documents, errors\n"
    (root / "high.py").write_text(f"{imports}from likeness.low import f\n")
    before = now(library)
    edit(root / "runtime" / "download.py", "5", "6")
    edit(root / "userinput" / "errors.py", "5", "6")
    assert now(library) == before
    edit(root / "userinput" / "documents.py", "5", "6")
    read_otherwise = now(library)
    assert read_otherwise != before
    edit(root / "low.py", "return 1", "return 2")
    assert now(library) != read_otherwise


def test_the_packages_that_a_module_is_in_run_with_it(library: Path) -> None:
    before = now(library, "likeness.losses.ncc")
    (library / "likeness" / "losses" / "__init__.py").write_text("PRECISION = 1\n")
    assert now(library, "likeness.losses.ncc") != before
    assert now(library) == code_digest(library / "script.py")


JOBS = {
    "simulate": ("simulate", "likeness.datasets.mni_brain"),
    "prepare": ("prepare",),
    "data_sheet": ("data_sheet",),
    "pretrain": ("pretrain", "likeness.extractors.autoencoder"),
    "convert": ("convert", "likeness.extractors.vgg"),
    "train mse": ("train", "likeness.metrics.epe", "likeness.networks.voxelmorph", "likeness.losses.mse"),
    "train deepsim": (
        "train",
        "likeness.metrics.epe",
        "likeness.networks.voxelmorph",
        "likeness.losses.deepsim_ae",
        "likeness.extractors.autoencoder",
    ),
    "optimise mse": ("optimise", "likeness.metrics.epe", "likeness.losses.mse"),
    "register": ("register", "likeness.networks.voxelmorph"),
    "score": ("score", *metrics.modules()),
    "sample_landscape mse": ("sample_landscape", "likeness.losses.mse"),
    "sample_landscape deepsim": ("sample_landscape", "likeness.losses.deepsim_ae", "likeness.extractors.autoencoder"),
    "profiles": ("profiles",),
    "collect": ("collect",),
    "summary": ("summary",),
    "comparisons": ("comparisons",),
    "contrasts": ("contrasts",),
    "calibration": ("calibration",),
    "matched": ("matched",),
    "reproduction": ("reproduction",),
    "ranks": ("ranks",),
    "agreement": ("agreement",),
    "picked": ("picked",),
    "power": ("power",),
    "runtime": ("runtime",),
    "scores": ("plot", "likeness.figures.scores"),
    "tuning": ("plot", "likeness.figures.tuning"),
}
"""Jobs of a study by what their code names."""
TRAININGS = {"train mse", "train deepsim"}
TABLES = {"summary", "comparisons", "contrasts", "matched", "ranks", "agreement", "picked", "power"}


def digests(root: Path) -> dict[str, str]:
    """Digest the code of every job with the library that lies in a folder."""
    scripts = ROOT / "workflow" / "scripts"
    with library_at(root):
        return {job: code_digest(scripts / f"{script}.py", *names) for job, (script, *names) in JOBS.items()}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the library; a test that changes it changes it back."""
    folder = tmp_path_factory.mktemp("copy") / "likeness"
    return Path(shutil.copytree(LIBRARY, folder, ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.parametrize(
    ("module", "jobs"),
    [
        ("runtime/jobs.py", set()),
        ("runtime/atomic.py", set()),
        ("runtime/download.py", set()),
        ("runtime/published.py", set()),
        ("runtime/progress.py", set()),
        ("results.py", set()),
        ("fields.py", {"register", "optimise mse", "score"}),
        ("transformations.py", {"register", "optimise mse", "score"}),
        ("methods/search.py", {"optimise mse"}),
        ("methods/calibration.py", {"optimise mse"}),
        ("methods/path.py", {"optimise mse"}),
        (
            "methods/kinds.py",
            {"score", "collect", "reproduction", *TABLES, "scores", "tuning", "data_sheet"},
        ),
        ("methods/prediction.py", {"register"}),
        ("datasets/catalogue.py", set()),
        ("userinput/errors.py", set()),
        ("config/faults.py", set()),
        ("userinput/cards.py", set()),
        ("userinput/documents.py", {"prepare", "data_sheet"}),
        ("imageio/images.py", {"prepare"}),
        ("data/contents.py", {"prepare"}),
        ("datasets/cells.py", set()),
        ("datasets/writing.py", {"simulate"}),
        ("extractors/sources.py", {"convert"}),
        ("extractors/pretraining.py", {"pretrain"}),
        ("extractors/encoder.py", {"pretrain", "train deepsim", "sample_landscape deepsim"}),
        ("losses/mse.py", {"train mse", "optimise mse", "sample_landscape mse"}),
        ("losses/_features.py", {"train deepsim", "sample_landscape deepsim"}),
        ("losses/base.py", {*TRAININGS, "optimise mse", "sample_landscape mse", "sample_landscape deepsim"}),
        ("training/trainer.py", {*TRAININGS, "pretrain"}),
        ("methods/objective.py", {*TRAININGS, "optimise mse"}),
        ("metrics/surface.py", {"score"}),
        ("metrics/hd95.py", {"score"}),
        ("metrics/dice.py", {"score"}),
        ("metrics/epe.py", {*TRAININGS, "optimise mse", "score"}),
        ("evaluation/landscape.py", {"sample_landscape mse", "sample_landscape deepsim"}),
        ("statistics/landscape.py", {"profiles"}),
        (
            "statistics/selection.py",
            {"score", "collect", "scores", "tuning", *TABLES - {"power"}},
        ),
        ("figures/tuning.py", {"tuning"}),
        ("report/data_sheet.py", {"data_sheet"}),
        ("planning/forecast.py", set()),
        ("config/study.py", set()),
    ],
)
def test_the_code_of_a_module_is_that_of_the_jobs_that_run_it(copied: Path, module: str, jobs: set[str]) -> None:
    before = digests(copied)
    with edited(copied / module):
        after = digests(copied)
    assert {job for job in JOBS if before[job] != after[job]} == jobs


def test_no_message_of_the_library_no_try_and_no_progress_is_code(copied: Path) -> None:
    before = digests(copied)
    with restored(copied):
        change_manners(copied)
        assert digests(copied) == before


def test_a_half_finished_training_is_kept_when_words_change_and_not_when_the_trainer_does(
    copied: Path, tmp_path: Path
) -> None:
    def folders() -> dict[str, Path]:
        codes = digests(copied)
        return {job: work_folder(tmp_path / job, digest("recipe", codes[job])) for job in ("train mse", "pretrain")}

    for folder in folders().values():
        folder.mkdir(parents=True)
        (folder / "0.1.checkpoint").write_text("half a training")
    with restored(copied):
        change_manners(copied)
        assert [[file.name for file in folder.iterdir()] for folder in folders().values()] == [["0.1.checkpoint"]] * 2
        change(copied / "training" / "trainer.py")
        assert [folder.exists() for folder in folders().values()] == [False, False]


def test_no_module_uses_what_another_states_for_readers_of_its_source() -> None:
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            names += [node.attr] if isinstance(node, ast.Attribute) else []
            assert not STATED & {*names}, f"{path}: read it from the source, as the workflow does"
