"""A configuration is completed or refused before any job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from builders import make_dataset
from refusals import refused, told

from likeness import losses
from likeness.config.entries import configuration
from likeness.config.faults import WANTED
from likeness.config.study import Study
from likeness.extractors import PRETRAINED, sources
from likeness.userinput.errors import ConfigurationError

CONFIG = Path(__file__).parents[2] / "config"
FILES = sorted(CONFIG.glob("*.yaml"))
SMALL: dict[str, Any] = {"title": "small", "datasets": {"mni-brain": None}, "losses": {"mse": None, "ncc": None}}


def folders(config: dict[str, Any]) -> list[str]:
    return [entry["folder"] for entry in config["datasets"].values() if entry and "folder" in entry]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_configuration_that_comes_with_the_project_is_accepted(path: Path, tmp_path: Path, monkeypatch) -> None:
    """Data that the project does not ship is asked for by name; once it is there, nothing else is wrong."""
    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load(path.read_text())
    for folder in folders(config):
        with pytest.raises(ConfigurationError) as refusal:
            Study.load(config, path.name)
        name = next(name for name, entry in config["datasets"].items() if entry and entry.get("folder") == folder)
        told(str(refusal.value).splitlines()[0], f"{path.name}: key 'datasets.{name}.folder': {folder}: ")
        make_dataset(tmp_path / folder, dims=2, size=16)
    assert list(Study.load(config, path.name).runs())


def test_the_refusal_of_a_missing_folder_names_file_key_and_fix(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as refusal:
        Study.load(yaml.safe_load((CONFIG / "evidence.yaml").read_text()), "evidence.yaml")
    lines = str(refusal.value).splitlines()
    for line, name in zip(lines, ("em-drosophila", "phc-t98g", "brain-ptbp"), strict=True):
        where = f"evidence.yaml: key 'datasets.{name}.folder': data/{name}: "
        told(line, where, "folder", "dataset.yaml", "images.csv")


@pytest.mark.parametrize("name", ["evidence.yaml", "paper.yaml"])
def test_what_claims_rest_on_compares_every_first_loss(name: str) -> None:
    nine = {"mse", "mse_masked", "ncc", "ncc_masked", "ncc_sup", "nmi", "mind", "deepsim_ae", "deepsim_seg"}
    config = yaml.safe_load((CONFIG / name).read_text())
    assert nine <= set(config["losses"])
    assert not config.get("demonstration")


def test_the_evidence_is_of_every_loss() -> None:
    text = (CONFIG / "evidence.yaml").read_text()
    assert "every loss" in text.partition("\n")[0]
    assert set(yaml.safe_load(text)["losses"]) == set(losses.names())


def test_only_losses_restricts_and_keeps_what_the_study_says_of_them() -> None:
    config = SMALL | {"losses": {"mse": None, "ncc": {"options": {"window": 5}}}, "only_losses": "ncc"}
    study = Study.load(config)
    assert study.losses == ["ncc"]
    assert study.options("ncc", "default") == {"window": 5}


def test_losses_can_be_skipped() -> None:
    config = SMALL | {"losses": {"mse": None, "ncc": None}}
    assert Study.load(config | {"skip_losses": "ncc"}).losses == ["mse"]
    assert Study.load(config | {"only_losses": "ncc mind", "skip_losses": "mind"}).losses == ["ncc"]


def test_only_losses_takes_any_loss_that_exists_with_its_defaults() -> None:
    study = Study.load(SMALL | {"only_losses": "mse mind"})
    assert study.losses == ["mse", "mind"]
    assert study.options("mind", "default") == {}
    assert study.variants("mind") == ["default"]
    assert study.training("mni-brain", "voxelmorph", "mind")["lambda"]["grid"] == losses.card("mind")["grid"]


def test_a_dataset_changes_the_grid_beside_the_scale_but_has_an_augmentation_of_its_own() -> None:
    augmentation = {"rotation": 90, "shear": 0.1}
    study = Study.load(
        SMALL
        | {"training": {"lambda": {"scale": "raw", "grid": [1]}, "augmentation": augmentation}}
        | {"datasets": {"mni-brain": {"training": {"lambda": {"grid": [2]}, "augmentation": {"rotation": 5}}}}}
    )
    found = study.training("mni-brain", "voxelmorph", "mse")
    assert found["lambda"] == {"scale": "raw", "grid": [2]}
    assert (found["augmentation"]["rotation"], found["augmentation"]["shear"]) == (5, 0)


def test_a_loss_that_the_study_does_not_list_stays_out_unless_asked_for() -> None:
    assert Study.load(SMALL).losses == ["mse", "ncc"]


@pytest.mark.parametrize(
    ("change", "key", "facts"),
    [
        ({"only_losses": "mnd"}, "only_losses", ["'mnd'", "'mind'"]),
        ({"skip_losses": "mnd"}, "skip_losses", ["'mnd'", "'mind'"]),
        ({"only_datasets": "cells"}, "only_datasets", ["'cells'", "mni-brain"]),
        ({"lossess": {}}, "lossess", ["'losses'"]),
        ({"losses": {"ncc": {"options": {"windows": 5}}}}, "losses.ncc.options.windows", ["'window'"]),
        ({"optimisation": {"separate": ["mss"]}}, "optimisation.separate", ["'mss'", "'mse'"]),
        (
            {"datasets": {"mni-brain": {"optimisation": {"lambda": {"scale": "raw"}}}}},
            "datasets.mni-brain.optimisation.lambda.scale",
            ["same", "optimisation.lambda"],
        ),
        (
            {"methods": {"voxelmorph": {"optimisation": {"levels": 2}}}},
            "methods.voxelmorph.optimisation",
            ["'voxelmorph'", "kind", "channels_2d", "channels_3d", "norm", "dropout", "diffeomorphic"],
        ),
        (
            {"methods": {"optimisation": None}, "losses": {"ncc_sup": None}},
            "losses",
            ["'ncc_sup'", "'mni-brain'", losses.card("ncc_sup")["only_trained"]],
        ),
    ],
)
def test_refuses_in_one_line(change: dict[str, Any], key: str, facts: list[str]) -> None:
    with refused(ConfigurationError, f"c.yaml: key '{key}'", *facts):
        Study.load(SMALL | change, "c.yaml")


def starting(**starts: str) -> dict[str, Any]:
    """Make a study of optimisations by where each starts."""
    made = {name: {"kind": "optimisation", "optimisation": {"start": start}} for name, start in starts.items()}
    return {**SMALL, "methods": {"voxelmorph": None, **made}}


@pytest.mark.parametrize(
    ("starts", "where", "facts"),
    [
        ({"a": "voxelmoprh"}, ["methods.a.optimisation.start"], ["'voxelmoprh'", "'voxelmorph'"]),
        ({"a": "unregistered"}, ["methods.a.optimisation.start"], ["'unregistered'", "truth", "voxelmorph"]),
        ({"a": "a"}, ["methods.a.optimisation.start"], ["'a'", "starts from"]),
        (
            {"a": "b", "b": "a"},
            ["methods.a.optimisation.start", "methods.b.optimisation.start"],
            ["'a'", "'b'", "starts from"],
        ),
        ({"truth": "voxelmorph"}, ["methods.truth"], ["reserved", "true fields"]),
    ],
)
def test_an_optimisation_that_could_never_start_is_refused(
    starts: dict[str, str], where: list[str], facts: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Study.load(starting(**starts), "c.yaml")
    for line, key in zip(str(refusal.value).splitlines(), where, strict=True):
        told(line, f"c.yaml: key '{key}'", *facts)


def test_an_optimisation_starts_from_a_method_or_from_the_truth_where_there_is_one(tmp_path: Path) -> None:
    study = Study.load(starting(a="voxelmorph", b="a", c="truth"))
    assert [study.optimisation("mni-brain", name, "mse")["start"] for name in "abc"] == ["voxelmorph", "a", "truth"]
    own = {"own": {"folder": str(make_dataset(tmp_path / "own")), "optimisation": {"start": "truth"}}}
    with refused(ConfigurationError, "c.yaml: key 'datasets.own.optimisation.start'", "'own'", "true fields"):
        Study.load({**SMALL, "methods": {"optimisation": None}, "datasets": own}, "c.yaml")


THREE: dict[str, Any] = {"mni-brain": None, "cells": None, "mni-brain-3d": None}


def transfer(source: Any, **changes: Any) -> Study:
    variant = {"deepsim_ae": {"variants": {"moved": {"trained_on": source, "zero_mean": True}}}}
    return Study.load(SMALL | {"datasets": THREE, "losses": variant} | changes, "c.yaml")


def test_an_extractor_of_another_dataset_is_a_variant() -> None:
    study = transfer("cells", seeds=[1, 2])
    moved = [dataset for dataset, _, _, variant, seed in study.runs() if variant == "moved" and seed == 1]
    assert moved == ["mni-brain"]
    assert [bool(study.left_out(dataset, "deepsim_ae", "moved")) for dataset in THREE] == [False, True, True]
    told(study.left_out("mni-brain-3d", "deepsim_ae", "moved"), "", "extractor", "cells", "2D")
    assert study.trained_extractor("mni-brain", "deepsim_ae", "moved") == ("cells", "autoencoder")
    assert study.trained_extractor("mni-brain", "deepsim_ae", "default") == ("mni-brain", "autoencoder")
    assert set(study.pretrainings()) == {(dataset, "autoencoder", seed) for dataset in THREE for seed in (1, 2)}


def test_an_extractor_is_taken_from_a_dataset_that_is_left_out_of_the_run() -> None:
    study = transfer("cells", only_datasets="mni-brain")
    assert (study.datasets, study.prepared) == (["mni-brain"], ["mni-brain", "cells"])
    assert list(study.pretrainings()) == [("mni-brain", "autoencoder", 1), ("cells", "autoencoder", 1)]
    assert study.pretraining("cells")["channels"]


@pytest.mark.parametrize(
    ("source", "changes", "facts"),
    [
        ("cell", {}, ["'cell'", "'cells'"]),
        (3, {}, ["3", WANTED["string"], "null"]),
        ("mni-brain-3d", {}, ["'mni-brain-3d'", "3D"]),
        ("cells", {"only_datasets": "cells"}, ["'cells'", "2D"]),
        ("cells", {"only_datasets": "mni-brain-3d"}, ["'cells'", "2D"]),
    ],
    ids=str,
)
def test_an_extractor_that_cannot_be_taken_is_refused(source: Any, changes: dict[str, Any], facts: list[str]) -> None:
    with refused(ConfigurationError, "c.yaml: key 'losses.deepsim_ae.variants.moved.trained_on'", *facts):
        transfer(source, **changes)


def test_an_extractor_is_not_taken_from_where_none_can_be_trained(tmp_path: Path) -> None:
    make_dataset(tmp_path / "bare", 2, 16, with_label=False, labels=None, evaluate=None, with_landmarks=True)
    datasets = {"mni-brain": None, "bare": {"folder": str(tmp_path / "bare")}}
    losses = {"deepsim_seg": {"variants": {"moved": {"trained_on": "bare"}}}}
    with refused(ConfigurationError, "c.yaml: key 'losses.deepsim_seg.variants.moved.trained_on'", "'bare'", "labels"):
        Study.load(SMALL | {"datasets": datasets, "losses": losses}, "c.yaml")


def test_a_twin_is_drawn_by_every_seed_also_where_its_loss_is_not_random() -> None:
    chosen = {"natural": {"variants": {"shuffled": {"weights": "shuffled"}, "same": {"weights": "trained"}}}}
    study = Study.load(SMALL | {"losses": chosen, "methods": {"optimisation": None}, "seeds": [1, 2]}, "c.yaml")
    seeds = {
        variant: [run.seed for run in study.runs() if run.variant == variant] for variant in study.variants("natural")
    }
    assert seeds == {"default": [None], "shuffled": [1, 2], "same": [None]}
    assert study.published == ["efficientnet"]


def test_every_loss_whose_extractor_is_trained_can_take_that_of_another_dataset() -> None:
    names = [name for name in losses.names() if losses.card(name)["extractor"] in PRETRAINED]
    assert {"deepsim_ae", "deepsim_seg", "diffusion_indomain"} <= set(names)
    chosen = {name: {"variants": {"moved": {"trained_on": "cells"}}} for name in names if name != "deepsim_seg_half"}
    study = Study.load(SMALL | {"datasets": THREE, "losses": chosen}, "c.yaml")
    moved = {(loss, dataset) for dataset, _, loss, variant, _ in study.runs() if variant == "moved"}
    assert moved == {(loss, "mni-brain") for loss in chosen}


def test_a_variant_inside_a_mask_skips_datasets_without_masks() -> None:
    chosen = {"deepsim_ae": {"variants": {"masked": {"masked": True}}}}
    study = Study.load(SMALL | {"datasets": {"cells": None, "mni-head": None}, "losses": chosen}, "c.yaml")
    masked = [dataset for dataset, _, _, variant, _ in study.runs() if variant == "masked"]
    assert masked == ["mni-head"]
    told(study.left_out("cells", "deepsim_ae", "masked"), "", "masks")
    assert losses.requires("deepsim_ae", study.options("deepsim_ae", "masked")).keys() == {"mask"}
    assert not losses.requires("deepsim_ae", study.options("deepsim_ae", "default"))


def test_images_of_all_datasets_are_checked_at_once_and_remarked_on(tmp_path: Path) -> None:
    folders = {name: make_dataset(tmp_path / name, 3, 16) for name in ("one", "other")}
    config = SMALL | {"results": str(tmp_path / "results")}
    config |= {"datasets": {name: {"folder": str(folder)} for name, folder in folders.items()}}
    study = Study.load(config, "c.yaml")
    assert study.check_images() == []
    image = nib.load(folders["other"] / "image" / "test0.nii.gz")
    stored, affine = np.asarray(image.dataobj), image.affine
    image.set_qform(affine @ np.diag([1, -1, 1, 1]), 1)
    image.set_sform(affine, 1)
    nib.save(image, folders["other"] / "image" / "test0.nii.gz")
    (remark,) = study.check_images()
    told(remark, f"{folders['other']}/image/test0.nii.gz: ", "sform", "qform", "RAS", "RPS")
    for folder in folders.values():
        nib.save(nib.Nifti1Image(np.zeros_like(stored), affine), folder / "image" / "test0.nii.gz")
    with pytest.raises(ConfigurationError) as caught:
        study.check_images()
    for line, (name, folder) in zip(str(caught.value).splitlines(), folders.items(), strict=True):
        told(line, f"c.yaml: key 'datasets.{name}.folder': {folder}/image/test0.nii.gz: ", "constant")


@pytest.mark.parametrize(
    ("losses", "key", "known"),
    [
        ({"ncc": {"variants": {"moved": {"trained_on": "cells"}}}}, "ncc.variants.moved.trained_on", "window"),
        ({"deepsim_ae": {"options": {"trained_on": "cells"}}}, "deepsim_ae.options.trained_on", "zero_mean"),
        ({"natural": {"options": {"weights": "shuffled"}}}, "natural.options.weights", "zero_mean"),
        ({"ncc": {"variants": {"twin": {"weights": "shuffled"}}}}, "ncc.variants.twin.weights", "window"),
        (
            {"deepsim_random": {"variants": {"twin": {"weights": "untrained"}}}},
            "deepsim_random.variants.twin.weights",
            "masked",
        ),
        ({"natural": {"variants": {"twin": {"weights": "shuffle"}}}}, "natural.variants.twin.weights", "shuffled"),
    ],
    ids=str,
)
def test_only_variants_of_losses_with_such_an_extractor_take_another(losses: dict, key: str, known: str) -> None:
    with refused(ConfigurationError, f"c.yaml: key 'losses.{key}'", known):
        Study.load(SMALL | {"datasets": THREE, "losses": losses}, "c.yaml")


@pytest.mark.parametrize(
    ("hashes", "key", "facts"),
    [
        ({"vgg": "abc"}, "vgg", ["'abc'", "64"]),
        ({"vgg": {"a.pth": "abc"}}, "vgg.a.pth", ["'abc'", "64"]),
        ({"nothing": "a" * 64}, "nothing", ["'nothing'"]),
        ({"open": "a" * 64}, "open", ["2"]),
        ({"open": {"c.pth": "a" * 64}}, "open", ["'c.pth'", "'b.pth'"]),
    ],
    ids=str,
)
def test_hashes_of_nothing_are_refused(
    hashes: dict[str, Any], key: str, facts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration()  # which is made once, not of the extractors of this test
    file: dict[str, Any] = {"file": "a.pth", "url": "https://x.org/a.pth", "sha256": "1" * 64, "bytes": None}
    more = {"licence": "MIT", "by_hand": "see x.org"}
    unknown = [file | {"sha256": None}, file | {"file": "b.pth", "sha256": None}]
    (tmp_path / "known.py").write_text(f"SOURCE = {file | more}")
    (tmp_path / "open.py").write_text(f"SOURCE = {more | {'files': unknown}}")
    (tmp_path / "vgg.py").write_text(f"SOURCE = {file | more | {'sha256': None}}")
    monkeypatch.setattr(sources, "FOLDER", tmp_path)
    sources.source.cache_clear()
    try:
        with refused(ConfigurationError, f"c.yaml: key 'checkpoints.hashes.{key}'", *facts):
            Study.load(SMALL | {"checkpoints": {"hashes": hashes}}, "c.yaml")
        stated = {"open": {"a.pth": "A" * 64}, "vgg": "b" * 64, "known": "c" * 64}
        study = Study.load(SMALL | {"checkpoints": {"hashes": stated}})
        assert study.source("open").hashes == {"a.pth": "a" * 64, "b.pth": None}
        assert study.source("known").hashes == {"a.pth": "c" * 64}
    finally:
        sources.source.cache_clear()


def test_taps_are_those_of_the_stages_that_a_dataset_pretrains() -> None:
    """Counted for its dimension, and where a variant takes another dataset's extractor on that one."""
    deeper = {"pretraining": {"channels_2d": [8] * 4}}
    options = {"options": {"taps": ["middle", "up0"]}, "variants": {"fine": {"taps": ["up3"]}}}
    study = {"datasets": {"cells": deeper}, "losses": {"diffusion_indomain": options}}
    assert list(Study.load(SMALL | study).runs())
    fine = "c.yaml: key 'losses.diffusion_indomain.variants.fine"
    with refused(ConfigurationError, f"{fine}.taps'", "'mni-brain-3d'", "'up3'"):
        Study.load(SMALL | study | {"datasets": {"cells": deeper, "mni-brain-3d": deeper}}, "c.yaml")
    options["variants"]["fine"]["trained_on"] = "cells"
    with refused(ConfigurationError, f"{fine}.trained_on'", "'cells'"):
        Study.load(SMALL | study, "c.yaml")
    assert list(Study.load(SMALL | study | {"datasets": {"cells": deeper, "mni-brain": None}}).runs())


