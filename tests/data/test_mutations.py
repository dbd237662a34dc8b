"""Random edits of a valid configuration, dataset or image: taken, and then it works, or refused in one sentence.

``MUTATIONS=20000 pytest tests/data/test_mutations.py`` tries that many of each kind, others every time.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mutations
import nibabel as nib
import numpy as np
import pytest
import tifffile
import yaml
from builders import make_dataset
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from project import copy_project
from snakemake.common.configfile import load_configfile

from likeness.config import dataset_file
from likeness.config.study import Study, read
from likeness.data import contents, landmarks, layout
from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.evaluation.table import score_unregistered
from likeness.extractors import sources
from likeness.imageio import formats, images
from likeness.planning.forecast import forecast, plan
from likeness.results import Run
from likeness.runtime.published import File, Source
from likeness.userinput.errors import ConfigurationError, DatasetError

ASKED = "MUTATIONS" in os.environ
EXAMPLES = int(os.environ.get("MUTATIONS", "150"))
mutated = settings(
    max_examples=EXAMPLES,
    derandomize=not ASKED,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

CONFIG: dict[str, Any] = {
    "title": "Mutations",
    "demonstration": True,
    "results": "results/mutations",
    "seeds": [1, 2],
    "threads": 1,
    "keep_fields": False,
    "only_losses": "",
    "skip_losses": "",
    "only_datasets": "",
    "datasets": {
        "own": {"folder": "own", "seed": 3, "training": {"steps": 5, "augmentation": {"rotation": 10, "flip": True}}},
        "head": {"recipe": "mni-head", "options": {"train": 8, "val": 4, "test": 6, "dose": 50.0, "lesion": True}},
        "cells": {"options": {"size": 64, "binning": 2, "sections": 2}, "pretraining": {"channels_2d": [4, 8, 8]}},
        "mni-brain-3d": None,
    },
    "losses": {
        "mse": None,
        "mse_masked": {"lambda": {"grid": [0.1, 1]}},
        "ncc": {"options": {"window": 7}, "variants": {"wide": {"window": 15}}},
        "mind": {"options": {"radius": 1, "dilation": 1}},
        "nmi": {"variants": {"few": {"bins": 16}}},
        "deepsim_seg": {"options": {"levels": [0, 1]}, "variants": {"moved": {"trained_on": "cells"}}},
        "deepsim_vgg": None,
        "ncc_sup": {},
    },
    "methods": {"voxelmorph": {"channels_2d": [8, 16], "channels_3d": [4, 8], "norm": "none", "dropout": 0.1}},
    "training": {
        "steps": 10,
        "batch": 2,
        "learning_rate": 0.001,
        "validate_every": 5,
        "patience": 0,
        "lambda": {"scale": "balanced", "grid": [0.1, 0.3, 1]},
        "augmentation": {"scale": [0.9, 1.1], "shear": 0.03, "translation": 0.05},
        "precision": "32-true",
    },
    "pretraining": {"steps": 10, "channels_2d": [8, 16, 16], "norm": "batch"},
    "checkpoints": {
        "folder": "data/checkpoints",
        "sources": {"stable_diffusion": "owner/model@1f"},
        "hashes": {"vgg": {"b.pth": "b" * 64}},
    },
    "statistics": {"simulations": 500, "confidence": 0.95},
}
FILES = (File("a.pth", "https://x.org/a", "a" * 64, 5), File("b.pth", "https://x.org/b", None, None))
UNKNOWN = Source("vgg", FILES, "vgg", "MIT", "see x.org")
"""Published weights of which the project does not know every hash."""


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Stand in a folder with a small dataset that has everything."""
    folder = tmp_path_factory.mktemp("mutations")
    parts = {f"with_{part}": True for part in ("mask", "instances", "unmatched", "field", "landmarks")}
    make_dataset(folder / "own", size=16, images={"train": 3, "val": 3, "test": 3}, **parts)
    complete(folder / "own")
    before, known = Path.cwd(), sources.source
    os.chdir(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "source", lambda name: UNKNOWN if name == "vgg" else known(name))
        yield folder
    os.chdir(before)


