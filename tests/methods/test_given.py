"""Given fields: which folder is of which dataset, what is refused, which pairs are missing, and how they are ranked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from builders import make_dataset
from refusals import refused, told

from likeness import fields
from likeness.config import model
from likeness.config.study import Study
from likeness.data.preparation import prepare
from likeness.data.store import Dataset, of_split
from likeness.evaluation.table import sample, score_fields
from likeness.fields import Fields, Search
from likeness.imageio import conventions
from likeness.methods import given
from likeness.planning.forecast import forecast, plan
from likeness.planning.merge import jobs
from likeness.results import Run
from likeness.userinput.errors import ConfigurationError, DatasetError, UserError

BASE: dict[str, Any] = {"title": "given", "losses": {"mse": None}}
TWO = {"mni-brain": None, "mni-brain-3d": None}


def study(methods: dict[str, Any], datasets: dict[str, Any] | None = None, **more: Any) -> Study:
    return Study.load(BASE | {"datasets": datasets or {"mni-brain": None}, "methods": methods} | more, "c.yaml")


def test_fields_are_taken_and_written_in_the_conventions_that_there_are() -> None:
    known = list(conventions.CONVENTIONS)
    assert given.CARD["settings"]["convention"]["enum"] == known
    assert list(get_args(model.Convention)) == known


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of every convention, for one dataset, and one with a subfolder for another."""
    for name in ("a+b.nii.gz", "disp_b_a.npz", "a+b.npz", "one/mni-brain/a+b.mha"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_a_method_with_fields_is_given_without_saying_so(folder: Path) -> None:
    entry = {"fields": str(folder), "convention": "itk"}
    made = study({"mine": entry, "theirs": entry, "own": {**entry, "colour": "#123456", "marker": "o"}})
    assert [made.methods[name].kind for name in ("mine", "theirs", "own")] == ["given"] * 3
    assert list(made.runs()) == made.givens() == [Run("mni-brain", name) for name in ("mine", "theirs", "own")]
    looks = [(made.methods[name].colour, made.methods[name].marker) for name in ("mine", "theirs", "own")]
    assert looks == [*given.LOOKS[:2], ("#123456", "o")]
    assert made.methods["mine"].title == "mine"


def test_a_subfolder_holds_the_fields_of_its_dataset(folder: Path) -> None:
    entry = {"fields": str(folder / "one"), "convention": "itk"}
    alone, two = study({"mine": entry}), study({"voxelmorph": None, "mine": entry}, TWO)
    assert alone.given("mni-brain", "mine") == folder / "one" / "mni-brain"
    assert two.given("mni-brain-3d", "mine") is None
    assert two.givens() == [Run("mni-brain", "mine")]
    assert study({"mine": {**entry, "fields": str(folder)}}).given("mni-brain", "mine") == folder


@pytest.mark.parametrize(
    ("entry", "more", "key", "facts"),
    [
        ({"fields": "nowhere", "convention": "itk"}, {}, "fields", ["nowhere", "exist"]),
        ({"fields": "a+b.npz", "convention": "itk"}, {}, "fields", ["a+b.npz", "path"]),
        ({"fields": "one", "convention": "voxels"}, {}, "fields", ["one/mni-brain", "'voxels'"]),
        ({"fields": "", "convention": "itk"}, {"datasets": TWO}, "fields", ["mni-brain", "mni-brain-3d"]),
        ({"fields": ""}, {}, "convention", ["missing"]),
        ({"fields": "", "convention": "fsl"}, {}, "convention", ["'fsl'", "itk"]),
        ({"kind": "given", "convention": "itk"}, {}, "fields", ["missing"]),
        ({"kind": "voxelmorph", "fields": ""}, {}, "fields", ["'voxelmorph'", "channels_2d"]),
        ({"kind": "voxelmorph", "marker": "o"}, {}, "marker", ["'voxelmorph'", "channels_2d"]),
        ({"fields": "", "convention": "itk", "folder": "x"}, {}, "folder", ["'given'"]),
        ({"fields": "", "convention": "itk", "colour": "red"}, {}, "colour", ["'red'"]),
    ],
)
def test_what_is_no_folder_of_fields_is_refused(
    folder: Path, entry: dict[str, Any], more: dict[str, Any], key: str, facts: list[str]
) -> None:
    if "fields" in entry:
        entry = {**entry, "fields": str(folder / entry["fields"])}
    with refused(ConfigurationError, f"c.yaml: key 'methods.mine.{key}'", *facts):
        study({"optimisation": None, "mine": entry}, **more)


def test_fields_to_start_from_are_there_for_every_dataset(folder: Path) -> None:
    methods = {"optimisation": None, "mine": {"fields": str(folder / "one"), "convention": "itk"}}
    with refused(ConfigurationError, "c.yaml: key 'optimisation.start'", "'mine'", "'mni-brain-3d'"):
        study(methods, TWO, optimisation={"start": "mine"})


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "own", 2, 16, {"train": 3, "val": 2, "test": 3}, with_field=True)


