"""A study that cannot run is refused before any job: file and key are named, and what to write instead."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import make_dataset
from project import copy_project, outside_make
from refusals import refused, told

from likeness import losses
from likeness.config.faults import WANTED
from likeness.config.study import Study, read
from likeness.datasets import catalogue, recipes
from likeness.userinput.errors import ConfigurationError, UserError, shown

BASE: dict[str, Any] = {"title": "t", "datasets": {"mni-brain": None}, "losses": {"mse": None, "ncc": None}}
HEAD = {"recipe": "mni-head"}
LONG = "x" * 5000


def refusal(change: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Study.load(BASE | change, "c.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "key", "facts"),
    [
        ({"titel": "x"}, "titel", ["'title'"]),
        ({"training": {"step": 1}}, "training.step", ["'steps'"]),
        ({"datasets": {"mni-brain": {"training": {"stepz": 1}}}}, "datasets.mni-brain.training.stepz", ["'steps'"]),
        ({"methods": {"voxelmorf": None}}, "methods.voxelmorf", ["'voxelmorf'", "'voxelmorph'"]),
        ({"methods": {"mine": {"kind": "voxelmorf"}}}, "methods.mine.kind", ["'voxelmorf'", "'voxelmorph'"]),
        ({"methods": {"unregistered": {"kind": "voxelmorph"}}}, "methods.unregistered", ["reserved", "unregistered"]),
        ({"methods": {"ncc": {"kind": "voxelmorph"}}}, "methods.ncc", ["reserved", "loss"]),
        ({"networks": {"voxelmorph": None}}, "networks", ["methods"]),
        ({"weights": {"folder": "x"}}, "weights", ["checkpoints"]),
        ({"training": {"grid": [1]}}, "training.grid", ["training.lambda.grid"]),
        (
            {"datasets": {"mni-brain": {"training": {"weights": "raw"}}}},
            "datasets.mni-brain.training.weights",
            ["datasets.mni-brain.training.lambda.scale"],
        ),
        ({"losses": {"msee": None}}, "losses.msee", ["'mse'"]),
        ({"datasets": {"mni-brian": None}}, "datasets.mni-brian", ["'mni-brian'", "'mni-brain'"]),
        ({"losses": {"ncc": {"options": {"windwo": 5}}}}, "losses.ncc.options.windwo", ["'window'"]),
        ({"losses": {"mse": {"variants": {"wide": {"window": 5}}}}}, "losses.mse.variants.wide.window", ["remove"]),
        (
            {"losses": {"ncc": {"options": {"window": "wide"}}}},
            "losses.ncc.options.window",
            ["'wide'", WANTED["int"], "9"],
        ),
        ({"losses": {"mse": {"variants": {"default": {}}}}}, "losses.mse.variants.default", ["reserved", "variants"]),
        ({"datasets": {"mni-brain": {"options": {"trian": 4}}}}, "datasets.mni-brain.options.trian", ["'train'"]),
        (
            {"datasets": {"mni-brain": {"options": {"train": 4.5}}}},
            "datasets.mni-brain.options.train",
            ["4.5", WANTED["int"], "48"],
        ),
        ({"datasets": {"mni-brain": {"options": {"test": 0}}}}, "datasets.mni-brain.options.test", ["0", "3", "40"]),
        (
            {"datasets": {"head": HEAD | {"options": {"lesion": 1}}}},
            "datasets.head.options.lesion",
            ["1", WANTED["bool"], "false"],
        ),
        (
            {"datasets": {"mine": {"folder": "nowhere"}}},
            "datasets.mine.folder",
            ["nowhere", "dataset.yaml", "images.csv"],
        ),
        ({"datasets": {"mine": {"folder": "a", "recipe": "cells"}}}, "datasets.mine.recipe", ["folder"]),
        ({"only_losses": "mse nccc"}, "only_losses", ["'nccc'", "'ncc'"]),
        ({"only_datasets": "cells"}, "only_datasets", ["'cells'", "mni-brain"]),
        ({"datasets": None}, "datasets", ["1"]),
        ({"losses": {}}, "losses", ["1"]),
        ({"losses": ["mse"]}, "losses", ["['mse']", WANTED["dict"], "{mse: }"]),
        ({"training": {"steps": "many"}}, "training.steps", ["'many'", WANTED["int"]]),
        ({"training": {"steps": 1e4}}, "training.steps", ["10000.0", WANTED["int"]]),
        ({"training": {"steps": True}}, "training.steps", ["True", WANTED["int"]]),
        ({"training": {"lambda": {"scale": "ballanced"}}}, "training.lambda.scale", ["'ballanced'", "'balanced'"]),
        ({"training": {"learning_rate": 0}}, "training.learning_rate", ["0"]),
        ({"losses": {"mse": {"lambda": {"grid": [1, 1]}}}}, "losses.mse.lambda.grid", ["[1, 1]"]),
        ({"losses": {"mse": {"lambda": {"grid": [0]}}}}, "losses.mse.lambda.grid.0", ["0"]),
        ({"seeds": []}, "seeds", ["1"]),
        ({"statistics": {"simulations": 5}}, "statistics.simulations", ["5", "200"]),
        ({"title": None}, "title", [WANTED["string"]]),
        ({"title": ""}, "title", ["''", "1"]),
        ({"title": "a\nb"}, "title", [r"'a\nb'"]),
        ({"title": "costs $5"}, "title", ["'costs $5'"]),
        ({"results": "a b"}, "results", ["'a b'"]),
        ({"results": f"{__file__}/x"}, "results", [f"'{__file__}'", "folder"]),
        ({"training": {"steps": 10**12}}, "training.steps", ["1000000000000", "100000000"]),
        ({"training": {"steps": 1e12}}, "training.steps", ["1000000000000.0", WANTED["int"]]),
        ({"training": {"steps": 10**500}}, "training.steps", [shown(10**500)]),
        ({"training": {"batch": 100_000}}, "training.batch", ["100000", "4096"]),
        ({"training": {"learning_rate": math.nan}}, "training.learning_rate", ["nan", "finite"]),
        ({"training": {"learning_rate": math.inf}}, "training.learning_rate", ["inf", "finite"]),
        ({"training": {"learning_rate": "fast"}}, "training.learning_rate", ["'fast'", WANTED["float"]]),
        ({"training": {"steps": "1e4"}}, "training.steps", ["'1e4'", "10000"]),
        ({"training": {"lambda": {"grid": [1, math.nan]}}}, "training.lambda.grid.1", ["nan", "finite"]),
        ({"training": {"lambda": {"grid": [0.1, 0.10000001]}}}, "training.lambda.grid", ["[0.1, 0.10000001]", "6"]),
        ({"training": {"augmentation": {"scale": [1.2, 0.8]}}}, "training.augmentation.scale", ["[1.2, 0.8]"]),
        ({"threads": 0}, "threads", ["0", "1"]),
        ({"threads": 10**6}, "threads", ["1000000", "1024"]),
        ({"seeds": [-1]}, "seeds.0", ["-1", "0"]),
        ({"seeds": [1, 1]}, "seeds", ["[1, 1]"]),
        ({"seeds": [2**40]}, "seeds.0", ["1099511627776", "4294967295"]),
        ({"seeds": [1.0]}, "seeds.0", ["1.0", WANTED["int"]]),
        ({"seeds": 1}, "seeds", ["1", WANTED["list"]]),
        ({"statistics": {"confidence": "1.5"}}, "statistics.confidence", ["'1.5'", "1"]),
        ({"only_losses": 5}, "only_losses", ["5", WANTED["string"]]),
        ({"only_losses": "\x1b[2J"}, "only_losses", [r"'\x1b[2J'", "mse"]),
        ({"losses": {1: None}}, "losses.1", ["mse"]),
        ({"datasets": {True: None}}, "datasets", ["True", WANTED["string"]]),
        ({"datasets": {"größe": HEAD}}, "datasets", ["'größe'"]),
        ({"datasets": {"a\n": HEAD}}, "datasets", [r"'a\n'"]),
        ({"datasets": {"a" * 65: HEAD}}, "datasets", [shown("a" * 65), "64"]),
        ({"datasets": {"Mine": HEAD}}, "datasets", ["'Mine'"]),
        ({5: "x"}, "5", ["title"]),
        ({"x\ny": 1}, r"x\ny", ["title"]),
        ({"datasets": {"mni-brain": {"folder": LONG}}}, "datasets.mni-brain.folder", [LONG]),
        ({"losses": {"ncc": {"options": {"window": 8}}}}, "losses.ncc.options.window", ["8", "odd", "9"]),
        ({"losses": {"ncc": {"options": {"window": 0}}}}, "losses.ncc.options.window", ["0", "3", "9"]),
        ({"losses": {"ncc": {"variants": {"small": {"window": 1}}}}}, "losses.ncc.variants.small.window", ["1", "3"]),
        ({"losses": {"nmi": {"options": {"bins": 1}}}}, "losses.nmi.options.bins", ["1", "3", "64"]),
        ({"losses": {"lncc": {"options": {"sigma": -1.0}}}}, "losses.lncc.options.sigma", ["-1.0", "0.5", "3.0"]),
        (
            {"losses": {"deepsim_seg": {"options": {"levels": "all"}}}},
            "losses.deepsim_seg.options.levels",
            ["'all'", WANTED["list"], "null"],
        ),
        (
            {"losses": {"deepsim_seg": {"options": {"levels": []}}}},
            "losses.deepsim_seg.options.levels",
            ["1", "null"],
        ),
        (
            {"losses": {"deepsim_seg": {"variants": {"deep": {"levels": [0, 3]}}}}},
            "losses.deepsim_seg.variants.deep.levels",
            ["[0, 3]", "'mni-brain'", "2", "pretraining"],
        ),
        (
            {"losses": {"deepsim_ae": {"options": {"comparator": "lncc", "sigma": None}}}},
            "losses.deepsim_ae.options.sigma",
            [WANTED["float"], "4.0"],
        ),
        (
            {"losses": {"deepsim_ae": {"variants": {"wide": {"sigma": 8.0}}}}},
            "losses.deepsim_ae.variants.wide.sigma",
            ["comparator", "'cosine'", "'lncc'"],
        ),
        (
            {"losses": {"diffusion_adm": {"options": {"zero_mean": True}}}},
            "losses.diffusion_adm.options.zero_mean",
            ["comparator", "'lncc'"],
        ),
        (
            {"losses": {"deepsim_vgg": {"options": {"levels": [0, 3]}}}},
            "losses.deepsim_vgg.options.levels.1",
            ["3", "2", "null"],
        ),
        ({"losses": {"dinov2": {"options": {"taps": [12]}}}}, "losses.dinov2.options.taps.0", ["12", "11", "null"]),
        (
            {"losses": {"diffusion_adm": {"variants": {"both": {"taps": ["down", "side"]}}}}},
            "losses.diffusion_adm.variants.both.taps.1",
            ["'side'", "down", "up"],
        ),
        (
            {"losses": {"diffusion_sd": {"options": {"taps": ["up4"]}}}},
            "losses.diffusion_sd.options.taps.0",
            ["'up4'", "'up3'"],
        ),
        (
            {"losses": {"diffusion_indomain": {"options": {"taps": ["up2", "up3"]}}}},
            "losses.diffusion_indomain.options.taps",
            ["'mni-brain'", "'up3'", "middle", "up0", "up1", "up2", "pretraining"],
        ),
        (
            {"losses": {"mse_masked": None}, "datasets": {"cells": None}},
            "losses",
            ["'mse_masked'", "'cells'"],
        ),
        ({"datasets": {"head": HEAD | {"options": {"dose": 101}}}}, "datasets.head.options.dose", ["101", "100"]),
        ({"datasets": {"cells": {"options": {"size": 100}}}}, "datasets.cells.options.size", ["100", "8", "256"]),
        (
            {"datasets": {"cells": {"options": {"binning": 3}}}},
            "datasets.cells.options.binning",
            ["3", "1", "2", "4"],
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_names_file_key_and_fix(change: dict[str, Any], key: str, facts: list[str]) -> None:
    told(refusal(change), f"c.yaml: key '{key}'", *facts)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    change = {
        "networks": {},
        "training": {"weights": "raw", "batch": 0},
        "losses": {"ncc": {"grid": [1], "options": {"window": 8}}, "mind": {"variants": {"far": {"dilation": 0.5}}}},
        "datasets": {"mni-brian": None, "own": {"folder": "nowhere", "pairs": {"test": 0}}},
        "titel": "x",
    }
    lines = refusal(change).splitlines()
    assert {line.partition("'")[2].partition("'")[0] for line in lines} == {
        *("networks", "training.weights", "training.batch", "losses.ncc.grid", "losses.ncc.options.window"),
        *("losses.mind.variants.far.dilation", "datasets.mni-brian", "datasets.own.pairs.test", "titel"),
    }
    assert all(line.startswith("c.yaml: key '") for line in lines)
    (renamed,) = (line for line in lines if "'losses.ncc.grid'" in line)
    told(renamed, "c.yaml: key 'losses.ncc.grid'", "losses.ncc.lambda.grid")


def test_names_and_folders_that_are_wrong_are_told_at_once() -> None:
    change = {"only_losses": "nccc", "datasets": {"a": {"folder": "x"}, "b": {"folder": "y"}}}
    keys = [line.partition("'")[2].partition("'")[0] for line in refusal(change).splitlines()]
    assert keys == ["only_losses", "datasets.a.folder", "datasets.b.folder"]


def test_a_misspelt_key_is_not_missing_as_well() -> None:
    with refused(ConfigurationError, "c.yaml: key 'titel'", "'title'"):
        Study.load({"titel": "t", "datasets": {"mni-brain": None}, "losses": {"mse": None}}, "c.yaml")


def test_text_is_a_number_where_one_is_wanted() -> None:
    """YAML takes 1e-4 for text."""
    budget = {"learning_rate": "1e-4", "augmentation": {"rotation": "5"}, "lambda": {"grid": ["1e-1", 1, 2.5]}}
    found = Study.load(BASE | {"title": "1e-4", "training": budget})
    assert found.config["title"] == "1e-4"
    training = found.training("mni-brain", "voxelmorph", "mse")
    assert (training["learning_rate"], training["augmentation"]["rotation"]) == (0.0001, 5.0)
    assert repr(training["lambda"]["grid"]) == "[0.1, 1, 2.5]", "a whole number stays one, or jobs would run again"


def test_a_missing_key_is_named() -> None:
    with refused(ConfigurationError, "c.yaml: key 'losses'", "missing"):
        Study.load({"title": "t", "datasets": {"mni-brain": None}}, "c.yaml")


@pytest.mark.parametrize("name", recipes.names())
def test_options_of_recipes_are_known_without_importing_them(name: str) -> None:
    known = recipes.defaults(name)
    assert {"train", "val", "test"} <= set(known)
    assert Study.load(BASE | {"datasets": {name: {"options": known}}}).config["datasets"][name]["options"] == known


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_refuse_in_a_job_only_what_parsing_lets_pass(name: str, tmp_path: Path) -> None:
    """What lies just beyond a limit is refused by the recipe itself, so that the limits are neither lax nor idle."""
    limits = catalogue.limits(name)
    assert set(limits) <= set(recipes.defaults(name))
    for option, rule in limits.items():
        if "minimum" in rule:
            with pytest.raises(ValueError, match=str(rule["minimum"] - 1)):
                recipes.make(name, tmp_path / "raw", 1, **{option: rule["minimum"] - 1})
    numbers = {option for option, value in recipes.defaults(name).items() if not isinstance(value, bool)}
    assert numbers == set(limits)


def test_anchors_and_merged_keys_make_a_study(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "title: t\ndatasets: {mni-brain: }\n"
        "losses: {ncc: {options: &wide {window: 15}}, ncc_sup: {options: *wide}}\n"
        "training: &budget {steps: 5, batch: 2}\npretraining: {<<: *budget, steps: 7}\n"
    )
    study = Study.load(read(path))
    assert study.options("ncc_sup", "default") == {"window": 15}
    assert study.pretraining("mni-brain")["steps"] == 7


def test_a_block_left_empty_is_an_empty_block() -> None:
    empty = {"training": None, "methods": {"voxelmorph": None}, "losses": {"ncc": {"options": None, "variants": None}}}
    assert Study.load(BASE | empty).config["training"]["steps"] == 20000


def test_the_results_have_a_plain_path() -> None:
    assert Study.load(BASE | {"results": "./a//b/"}).results == "a/b"


def test_a_loss_left_out_says_that_only_some_have_what_it_needs(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "own", 2, 16, images={"train": 3, "val": 2, "test": 3})
    table = folder / "images.csv"
    table.write_text(table.read_text().replace(",label/train0.png", ","))
    study = Study.load(BASE | {"datasets": {"own": {"folder": str(folder)}}, "losses": {"ncc_sup": None, "mse": None}})
    reason = study.inapplicable("own", "ncc_sup")
    assert reason is not None
    told(reason, "", "only some", "training", "validation", "label")
    assert study.inapplicable("own", "mse") is None


def test_a_loss_that_does_not_take_its_options_says_where_they_stand() -> None:
    """What the limits on its card let pass and its constructor does not ends a job with one sentence."""
    module = Path(losses.__file__).with_name("ncc.py")
    with refused(UserError, f"{module}: ", "{'wide': 1}", "losses.ncc"):
        losses.build("ncc", wide=1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("refusals") / "project")


def state(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("change", "key", "facts"),
    [
        ({"losses": {"nc": None}}, "losses.nc", ["'ncc'"]),
        (
            {"datasets": {"own": {"folder": "own"}}},
            "datasets.own.folder",
            ["own/images.csv", "'image'", "'val0'", "'image/nobody.png'"],
        ),
    ],
    ids=str,
)
def test_the_workflow_and_the_check_print_that_sentence_alone(
    project: Path, change: dict, key: str, facts: list[str]
) -> None:
    if not (project / "own").exists():
        make_dataset(project / "own", 2, 16)
        table = project / "own" / "images.csv"
        table.write_text(table.read_text().replace("image/val0.png", "image/nobody.png"))
        earlier = project / "results" / "bad" / "tables" / "summary.csv"
        earlier.parent.mkdir(parents=True)
        earlier.write_text("an earlier result")
    (project / "config" / "bad.yaml").write_text(yaml.safe_dump(BASE | {"results": "results/bad"} | change))
    before = state(project / "results")
    for call in (["-m", "snakemake", "--cores", "1"], ["workflow/tools/check.py"]):
        command = [sys.executable, *call, "--configfile", "config/bad.yaml"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow specific profile")]
        assert done.returncode == 1
        assert done.stdout == ""
        assert len(said) == 1
        told(said[0], f"config/bad.yaml: key '{key}'", *facts)
    assert state(project / "results") == before


def test_snakemake_does_not_take_the_last_of_two_keys(project: Path) -> None:
    text = yaml.safe_dump(BASE | {"results": "results/bad"})
    (project / "config" / "twice.yaml").write_text(f"{text}title: again\n")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "config/twice.yaml"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    line = text.count("\n") + 1
    told(done.stderr.splitlines()[-1], f"config/twice.yaml: line {line}, column 1: key 'title'", "twice", "line 1")


@pytest.mark.parametrize(
    ("module", "card", "facts"),
    [
        ("figures/mine.py", {"reads": ["metric"], "caption": ""}, ["reads", "'metric'", "'metrics'"]),
        ("figures/mine.py", {"reads": [], "title": "", "caption": ""}, ["'title'", "unknown"]),
        ("metrics/mine.py", {"title": "", "unit": "1", "doi": None}, ["'range'", "metrics/base.py"]),
    ],
)
def test_a_wrong_card_is_refused_before_any_job(
    project: Path, module: str, card: dict[str, Any], facts: list[str]
) -> None:
    path = project / "workflow" / "lib" / "likeness" / module
    path.write_text(f"CARD = {card}\n")
    (project / "config" / "card.yaml").write_text(yaml.safe_dump(BASE | {"results": "results/card"}))
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "config/card.yaml"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    path.unlink()
    assert done.returncode == 1
    told(done.stderr.splitlines()[-1], f"{path}: CARD", *facts)


def test_make_says_what_snakemake_would_say_with_a_traceback(project: Path) -> None:
    (project / "config" / "folder.yaml").mkdir()
    (project / "config" / "binary.yaml").write_bytes(bytes(range(256)))
    for name, facts in {"missing": ["no", "config/"], "folder": ["folder"], "binary": ["UTF-8", "129"]}.items():
        command = ["make", "figures", f"CONFIG=config/{name}.yaml"]
        done = subprocess.run(command, cwd=project, env=outside_make(), capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stdout == ""
        told(done.stderr.splitlines()[0], f"config/{name}.yaml: ", *facts)
        assert len(done.stderr.splitlines()) == 2, "make says which target failed"


@pytest.mark.parametrize(
    ("text", "where", "facts"),
    [
        (None, "", ["no", "config/"]),
        ("", "", ["'title: …'"]),
        ("title: [t", "line 1, column 10:", ["','", "']'"]),
        ("title: t\n\tlosses: {}", "line 2, column 1:", [r"'\t'"]),
    ],
)
def test_check_says_what_is_wrong_with_a_file_that_is_no_configuration(
    project: Path, text: str | None, where: str, facts: list[str]
) -> None:
    if text is not None:
        (project / "config" / "none.yaml").write_text(text)
    command = [sys.executable, "workflow/tools/check.py", "--configfile", "config/none.yaml"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    told(done.stderr.removesuffix("\n"), f"config/none.yaml: {where}", *facts)