LNCC: dict[str, Any] = {"comparator": "lncc"}


@pytest.mark.parametrize(
    ("entry", "idle"),
    [
        ({"options": {**LNCC, "sigma": 2.0}, "variants": {"cosine": {"comparator": "cosine"}}}, ""),
        ({"options": {"sigma": 2.0}, "variants": {"lncc": LNCC}}, ""),
        ({"options": {"sigma": 2.0}, "variants": {"lncc": {**LNCC, "sigma": 3.0}}}, "options.sigma"),
        ({"options": LNCC, "variants": {"wide": {"sigma": 8.0}}}, ""),
        ({"options": LNCC, "variants": {"zero": {"zero_mean": True}}}, "variants.zero.zero_mean"),
        ({"options": {**LNCC, "zero_mean": False}, "variants": {"cosine": {"comparator": "cosine", "sigma": 4.0}}}, ""),
        ({"options": {"zero_mean": True}, "variants": {"l": {**LNCC, "zero_mean": True}}}, "variants.l.zero_mean"),
    ],
    ids=str,
)
def test_an_option_is_refused_where_it_changes_nothing(entry: dict[str, Any], idle: str) -> None:
    """What is inherited, and what the default is anyway, may stay idle."""
    study = SMALL | {"losses": {"deepsim_ae": entry}}
    if not idle:
        assert list(Study.load(study).runs())
        return
    with refused(ConfigurationError, f"c.yaml: key 'losses.deepsim_ae.{idle}'", "comparator", "'cosine'", "'lncc'"):
        Study.load(study, "c.yaml")


