"""A study that cannot run is refused before any job, in one sentence that names file, key and fix."""

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

from likeness import losses
from likeness.config.study import Study, read
from likeness.datasets import catalogue, recipes
from likeness.userinput.errors import ConfigurationError, UserError

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
        (
            {"methods": {"voxelmorf": None}},
            "key 'methods.voxelmorf': there is no method of the kind 'voxelmorf'; did you mean 'voxelmorph'?",
        ),
        (
            {"methods": {"mine": {"kind": "voxelmorf"}}},
            "key 'methods.mine.kind': there is no method of the kind 'voxelmorf'; did you mean 'voxelmorph'?",
        ),
        (
            {"methods": {"unregistered": {"kind": "voxelmorph"}}},
            "key 'methods.unregistered': the name is reserved for the unregistered pairs; choose another",
        ),
        (
            {"methods": {"ncc": {"kind": "voxelmorph"}}},
            "key 'methods.ncc': the name is reserved for a loss, next to which it appears in tables; choose another",
        ),
        ({"networks": {"voxelmorph": None}}, "key 'networks' was renamed to `methods`; move its"),
        ({"weights": {"folder": "x"}}, "key 'weights' was renamed to `checkpoints`; move"),
        (
            {"training": {"grid": [1]}},
            "key 'training.grid' was renamed to `training.lambda.grid`; move its value there",
        ),
        (
            {"datasets": {"mni-brain": {"training": {"weights": "raw"}}}},
            "key 'datasets.mni-brain.training.weights' was renamed to `datasets.mni-brain.training.lambda.scale`; move",
        ),
        ({"losses": {"msee": None}}, "key 'losses.msee' is unknown; did you mean 'mse'?"),
        (
            {"datasets": {"mni-brian": None}},
            "key 'datasets.mni-brian': there is no built-in dataset 'mni-brian'; did you mean 'mni-brain'?",
        ),
        (
            {"losses": {"ncc": {"options": {"windwo": 5}}}},
            "key 'losses.ncc.options.windwo' is unknown; did you mean 'window'?",
        ),
        (
            {"losses": {"mse": {"variants": {"wide": {"window": 5}}}}},
            "key 'losses.mse.variants.wide.window' is unknown; nothing can be set here, so remove it",
        ),
        (
            {"losses": {"ncc": {"options": {"window": "wide"}}}},
            "key 'losses.ncc.options.window': 'wide' is not a whole number; give one, the default is 9",
        ),
        (
            {"losses": {"mse": {"variants": {"default": {}}}}},
            "key 'losses.mse.variants.default': the name is reserved for the variant without `variants`",
        ),
        (
            {"datasets": {"mni-brain": {"options": {"trian": 4}}}},
            "key 'datasets.mni-brain.options.trian' is unknown; did you mean 'train'?",
        ),
        (
            {"datasets": {"mni-brain": {"options": {"train": 4.5}}}},
            "key 'datasets.mni-brain.options.train': 4.5 is not a whole number; give one, the default is 48",
        ),
        (
            {"datasets": {"mni-brain": {"options": {"test": 0}}}},
            "key 'datasets.mni-brain.options.test': 0 is too small; give at least 3, the default is 40",
        ),
        (
            {"datasets": {"head": HEAD | {"options": {"lesion": 1}}}},
            "key 'datasets.head.options.lesion': 1 is not true or false; give one, the default is false",
        ),
        (
            {"datasets": {"mine": {"folder": "nowhere"}}},
            "key 'datasets.mine.folder': nowhere: no such folder; name a folder that contains",
        ),
        (
            {"datasets": {"mine": {"folder": "a", "recipe": "cells"}}},
            "key 'datasets.mine.recipe' cannot be combined with `folder`; give one of them",
        ),
        ({"only_losses": "mse nccc"}, "key 'only_losses': the study has no 'nccc'; did you mean 'ncc'?"),
        ({"only_datasets": "cells"}, "key 'only_datasets': the study has no 'cells'; use one of mni-brain"),
        ({"datasets": None}, "key 'datasets': there are no entries; give at least 1 (datasets of the study by name)"),
        ({"losses": {}}, "key 'losses': there are no entries; give at least 1 (losses of the study by name)"),
        ({"losses": ["mse"]}, "key 'losses': ['mse'] is not a block of keys and values; write {mse: }"),
        ({"training": {"steps": "many"}}, "key 'training.steps': 'many' is not a whole number; give one"),
        ({"training": {"steps": 1e4}}, "key 'training.steps': 10000.0 is not a whole number; give one"),
        ({"training": {"steps": True}}, "key 'training.steps': True is not a whole number; give one"),
        (
            {"training": {"lambda": {"scale": "ballanced"}}},
            "key 'training.lambda.scale': there is no 'ballanced'; did you mean 'balanced'?",
        ),
        (
            {"training": {"learning_rate": 0}},
            "key 'training.learning_rate': 0 is too small; give more than 0 (learning rate of Adam)",
        ),
        (
            {"losses": {"mse": {"lambda": {"grid": [1, 1]}}}},
            "key 'losses.mse.lambda.grid': [1, 1] contains duplicates; give each once",
        ),
        (
            {"losses": {"mse": {"lambda": {"grid": [0]}}}},
            "key 'losses.mse.lambda.grid.0': 0 is too small; give more than 0",
        ),
        ({"seeds": []}, "key 'seeds': there are no entries; give at least 1"),
        ({"statistics": {"simulations": 5}}, "key 'statistics.simulations': 5 is too small; give at least 200"),
        (
            {"title": None},
            "key 'title': it is empty; give a text (title of the study on one line",
        ),
        ({"title": ""}, "key 'title': '' is too short; give 1 or more characters"),
        ({"title": "a\nb"}, r"key 'title': 'a\nb' contains characters that are not allowed here; use one"),
        ({"title": "costs $5"}, "key 'title': 'costs $5' contains characters that are not allowed here; use"),
        ({"results": "a b"}, "key 'results': 'a b' contains characters that are not allowed here; use letters"),
        ({"results": f"{__file__}/x"}, f"key 'results': '{__file__}' is a file; name a folder"),
        ({"training": {"steps": 10**12}}, "key 'training.steps': 1000000000000 is too large; give at most 100000000"),
        ({"training": {"steps": 1e12}}, "key 'training.steps': 1000000000000.0 is not a whole number; give one"),
        ({"training": {"steps": 10**500}}, "key 'training.steps': 10000000000000000000000"),
        ({"training": {"batch": 100_000}}, "key 'training.batch': 100000 is too large; give at most 4096 (pairs per"),
        (
            {"training": {"learning_rate": math.nan}},
            "key 'training.learning_rate': nan is not finite; give a finite number",
        ),
        (
            {"training": {"learning_rate": math.inf}},
            "key 'training.learning_rate': inf is not finite; give a finite number",
        ),
        (
            {"training": {"learning_rate": "fast"}},
            "key 'training.learning_rate': 'fast' is not a number; give one",
        ),
        ({"training": {"steps": "1e4"}}, "key 'training.steps': YAML reads '1e4' as text; write 10000 without quotes"),
        (
            {"training": {"lambda": {"grid": [1, math.nan]}}},
            "key 'training.lambda.grid.1': nan is not finite; give a finite number",
        ),
        (
            {"training": {"lambda": {"grid": [0.1, 0.10000001]}}},
            "key 'training.lambda.grid': [0.1, 0.10000001] has entries that agree in the first 6 digits; give each",
        ),
        (
            {"training": {"augmentation": {"scale": [1.2, 0.8]}}},
            "key 'training.augmentation.scale': [1.2, 0.8] is not in ascending order; give the lowest first",
        ),
        (
            {"threads": 0},
            "key 'threads': 0 is too small; give at least 1 (number of CPU threads of one training or optimisation)",
        ),
        ({"threads": 10**6}, "key 'threads': 1000000 is too large; give at most 1024"),
        ({"seeds": [-1]}, "key 'seeds.0': -1 is too small; give at least 0"),
        ({"seeds": [1, 1]}, "key 'seeds': [1, 1] contains duplicates; give each once"),
        ({"seeds": [2**40]}, "key 'seeds.0': 1099511627776 is too large; give at most 4294967295"),
        ({"seeds": [1.0]}, "key 'seeds.0': 1.0 is not a whole number; give one"),
        ({"seeds": 1}, "key 'seeds': 1 is not a list; give one (random seeds)"),
        (
            {"statistics": {"confidence": "1.5"}},
            "key 'statistics.confidence': '1.5' is too large; give less than 1 (confidence level of the intervals)",
        ),
        ({"only_losses": 5}, "key 'only_losses': 5 is not a text; give one"),
        ({"only_losses": "\x1b[2J"}, r"key 'only_losses': the study has no '\x1b[2J'; use one of mse"),
        ({"losses": {1: None}}, "key 'losses.1' is unknown; use one of mse"),
        ({"datasets": {True: None}}, "key 'datasets': the name True is not a text; give one"),
        ({"datasets": {"größe": HEAD}}, "key 'datasets': the name 'größe' contains characters that are not allowed"),
        ({"datasets": {"a\n": HEAD}}, r"key 'datasets': the name 'a\n' contains characters that are not allowed"),
        ({"datasets": {"a" * 65: HEAD}}, f"key 'datasets': the name '{'a' * 58}… is too long; give at most 64"),
        ({5: "x"}, "key '5' is unknown; use one of title"),
        ({"x\ny": 1}, r"key 'x\ny' is unknown; use one of title"),
        (
            {"datasets": {"mni-brain": {"folder": "x" * 5000}}},
            f"key 'datasets.mni-brain.folder': {'x' * 5000}: has a longer name than the file system allows",
        ),
        (
            {"losses": {"ncc": {"options": {"window": 8}}}},
            "key 'losses.ncc.options.window': 8 is even; give an odd number, the default is 9",
        ),
        (
            {"losses": {"ncc": {"options": {"window": 0}}}},
            "key 'losses.ncc.options.window': 0 is too small; give at least 3, the default is 9",
        ),
        (
            {"losses": {"ncc": {"variants": {"small": {"window": 1}}}}},
            "key 'losses.ncc.variants.small.window': 1 is too small; give at least 3, the default is 9",
        ),
        (
            {"losses": {"nmi": {"options": {"bins": 1}}}},
            "key 'losses.nmi.options.bins': 1 is too small; give at least 3, the default is 64",
        ),
        (
            {"losses": {"lncc": {"options": {"sigma": -1.0}}}},
            "key 'losses.lncc.options.sigma': -1.0 is too small; give at least 0.5, the default is 3.0",
        ),
        (
            {"losses": {"deepsim_seg": {"options": {"levels": "all"}}}},
            "key 'losses.deepsim_seg.options.levels': 'all' is not a list; give one, the default is null",
        ),
        (
            {"losses": {"deepsim_seg": {"options": {"levels": []}}}},
            "key 'losses.deepsim_seg.options.levels': there are no entries; give at least 1, the default is null",
        ),
        (
            {"losses": {"deepsim_seg": {"variants": {"deep": {"levels": [0, 3]}}}}},
            "key 'losses.deepsim_seg.variants.deep.levels': [0, 3] exceeds the 3 levels of the extractor trained on "
            "'mni-brain', 0 to 2; choose others or add stages to `pretraining`",
        ),
        (
            {"losses": {"deepsim_ae": {"options": {"comparator": "lncc", "sigma": None}}}},
            "key 'losses.deepsim_ae.options.sigma': it is empty; give a number, the default is 4.0",
        ),
        (
            {"losses": {"deepsim_ae": {"variants": {"wide": {"sigma": 8.0}}}}},
            "key 'losses.deepsim_ae.variants.wide.sigma': has no effect while `comparator` is 'cosine'; set that "
            "to 'lncc', or remove this key",
        ),
        (
            {"losses": {"diffusion_adm": {"options": {"zero_mean": True}}}},
            "key 'losses.diffusion_adm.options.zero_mean': has no effect while `comparator` is 'lncc'; set that",
        ),
        (
            {"losses": {"deepsim_vgg": {"options": {"levels": [0, 3]}}}},
            "key 'losses.deepsim_vgg.options.levels.1': 3 is too large; give at most 2, the default is null",
        ),
        (
            {"losses": {"dinov2": {"options": {"taps": [12]}}}},
            "key 'losses.dinov2.options.taps.0': 12 is too large; give at most 11, the default is null",
        ),
        (
            {"losses": {"diffusion_adm": {"variants": {"both": {"taps": ["down", "side"]}}}}},
            "key 'losses.diffusion_adm.variants.both.taps.1': there is no 'side'; use one of down, up",
        ),
        (
            {"losses": {"diffusion_sd": {"options": {"taps": ["up4"]}}}},
            "key 'losses.diffusion_sd.options.taps.0': there is no 'up4'; did you mean 'up3'?",
        ),
        (
            {"losses": {"diffusion_indomain": {"options": {"taps": ["up2", "up3"]}}}},
            "key 'losses.diffusion_indomain.options.taps': the extractor trained on 'mni-brain' has no tap 'up3', only "
            "middle, up0, up1, up2; choose one of these or add stages to `pretraining`",
        ),
        (
            {"losses": {"mse_masked": None}, "datasets": {"cells": None}},
            "key 'losses': no loss applies to any dataset, 'mse_masked' not to 'cells': it compares the images",
        ),
        (
            {"datasets": {"head": HEAD | {"options": {"dose": 101}}}},
            "key 'datasets.head.options.dose': 101 is too large; give at most 100, the default is 100.0",
        ),
        (
            {"datasets": {"cells": {"options": {"size": 100}}}},
            "key 'datasets.cells.options.size': 100 is not a multiple of 8; give one, the default is 256",
        ),
        (
            {"datasets": {"cells": {"options": {"binning": 3}}}},
            "key 'datasets.cells.options.binning': there is no 3; use one of 1, 2, 4",
        ),
        (
            {"datasets": {"Mine": HEAD}},
            "key 'datasets': the name 'Mine' contains characters that are not allowed here; use lower-case",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_names_file_key_and_fix(change: dict[str, Any], message: str) -> None:
    said = refusal(change)
    assert said.startswith(f"c.yaml: {message}")
    assert "\n" not in said


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
    assert "c.yaml: key 'losses.ncc.grid' was renamed to `losses.ncc.lambda.grid`; move its value there" in lines


def test_names_and_folders_that_are_wrong_are_told_at_once() -> None:
    change = {"only_losses": "nccc", "datasets": {"a": {"folder": "x"}, "b": {"folder": "y"}}}
    keys = [line.partition("'")[2].partition("'")[0] for line in refusal(change).splitlines()]
    assert keys == ["only_losses", "datasets.a.folder", "datasets.b.folder"]


def test_a_misspelt_key_is_not_missing_as_well() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Study.load({"titel": "t", "datasets": {"mni-brain": None}, "losses": {"mse": None}}, "c.yaml")
    assert str(caught.value) == "c.yaml: key 'titel' is unknown; did you mean 'title'?"


def test_text_is_a_number_where_one_is_wanted() -> None:
    """YAML takes 1e-4 for text."""
    budget = {"learning_rate": "1e-4", "augmentation": {"rotation": "5"}, "lambda": {"grid": ["1e-1", 1, 2.5]}}
    found = Study.load(BASE | {"title": "1e-4", "training": budget})
    assert found.config["title"] == "1e-4"
    training = found.training("mni-brain", "voxelmorph", "mse")
    assert (training["learning_rate"], training["augmentation"]["rotation"]) == (0.0001, 5.0)
    assert repr(training["lambda"]["grid"]) == "[0.1, 1, 2.5]", "a whole number stays one, or jobs would run again"


def test_a_missing_key_is_named() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^c.yaml: key 'losses' is missing; add it \(losses of the study by name\)$"
    ):
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
    assert reason.endswith(", but only some training or validation images have a label")
    assert study.inapplicable("own", "mse") is None