def complete(folder: Path) -> None:
    """Give the dataset the keys and columns that are not a must, so that they are edited too."""
    meta = yaml.safe_load((folder / "dataset.yaml").read_text())
    meta |= {
        "kinds": {"inside": [1, 2]},
        "background": 0,
        "intensity": {"rule": "quantile", "low": 0.01, "high": 0.99, "shared_by": "subject"},
        "pairs": {"within": "group", "different": "subject", "max_gap": 5, "moving": {"modality": "a"}, "max_pairs": 4},
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(meta, sort_keys=False))
    lines = (folder / "images.csv").read_text().splitlines()
    more = ["modality,group,position,subject,scanner", *(f"a,g,{n},p{n},s" for n in range(len(lines) - 1))]
    (folder / "images.csv").write_text("\n".join(map(",".join, zip(lines, more, strict=True))) + "\n")
    (folder / "pairs.csv").write_text("split,moving,fixed\ntest,test1,test0\ntest,test0,test2\n")


def holds(message: str, file: str) -> None:
    """A refusal has a line for everything that is wrong, which begins with the file."""
    for line in message.splitlines():
        assert line.startswith(file), message
    assert message
    message.encode()


def run(path: Path) -> Study | None:
    """Load a configuration and everything that the workflow asks it for; nothing if it is refused."""
    try:
        config = read(path)
        study = Study.load(config, path.name)
    except ConfigurationError as error:
        holds(str(error), path.name)
        return None
    assert repr(load_configfile(path)) == repr(config), "Snakemake reads another configuration"
    for run in study.runs():
        assert run.loss
        assert run.variant
        said = [study.training(run.dataset, run.method, run.loss), study.options(run.loss, run.variant)]
        json.dumps(said, allow_nan=False)
    assert all(said.isprintable() for said in study.missing_checkpoints())
    json.dumps([study.source(name).plain() for name in study.published])
    for dataset in study.prepared:
        json.dumps(study.pretraining(dataset), allow_nan=False)
        for loss in study.losses:
            assert study.inapplicable(dataset, loss) is None or study.inapplicable(dataset, loss)
    expected = forecast(plan(study))
    assert 0 < expected.peak_gb(1) < math.inf
    return study


def test_the_configuration_is_a_valid_one() -> None:
    Path("c.yaml").write_bytes(mutations.written(CONFIG))
    study = run(Path("c.yaml"))
    assert study is not None
    assert len(list(study.runs())) > 30


@mutated
@given(content=mutations.documents(CONFIG).map(mutations.written))
def test_a_configuration_with_other_values_runs_or_is_refused(content: bytes) -> None:
    Path("c.yaml").write_bytes(content)
    run(Path("c.yaml"))


@mutated
@given(content=mutations.scribbled(mutations.written(CONFIG).decode()))
def test_a_configuration_with_other_characters_runs_or_is_refused(content: bytes) -> None:
    Path("c.yaml").write_bytes(content)
    run(Path("c.yaml"))


def prepared(folder: Path) -> bool:
    """Check and prepare a dataset and score its unregistered pairs; false if it is refused."""
    try:
        dataset_file.check(folder)
        contents.check(folder)
    except DatasetError as error:
        holds(str(error), str(folder))
        return False
    able = layout.capabilities(folder)
    assert set(able["parts"]) | set(able["partly"]) <= {*layout.FILES, "labels"}
    layout.states(folder)
    shutil.rmtree("prepared", ignore_errors=True)
    prepare(folder, "prepared", 1, "own")
    dataset = Dataset.open("prepared")
    assert set(dataset.images.split) == {"train", "val", "test"}
    for id in dataset.images.index:
        image = dataset.load(id).image
        assert np.isfinite(image).all()
        assert image.min() < image.max()
    assert all(dataset.pairs_of(split) for split in ("train", "val", "test"))
    scores = score_unregistered(dataset, Run(dataset.name, "unregistered"))
    assert set(scores.split) == {"val", "test"}
    assert set(scores.metric[scores.split == "val"]) >= {dataset.primary}
    return True


