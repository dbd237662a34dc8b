"""The models state everything once: what is generated from them is up to date, and jobs do without them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from builders import make_dataset
from jsonschema import Draft202012Validator

from likeness.config import cards
from likeness.config.dataset_file import DatasetFile, check
from likeness.config.entries import configuration
from likeness.config.values import AsStated, Block
from likeness.data import layout
from likeness.runtime import provenance
from likeness.userinput.errors import DatasetError

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "workflow" / "scripts").glob("*.py"))
SCHEMAS = ["config", "dataset"]
ROOMS = ("datasets", "extractors", "figures", "losses", "networks")
COMPUTED = tuple(f"likeness.{room}.{path.stem}" for room in ROOMS for path in (provenance.LIBRARY / room).glob("*.py"))
"""What jobs import by computed names."""


def generator() -> ModuleType:
    path = ROOT / "workflow" / "tools" / "docs.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def schema(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "workflow" / "schemas" / f"{name}.schema.yaml").read_text())


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_for_editors_is_up_to_date(name: str) -> None:
    path = ROOT / "workflow" / "schemas" / f"{name}.schema.yaml"
    assert generator().schema_text(name) == path.read_text(), f"{path} is out of date: run `make docs`"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_for_editors_is_one(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_editors_take_every_configuration_that_comes_with_the_project(path: Path) -> None:
    assert not list(Draft202012Validator(schema("config")).iter_errors(yaml.safe_load(path.read_text())))


def test_editors_mark_what_is_wrong() -> None:
    wrong = {
        "title": "t",
        "titel": "t",
        "datasets": {"cells": {"options": {"size": 100}}},
        "losses": {"ncc": {"options": {"window": 1}}, "msee": None},
        "methods": {"voxelmorph": {"dropout": 2}},
        "training": {"learning_rate": 0},
    }
    found = Draft202012Validator(schema("config")).iter_errors(wrong)
    assert {".".join(map(str, error.absolute_path)) for error in found} == {
        *("", "datasets.cells", "losses", "losses.ncc.options.window", "methods.voxelmorph", "training.learning_rate"),
    }


def blocks(part: Any) -> Iterator[dict[str, Any]]:
    """Give every block of a schema."""
    if isinstance(part, dict):
        if "properties" in part:
            yield part
        for inner in part.values():
            yield from blocks(inner)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_is_described(name: str) -> None:
    """But for the options of losses and datasets, of which their constructors tell."""
    whole = schema(name)
    for block in blocks(whole):
        of_card = block["description"].startswith(("Option", "Losses by name"))
        for key, entry in {} if of_card else block["properties"].items():
            reference = whole["$defs"][entry["$ref"].rsplit("/", 1)[1]] if "$ref" in entry else {}
            assert {**reference, **entry}.get("description"), key


def test_defaults_are_what_the_models_take() -> None:
    """Pydantic does not look at them."""
    least = {"name": "a", "spatial_dims": 2, "spacing": [1, 1], "spacing_unit": "mm"}
    # an empty block `landmarks` stands for none; one that is written needs a key
    written = {key: value for key, value in layout.DEFAULTS.items() if key != "landmarks"}
    assert layout.DEFAULTS["landmarks"] == DatasetFile.model_validate({**least, **written}).landmarks == {}
    plain = configuration().model_validate({"title": "t", "datasets": {"cells": None}, "losses": {"mse": None}})
    full = plain.model_dump(by_alias=True)
    assert configuration().model_validate(full).model_dump(by_alias=True) == full


def test_a_block_of_options_is_given_on_as_it_is_stated() -> None:
    rules = cards.rules({"a": 1, "b": 2.0, "c": True, "d": None}, {"d": {"type": ["integer", "null"]}})
    model = cards.model("options", rules, AsStated)
    stated = {"c": False, "b": 3, "a": 1}
    assert repr(model.model_validate(stated).model_dump()) == repr(stated)
    assert model.model_validate(None).model_dump() == {}
    assert issubclass(model, Block)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_no_job_imports_a_model(script: Path) -> None:
    """So that a reworded description runs no job again, and environments of jobs go without pydantic."""
    for path in provenance.modules(script, COMPUTED):
        assert path.parent.name != "config", f"{script.name} runs {path}"
        assert "pydantic" not in path.read_text(), f"{script.name} runs {path}"


def test_everything_that_jobs_import_works_without_pydantic() -> None:
    paths = {path for script in SCRIPTS for path in provenance.modules(script, COMPUTED)} - set(SCRIPTS)
    places = sorted(path.relative_to(provenance.LIBRARY.parent).with_suffix("") for path in paths)
    names = [".".join(place.parts).removesuffix(".__init__") for place in places]
    code = "import importlib, sys; sys.modules['pydantic'] = None; [importlib.import_module(n) for n in sys.argv[1:]]"
    library = str(provenance.LIBRARY.parent)
    done = subprocess.run(
        [sys.executable, "-c", code, *names], env={"PYTHONPATH": library}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("accuracy", "facts"),
    [
        ({"dise": 0.9}, ["'accuracy'", "'dise'", "'dice'"]),
        ({"epe": 1}, ["'accuracy'", "'epe'", "tre"]),
        ({"dice": -1}, ["'accuracy.dice'", "-1"]),
    ],
)
def test_an_accuracy_of_no_metric_of_labels_is_refused(
    tmp_path: Path, accuracy: dict[str, float], facts: list[str]
) -> None:
    folder = make_dataset(tmp_path / "raw", accuracy=accuracy)
    with pytest.raises(DatasetError) as refused:
        check(folder)
    for fact in ["dataset.yaml", *facts]:
        assert fact in str(refused.value)