def test_a_loss_that_does_not_take_its_options_says_where_they_stand() -> None:
    """What the limits on its card let pass and its constructor does not ends a job with this sentence."""
    said = r"losses/ncc.py: cannot be built with the options {'wide': 1}: .*; correct them under `losses.ncc` in the"
    with pytest.raises(UserError, match=said):
        losses.build("ncc", wide=1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("refusals") / "project")


def state(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": {"nc": None}}, "key 'losses.nc' is unknown; did you mean 'ncc'?"),
        ({"datasets": {"own": {"folder": "own"}}}, "key 'datasets.own.folder': own/images.csv: column 'image'"),
    ],
    ids=str,
)
def test_the_workflow_and_the_check_print_that_sentence_alone(project: Path, change: dict, message: str) -> None:
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
        assert said[0].startswith(f"config/bad.yaml: {message}")
    assert state(project / "results") == before


def test_snakemake_does_not_take_the_last_of_two_keys(project: Path) -> None:
    text = yaml.safe_dump(BASE | {"results": "results/bad"})
    (project / "config" / "twice.yaml").write_text(f"{text}title: again\n")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "config/twice.yaml"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith("config/twice.yaml: line ")
    assert said.endswith("column 1: key 'title' is given twice in the block that starts on line 1; keep one of them")


