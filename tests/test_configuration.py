"""A configuration is completed or refused, in one sentence, before any job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import make_dataset

from likeness import losses
from likeness.configuration import ConfigurationError, Study

CONFIG = Path(__file__).parents[1] / "config"
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


def test_the_refusal_of_a_missing_folder_names_file_key_and_mend(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as refusal:
        Study.load(yaml.safe_load((CONFIG / "evidence.yaml").read_text()), "evidence.yaml")
    assert str(refusal.value) == (
        "evidence.yaml: key 'datasets.em-drosophila.folder': data/em-drosophila: no such folder; "
        "name a folder that holds dataset.yaml and subjects.csv"
    )


@pytest.mark.parametrize("name", ["evidence.yaml", "paper.yaml"])
def test_what_claims_rest_on_compares_every_first_loss(name: str) -> None:
    nine = {"mse", "mse_masked", "ncc", "ncc_masked", "ncc_sup", "nmi", "mind", "deepsim_ae", "deepsim_seg"}
    config = yaml.safe_load((CONFIG / name).read_text())
    assert set(config["losses"]) == nine
    assert not config.get("demonstration")


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
    assert study.training("mni-brain", "voxelmorph", "mind")["grid"] == losses.card("mind")["grid"]


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
            "c.yaml: key 'losses.ncc.options.windows': loss 'ncc' has no such option; did you mean 'window'?",
        ),
    ],
)
def test_refuses_in_one_sentence(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Study.load(SMALL | change, "c.yaml")
    assert str(refusal.value) == message
