"""A study that cannot run is refused before any job, in one sentence that names file, key and mend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import make_dataset
from project import copy_project

from likeness.configuration import ConfigurationError, Study
from likeness.data import recipes

BASE: dict[str, Any] = {"title": "t", "datasets": {"mni-brain": None}, "losses": {"mse": None, "ncc": None}}
HEAD = {"recipe": "mni-head"}


def refusal(change: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Study.load(BASE | change, "c.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"titel": "x"}, "key 'titel' is unknown; did you mean 'title'?"),
        ({"training": {"step": 1}}, "key 'training.step' is unknown; did you mean 'steps'?"),
        (
            {"datasets": {"mni-brain": {"training": {"stepz": 1}}}},
            "key 'datasets.mni-brain.training.stepz' is unknown; did you mean 'steps'?",
        ),
        ({"networks": {"voxelmorf": None}}, "key 'networks.voxelmorf' is unknown; did you mean 'voxelmorph'?"),
        ({"losses": {"msee": None}}, "key 'losses.msee': there is no loss 'msee'; did you mean 'mse'?"),
        (
            {"datasets": {"mni-brian": None}},
            "key 'datasets.mni-brian': there is no built-in recipe 'mni-brian'; did you mean 'mni-brain'?",
        ),
        (
            {"losses": {"ncc": {"options": {"windwo": 5}}}},
            "key 'losses.ncc.options.windwo': loss 'ncc' has no such option; did you mean 'window'?",
        ),
        (
            {"losses": {"mse": {"variants": {"wide": {"window": 5}}}}},
            "key 'losses.mse.variants.wide.window': loss 'mse' has no such option; it has none",
        ),
        (
            {"losses": {"ncc": {"options": {"window": "wide"}}}},
            "key 'losses.ncc.options.window': 'wide' is not a whole number; give that, the default is 9",
        ),
        (
            {"losses": {"mse": {"variants": {"default": {}}}}},
            "key 'losses.mse.variants.default': the name is taken by the variant without `variants`",
        ),
        (
            {"datasets": {"mni-brain": {"options": {"trian": 4}}}},
            "key 'datasets.mni-brain.options.trian': recipe 'mni-brain' has no such option; did you mean 'train'?",
        ),
        (
            {"datasets": {"mni-brain": {"options": {"train": 4.5}}}},
            "key 'datasets.mni-brain.options.train': 4.5 is not a whole number; give that, the default is 48",
        ),
        (
            {"datasets": {"mni-brain": {"options": {"test": 0}}}},
            "key 'datasets.mni-brain.options.test': 0 is too few; give at least 1",
        ),
        (
            {"datasets": {"head": HEAD | {"options": {"lesion": 1}}}},
            "key 'datasets.head.options.lesion': 1 is not true or false; give that, the default is false",
        ),
        (
            {"datasets": {"mine": {"folder": "nowhere"}}},
            "key 'datasets.mine.folder': nowhere: no such folder; name a folder that holds",
        ),
        (
            {"datasets": {"mine": {"folder": "a", "recipe": "cells"}}},
            "key 'datasets.mine': give either `folder` or `recipe`, not both",
        ),
        ({"only_losses": "mse nccc"}, "key 'only_losses': the study has no 'nccc'; did you mean 'ncc'?"),
        ({"only_datasets": "cells"}, "key 'only_datasets': the study has no 'cells'; use one of mni-brain"),
        ({"datasets": None}, "key 'datasets': there is no entry; give at least 1 (datasets of the study by name)"),
        ({"losses": {}}, "key 'losses': there is no entry; give at least 1 (losses of the study by name)"),
        ({"losses": ["mse"]}, "key 'losses': ['mse'] is not a block of keys and values; give that"),
        ({"training": {"steps": "many"}}, "key 'training.steps': 'many' is not a whole number; give that"),
        ({"training": {"steps": 1e4}}, "key 'training.steps': 10000.0 is not a whole number; give that"),
        ({"training": {"steps": True}}, "key 'training.steps': True is not a whole number; give that"),
        (
            {"training": {"weights": "ballanced"}},
            "key 'training.weights': there is no 'ballanced'; did you mean 'balanced'?",
        ),
        (
            {"training": {"learning_rate": 0}},
            "key 'training.learning_rate': 0 is too small; give more than 0 (of Adam)",
        ),
        ({"losses": {"mse": {"grid": [1, 1]}}}, "key 'losses.mse.grid': [1, 1] names something twice; give each once"),
        ({"losses": {"mse": {"grid": [0]}}}, "key 'losses.mse.grid.0': 0 is too small; give more than 0"),
        ({"seeds": []}, "key 'seeds': [] has too few entries; give at least 1"),
        ({"statistics": {"resamples": 5}}, "key 'statistics.resamples': 5 is too small; give at least 200"),
        ({"datasets": {"Mine": HEAD}}, "key 'datasets': 'Mine' has characters that a name here cannot have; use"),
    ],
    ids=str,
)
def test_names_file_key_and_mend(change: dict[str, Any], message: str) -> None:
    said = refusal(change)
    assert said.startswith(f"c.yaml: {message}")
    assert "\n" not in said


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"^c.yaml: key 'losses' is missing; add it$"):
        Study.load({"title": "t", "datasets": {"mni-brain": None}}, "c.yaml")


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_options_of_recipes_are_known_without_importing_them(name: str) -> None:
    known = recipes.defaults(name)
    assert {"train", "val", "test"} <= set(known)
    assert Study.load(BASE | {"datasets": {name: {"options": known}}}).config["datasets"][name]["options"] == known


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("refusals") / "project")


def state(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": {"nc": None}}, "key 'losses.nc': there is no loss 'nc'; did you mean 'ncc'?"),
        ({"datasets": {"own": {"folder": "own"}}}, "key 'datasets.own.folder': own/subjects.csv: column 'image'"),
    ],
    ids=str,
)
def test_the_workflow_and_the_check_print_that_sentence_alone(project: Path, change: dict, message: str) -> None:
    if not (project / "own").exists():
        make_dataset(project / "own", 2, 16)
        table = project / "own" / "subjects.csv"
        table.write_text(table.read_text().replace("image/val0.png", "image/nobody.png"))
        earlier = project / "results" / "bad" / "tables" / "summary.csv"
        earlier.parent.mkdir(parents=True)
        earlier.write_text("an earlier result")
    (project / "config" / "bad.yaml").write_text(yaml.safe_dump(BASE | {"results": "results/bad"} | change))
    before = state(project / "results")
    for call in (["-m", "snakemake", "--cores", "1"], ["workflow/scripts/check.py"]):
        command = [sys.executable, *call, "--configfile", "config/bad.yaml"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow specific profile")]
        assert done.returncode == 1
        assert done.stdout == ""
        assert len(said) == 1
        assert said[0].startswith(f"config/bad.yaml: {message}")
    assert state(project / "results") == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such configuration; config/ holds those that come with the project"),
        ("", "holds no keys and values; start with 'title: …'"),
        ("title: [t", "while parsing a flow sequence"),
    ],
)
def test_check_says_what_is_wrong_with_a_file_that_is_no_configuration(
    project: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (project / "config" / "none.yaml").write_text(text)
    command = [sys.executable, "workflow/scripts/check.py", "--configfile", "config/none.yaml"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"config/none.yaml: {message}")
    assert done.stderr.count("\n") == 1