@pytest.mark.parametrize(
    ("module", "card", "message"),
    [
        (
            "figures/mine.py",
            {"reads": ["metric"], "caption": ""},
            "CARD reads 'metric', which does not exist; did you",
        ),
        (
            "figures/mine.py",
            {"reads": [], "title": "", "caption": ""},
            "CARD has an unknown key 'title'; ",
        ),
        (
            "metrics/mine.py",
            {"title": "", "unit": "1", "doi": None},
            "CARD has no key 'range'; add it as metrics/base.py",
        ),
    ],
)
def test_a_wrong_card_is_refused_before_any_job(project: Path, module: str, card: dict[str, Any], message: str) -> None:
    path = project / "workflow" / "lib" / "likeness" / module
    path.write_text(f"CARD = {card}\n")
    (project / "config" / "card.yaml").write_text(yaml.safe_dump(BASE | {"results": "results/card"}))
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "config/card.yaml"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    path.unlink()
    assert done.returncode == 1
    assert f"likeness/{module}: {message}" in done.stderr.splitlines()[-1]


def test_make_says_what_snakemake_would_say_with_a_traceback(project: Path) -> None:
    (project / "config" / "folder.yaml").mkdir()
    (project / "config" / "binary.yaml").write_bytes(bytes(range(256)))
    for name, message in {
        "missing": "no such configuration; config/ contains those that come with the project",
        "folder": "is a folder; name a file",
        "binary": "is not UTF-8 text (byte 129); save it as UTF-8",
    }.items():
        command = ["make", "figures", f"CONFIG=config/{name}.yaml"]
        done = subprocess.run(command, cwd=project, env=outside_make(), capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.splitlines()[0] == f"config/{name}.yaml: {message}"
        assert len(done.stderr.splitlines()) == 2, "make says which target failed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such configuration; config/ contains those that come with the project"),
        ("", "is not a block of keys and values; start with 'title: …'"),
        ("title: [t", "line 1, column 10: expected ',' or ']', but got"),
        ("title: t\n\tlosses: {}", "line 2, column 1: found character"),
    ],
)
def test_check_says_what_is_wrong_with_a_file_that_is_no_configuration(
    project: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (project / "config" / "none.yaml").write_text(text)
    command = [sys.executable, "workflow/tools/check.py", "--configfile", "config/none.yaml"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"config/none.yaml: {message}")
    assert done.stderr.count("\n") == 1