@pytest.mark.parametrize(
    ("name", "source", "facts"),
    [
        ("stable_diffusion", "owner/model", ["'owner/model'"]),
        ("stable_diffusion", "owner/../x@1", ["'owner/../x@1'"]),
        ("stable_diffusion", "model@1", ["'model@1'"]),
        ("stable_diffusion", None, [WANTED["string"]]),
        ("vgg", "owner/model@1", ["'vgg'", "Hugging Face", "stable_diffusion"]),
        ("nothing", "owner/model@1", ["'nothing'", "Hugging Face", "stable_diffusion"]),
        ("segmentation", "owner/model@1", ["'segmentation'", "Hugging Face", "stable_diffusion"]),
    ],
)
def test_sources_that_are_no_model_on_the_hub_are_refused(name: str, source: str | None, facts: list[str]) -> None:
    with refused(ConfigurationError, f"c.yaml: key 'checkpoints.sources.{name}'", *facts):
        Study.load(SMALL | {"checkpoints": {"sources": {name: source}}}, "c.yaml")


def test_another_model_on_the_hub_has_hashes_of_its_own() -> None:
    said = {
        "sources": {"stable_diffusion": "owner/model@1f"},
        "hashes": {"stable_diffusion": {"vae/config.json": "A" * 64}},
    }
    found = Study.load(SMALL | {"checkpoints": said}).source("stable_diffusion")
    assert {file.url for file in found.files} == {
        f"https://huggingface.co/owner/model/resolve/1f/{file.name}"
        for file in Study.load(SMALL).source("stable_diffusion").files
    }
    assert {name for name, digest in found.hashes.items() if digest} == {"vae/config.json"}
    assert all(file.size is None for file in found.files)


@pytest.mark.parametrize("name", ["config.yaml", "smoke.yaml"])
def test_no_default_study_needs_published_weights(name: str) -> None:
    assert Study.load(yaml.safe_load((CONFIG / name).read_text())).published == []