def made_fields(folder: Path, dataset: Dataset, convention: str, pairs: list[tuple[str, str]]) -> None:
    folder.mkdir(exist_ok=True)
    stems = conventions.stems(convention, pairs, dataset.images.index)
    for moving, fixed in pairs:
        field = np.full((*dataset.shape, 2), 0.25, np.float32)
        places = dataset.placement(moving), dataset.placement(fixed)
        conventions.write(folder, convention, stems[moving, fixed][0], field, *places)


def test_missing_pairs_are_told_before_the_first_job_and_none_at_all_is_refused(own: Path, tmp_path: Path) -> None:
    prepare(own, tmp_path / "prepared")
    dataset = Dataset.open(tmp_path / "prepared")
    test = dataset.pairs_of("test")
    made_fields(tmp_path / "some", dataset, "voxels", test[1:])
    made_fields(tmp_path / "none", dataset, "voxels", dataset.pairs_of("val"))
    made_fields(tmp_path / "all", dataset, "voxels", test)
    entries = {name: {"fields": str(tmp_path / name), "convention": "voxels"} for name in ("some", "none", "all")}
    datasets = {"own": {"folder": str(own)}}
    said = study({"some": entries["some"], "all": entries["all"]}, datasets).missing_fields()
    assert len(said) == 1
    told(said[0], f"{tmp_path / 'some'}: ", "1", "6", "5", *(f"'{id}'" for id in test[0]))
    with refused(ConfigurationError, f"c.yaml: key 'methods.none.fields': {tmp_path / 'none'}: ", "no", "test"):
        study({"none": entries["none"]}, datasets).missing_fields()


def test_pairs_that_are_missing_are_neither_scored_nor_shown(own: Path, tmp_path: Path) -> None:
    prepare(own, tmp_path / "prepared")
    dataset = Dataset.open(tmp_path / "prepared")
    test = dataset.pairs_of("test")
    there = [test[0], test[2]]
    for pair in there:
        fields.write(tmp_path / "fields", None, *pair, np.zeros((*dataset.shape, 2)))
    missing = [pair for pair in [*dataset.pairs_of("val"), *test] if pair not in there]
    fields.write_manifest(tmp_path / "fields", dataset.shape, [Search(None)], missing=missing)
    found = Fields.open(tmp_path / "fields")
    assert found.missing == set(missing)
    assert found.read(found.searches[0], *missing[0]) is None
    scores = score_fields(dataset, found, Run("own", "mine"))
    assert set(zip(scores.split, scores.moving, scores.fixed, strict=True)) == {("test", *pair) for pair in there}
    assert scores.value.dtype == np.float64
    shown = sample(dataset, found)
    assert (str(shown["moving"]), str(shown["fixed"])) in there


def test_planning_knows_given_fields_and_exports(own: Path, tmp_path: Path) -> None:
    prepare(own, tmp_path / "prepared")
    dataset = Dataset.open(tmp_path / "prepared")
    made_fields(tmp_path / "all", dataset, "learn2reg", dataset.pairs_of("test"))
    methods = {"mine": {"fields": str(tmp_path / "all"), "convention": "learn2reg"}}
    made = study(methods, {"own": {"folder": str(own)}}, keep_fields=["itk", "learn2reg"])
    expected = forecast(plan(made))
    assert {name: expected.rules[name].jobs for name in ("given", "export", "score")} == {
        "given": 1,
        "export": 2,
        "score": 1,
    }
    assert [job.rule for job in jobs(made)] == ["score", "given", "score"]
    assert "exports/itk/own/mine/-/-/seed-" in jobs(made)[-1].made


def test_a_changed_file_of_the_convention_is_another_state(folder: Path) -> None:
    before = given.states(folder, "itk")
    (folder / "a+b.npz").write_text("another convention's")
    assert given.states(folder, "itk") == before
    (folder / "a+b.nii.gz").write_text("changed")
    assert given.states(folder, "itk") != before


def test_the_first_test_pair_names_what_is_looked_for(folder: Path) -> None:
    pairs = {"val": [], "test": [("x_0001", "x_0002")]}
    with refused(UserError, f"{folder}: ", "test", "'disp_0002_0001'"):
        given.find(folder, "learn2reg", pairs, ["x_0001", "x_0002"])
    with refused(DatasetError, f"{folder / 'nowhere'}: ", "exist"):
        given.check(folder / "nowhere", "itk", ["a"])
    assert of_split(pd.DataFrame({"split": ["val"], "moving": ["a"], "fixed": ["b"]}), "val") == [("a", "b")]