@pytest.fixture(scope="module")
def tables(place: Path) -> dict[str, bytes]:
    return {name: (place / "own" / name).read_bytes() for name in ("dataset.yaml", "images.csv", "pairs.csv")}


def test_the_dataset_is_a_valid_one() -> None:
    assert prepared(Path("own"))


@mutated
@given(data=st.data())
def test_an_edited_dataset_is_prepared_or_refused(data: st.DataObject, tables: dict[str, bytes]) -> None:
    name = data.draw(st.sampled_from(list(tables)))
    text = tables[name].decode()
    if name == "dataset.yaml":
        edited = mutations.documents(yaml.safe_load(text)).map(mutations.written)
    else:
        edited = mutations.tables(text)
    content = data.draw(edited | mutations.scribbled(text))
    try:
        (Path("own") / name).write_bytes(content)
        prepared(Path("own"))
    finally:
        (Path("own") / name).write_bytes(tables[name])


@pytest.fixture(scope="module")
def files(place: Path) -> dict[str, bytes]:
    """Give one file of each kind that images are read from."""
    folder = place / "kinds"
    folder.mkdir()
    values = (np.arange(16 * 16) % 200).reshape(16, 16).astype(np.uint16)
    volume = np.repeat(values[:, :, None], 4, 2)
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    shutil.copyfile(place / "own" / "image" / "train0.png", folder / "a.png")
    tifffile.imwrite(folder / "a.tif", values)
    tifffile.imwrite(folder / "b.tif", values, compression="zlib")
    nib.save(nib.Nifti1Image(volume, affine), folder / "a.nii")
    nib.save(nib.Nifti1Image(volume, affine), folder / "a.nii.gz")
    np.savez(folder / "a.npz", displacement=np.zeros((16, 16, 2), np.float32))
    np.savez_compressed(folder / "b.npz", displacement=np.zeros((16, 16, 2), np.float32))
    shutil.copyfile(place / "own" / "landmarks" / "train0.csv", folder / "a.csv")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@mutated
@given(data=st.data())
def test_a_damaged_image_is_read_or_refused(data: st.DataObject, files: dict[str, bytes]) -> None:
    name = data.draw(st.sampled_from(sorted(files)))
    path = Path("kinds") / name
    grid = images.Grid((16, 16), (0, 1), (False, False))
    path.write_bytes(data.draw(mutations.damaged(files[name])))
    try:
        if name.endswith(".npz"):
            assert images.read_field(path, grid).shape == (16, 16, 2)
        elif name.endswith(".csv"):
            assert landmarks.read(path, grid).shape[1] == 2
        else:
            assert images.read(path, 3 if ".nii" in name else 2)[0].size <= formats.MOST_VOXELS
    except DatasetError as error:
        holds(str(error), str(path))


@pytest.mark.slow
def test_mutated_configurations_that_are_taken_become_a_plan(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Snakemake plans the jobs of every one that ``Study.load`` takes."""
    project = copy_project(tmp_path_factory.mktemp("plans") / "project")
    shutil.copytree("own", project / "own")
    # read, not imported
    module = project / "workflow" / "lib" / "likeness" / "extractors" / "vgg.py"
    files = [{"file": file.name, "url": file.url, "sha256": file.sha256, "bytes": file.size} for file in FILES]
    source = {"files": files, "licence": UNKNOWN.licence, "by_hand": UNKNOWN.by_hand}
    module.write_text(f"SOURCE = {source}\n{module.read_text()}")
    planned = []

    @settings(mutated, max_examples=max(3, EXAMPLES // 200))
    @given(content=mutations.documents(CONFIG, most=6).map(mutations.written))
    def plan(content: bytes) -> None:
        path = Path("c.yaml")
        path.write_bytes(content)
        study = run(path)
        assume(study is not None and study.config != planned[-1:])
        shutil.copyfile(path, project / "config" / "c.yaml")
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all", "--configfile", "config/c.yaml"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{content.decode()}\n{done.stderr}"
        planned.append(study)

    plan()
    assert len(planned) >= 3
