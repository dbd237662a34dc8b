"""A configuration is completed or refused, in one sentence, before any job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import make_dataset

from likeness import losses
from likeness.config.entries import configuration
from likeness.config.study import Study
from likeness.extractors import sources
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
        with pytest.raises(ConfigurationError, match=rf"datasets\.[\w-]+\.folder': {folder}: no such folder"):
            Study.load(config, path.name)
        make_dataset(tmp_path / folder, dims=2, size=16)
    assert list(Study.load(config, path.name).runs())


def test_the_refusal_of_a_missing_folder_names_file_key_and_fix(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as refusal:
        Study.load(yaml.safe_load((CONFIG / "evidence.yaml").read_text()), "evidence.yaml")
    assert str(refusal.value).splitlines() == [
        f"evidence.yaml: key 'datasets.{name}.folder': data/{name}: no such folder; "
        "name a folder that contains dataset.yaml and images.csv"
        for name in ("em-drosophila", "phc-t98g", "brain-ptbp")
    ]


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
    ("change", "message"),
    [
        ({"only_losses": "mnd"}, "c.yaml: key 'only_losses': the study has no 'mnd'; did you mean 'mind'?"),
        (
            {"only_datasets": "cells"},
            "c.yaml: key 'only_datasets': the study has no 'cells'; use one of mni-brain",
        ),
        ({"lossess": {}}, "c.yaml: key 'lossess' is unknown; did you mean 'losses'?"),
        (
            {"losses": {"ncc": {"options": {"windows": 5}}}},
            "c.yaml: key 'losses.ncc.options.windows' is unknown; did you mean 'window'?",
        ),
        (
            {"optimisation": {"separate": ["mss"]}},
            "c.yaml: key 'optimisation.separate': the study has no loss 'mss'; did you mean 'mse'?",
        ),
        (
            {"datasets": {"mni-brain": {"optimisation": {"lambda": {"scale": "raw"}}}}},
            "c.yaml: key 'datasets.mni-brain.optimisation.lambda.scale': the scale must be the same for all datasets; "
            "set it under `optimisation.lambda`",
        ),
        (
            {"methods": {"voxelmorph": {"optimisation": {"levels": 2}}}},
            "c.yaml: key 'methods.voxelmorph.optimisation' is unknown to 'voxelmorph'; use one of kind, "
            "channels_2d, channels_3d, norm, dropout, diffeomorphic",
        ),
        (
            {"methods": {"optimisation": None}, "losses": {"ncc_sup": None}},
            "c.yaml: key 'losses': no loss applies to any dataset, 'ncc_sup' not to 'mni-brain': "
            f"{losses.card('ncc_sup')['only_trained']}; add another",
        ),
    ],
)
def test_refuses_in_one_sentence(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Study.load(SMALL | change, "c.yaml")
    assert str(refusal.value) == message


def starting(**starts: str) -> dict[str, Any]:
    """Make a study of optimisations by where each starts."""
    made = {name: {"kind": "optimisation", "optimisation": {"start": start}} for name, start in starts.items()}
    return {**SMALL, "methods": {"voxelmorph": None, **made}}


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        (
            {"a": "voxelmoprh"},
            "'methods.a.optimisation.start': the study has no method 'voxelmoprh'; did you mean",
        ),
        (
            {"a": "unregistered"},
            "'methods.a.optimisation.start': the study has no method 'unregistered'; use one of",
        ),
        ({"a": "a"}, "'methods.a.optimisation.start': 'a', which starts from 'a'; one of them has to start elsewhere"),
        (
            {"a": "b", "b": "a"},
            "'methods.a.optimisation.start': 'a', which starts from 'b', which starts from 'a'; one",
        ),
        ({"truth": "voxelmorph"}, "'methods.truth': the name is reserved for the true fields; choose another"),
    ],
)
def test_an_optimisation_that_could_never_start_is_refused(starts: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Study.load(starting(**starts), "c.yaml")
    assert str(refusal.value).startswith(f"c.yaml: key {message}")


def test_an_optimisation_starts_from_a_method_or_from_the_truth_where_there_is_one(tmp_path: Path) -> None:
    study = Study.load(starting(a="voxelmorph", b="a", c="truth"))
    assert [study.optimisation("mni-brain", name, "mse")["start"] for name in "abc"] == ["voxelmorph", "a", "truth"]
    own = {"own": {"folder": str(make_dataset(tmp_path / "own")), "optimisation": {"start": "truth"}}}
    with pytest.raises(ConfigurationError, match=r"'datasets\.own\.optimisation\.start': 'own' has no true fields"):
        Study.load({**SMALL, "methods": {"optimisation": None}, "datasets": own})


THREE: dict[str, Any] = {"mni-brain": None, "cells": None, "mni-brain-3d": None}


def transfer(source: Any, **changes: Any) -> Study:
    variant = {"deepsim_ae": {"variants": {"moved": {"trained_on": source, "zero_mean": True}}}}
    return Study.load(SMALL | {"datasets": THREE, "losses": variant} | changes, "c.yaml")


def test_an_extractor_of_another_dataset_is_a_variant() -> None:
    study = transfer("cells", seeds=[1, 2])
    moved = [dataset for dataset, _, _, variant, seed in study.runs() if variant == "moved" and seed == 1]
    assert moved == ["mni-brain"]
    assert [bool(study.left_out(dataset, "deepsim_ae", "moved")) for dataset in THREE] == [False, True, True]
    assert study.left_out("mni-brain-3d", "deepsim_ae", "moved") == (
        "The extractor of the variant was trained on cells, which has 2D images."
    )
    assert study.trained_extractor("mni-brain", "deepsim_ae", "moved") == ("cells", "autoencoder")
    assert study.trained_extractor("mni-brain", "deepsim_ae", "default") == ("mni-brain", "autoencoder")
    assert set(study.pretrainings()) == {(dataset, "autoencoder", seed) for dataset in THREE for seed in (1, 2)}


def test_an_extractor_is_taken_from_a_dataset_that_is_left_out_of_the_run() -> None:
    study = transfer("cells", only_datasets="mni-brain")
    assert (study.datasets, study.prepared) == (["mni-brain"], ["mni-brain", "cells"])
    assert list(study.pretrainings()) == [("mni-brain", "autoencoder", 1), ("cells", "autoencoder", 1)]
    assert study.pretraining("cells")["channels"]


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ("cell", {}, "the study has no dataset 'cell'; did you mean 'cells'?"),
        (3, {}, "3 is not a text; give one, the default is null"),
        (
            "mni-brain-3d",
            {},
            "no dataset of this run other than 'mni-brain-3d' has 3D images like it; name another",
        ),
        ("cells", {"only_datasets": "cells"}, "no dataset of this run other than 'cells' has 2D images"),
        ("cells", {"only_datasets": "mni-brain-3d"}, "no dataset of this run other than 'cells' has 2D images"),
    ],
    ids=str,
)
def test_an_extractor_that_cannot_be_taken_is_refused(source: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        transfer(source, **changes)
    assert str(refusal.value).startswith(f"c.yaml: key 'losses.deepsim_ae.variants.moved.trained_on': {message}")


def test_an_extractor_is_not_taken_from_where_none_can_be_trained(tmp_path: Path) -> None:
    make_dataset(tmp_path / "bare", 2, 16, with_label=False, labels=None, evaluate=None, with_landmarks=True)
    datasets = {"mni-brain": None, "bare": {"folder": str(tmp_path / "bare")}}
    losses = {"deepsim_seg": {"variants": {"moved": {"trained_on": "bare"}}}}
    with pytest.raises(ConfigurationError, match="no extractor can be trained on 'bare': its feature extractor learns"):
        Study.load(SMALL | {"datasets": datasets, "losses": losses})


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"ncc": {"variants": {"moved": {"trained_on": "cells"}}}}, "moved.trained_on' is unknown; use one of window"),
        ({"deepsim_ae": {"options": {"trained_on": "cells"}}}, "options.trained_on' is unknown; use one of"),
    ],
    ids=str,
)
def test_only_variants_of_losses_whose_extractor_is_trained_take_another(losses: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Study.load(SMALL | {"datasets": THREE, "losses": losses})


@pytest.mark.parametrize(
    ("hashes", "message"),
    [
        (
            {"vgg": "abc"},
            "key 'checkpoints.hashes.vgg': 'abc' contains characters that are not allowed here; use 64 hexadecimal",
        ),
        ({"vgg": {"a.pth": "abc"}}, "key 'checkpoints.hashes.vgg.a.pth': 'abc' contains characters that are not"),
        (
            {"nothing": "a" * 64},
            "key 'checkpoints.hashes.nothing': there is no extractor 'nothing' with published weights",
        ),
        ({"open": "a" * 64}, "key 'checkpoints.hashes.open': open has 2 files; give a block with the hash of each"),
        ({"open": {"c.pth": "a" * 64}}, "key 'checkpoints.hashes.open': open has no file 'c.pth'; did you mean '"),
    ],
    ids=str,
)
def test_hashes_of_nothing_are_refused(
    hashes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        with pytest.raises(ConfigurationError) as refusal:
            Study.load(SMALL | {"checkpoints": {"hashes": hashes}}, "c.yaml")
        assert str(refusal.value).startswith(f"c.yaml: {message}")
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
    with pytest.raises(
        ConfigurationError, match=r"fine\.taps': the extractor trained on 'mni-brain-3d' has no tap 'up3'"
    ):
        Study.load(SMALL | study | {"datasets": {"cells": deeper, "mni-brain-3d": deeper}})
    options["variants"]["fine"]["trained_on"] = "cells"
    with pytest.raises(ConfigurationError, match=r"no dataset of this run other than 'cells'"):
        Study.load(SMALL | study)
    assert list(Study.load(SMALL | study | {"datasets": {"cells": deeper, "mni-brain": None}}).runs())


LNCC: dict[str, Any] = {"comparator": "lncc"}


@pytest.mark.parametrize(
    ("entry", "refused"),
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
def test_an_option_is_refused_where_it_changes_nothing(entry: dict[str, Any], refused: str) -> None:
    """What is inherited, and what the default is anyway, may stay idle."""
    study = SMALL | {"losses": {"deepsim_ae": entry}}
    if not refused:
        assert list(Study.load(study).runs())
        return
    with pytest.raises(ConfigurationError, match=f"'losses.deepsim_ae.{refused}': has no effect while `comparator` is"):
        Study.load(study)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (
            {"stable_diffusion": "owner/model"},
            "key 'checkpoints.sources.stable_diffusion': 'owner/model' contains characters that ",
        ),
        (
            {"stable_diffusion": "owner/../x@1"},
            "key 'checkpoints.sources.stable_diffusion': 'owner/../x@1' contains characters ",
        ),
        (
            {"stable_diffusion": "model@1"},
            "key 'checkpoints.sources.stable_diffusion': 'model@1' contains characters that are ",
        ),
        ({"stable_diffusion": None}, "key 'checkpoints.sources.stable_diffusion': it is empty; give a text"),
        (
            {"vgg": "owner/model@1"},
            "key 'checkpoints.sources.vgg': the weights of 'vgg' do not come from a Hugging Face ",
        ),
        (
            {"nothing": "owner/model@1"},
            "key 'checkpoints.sources.nothing': the weights of 'nothing' do not come from a Hugging ",
        ),
        (
            {"segmentation": "owner/model@1"},
            "key 'checkpoints.sources.segmentation': the weights of 'segmentation' do not ",
        ),
    ],
    ids=str,
)
def test_sources_that_are_no_model_on_the_hub_are_refused(sources: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Study.load(SMALL | {"checkpoints": {"sources": sources}}, "c.yaml")
    assert str(refusal.value).startswith(f"c.yaml: {message}")


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
