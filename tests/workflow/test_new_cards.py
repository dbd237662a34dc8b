"""Another network and another built-in dataset are one file each: found by their names, checked and run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from project import copy_project, snakemake

NETWORK = '''"""One convolution: a network that hardly registers."""

import torch
from torch import nn

CARD = {
    "title": "One convolution",
    "order": 150,
    "colour": "#445566",
    "marker": "P",
    "uses_loss": True,
    "has_lam": True,
    "seeded": True,
    "trained": True,
    "optimised": False,
    "settings": {
        "kernel": {"description": "Width of the kernel.", "type": "integer", "odd": True, "minimum": 1, "default": 3},
        "scale_2d": {"description": "Of the displacement in 2D.", "type": "number", "minimum": 0, "default": 1},
        "scale_3d": {"description": "Of the displacement in 3D.", "type": "number", "minimum": 0, "default": 2},
    },
}


class Convolution(nn.Module):
    def __init__(self, shape, *, kernel, scale):
        super().__init__()
        self.scale = scale
        self.layer = (nn.Conv2d if len(shape) == 2 else nn.Conv3d)(2, len(shape), kernel, padding=kernel // 2)

    def forward(self, moving, fixed):
        return self.scale * self.layer(torch.cat([moving, fixed], 1))


build = Convolution
'''
DATASET = '''"""Bars at random places."""

import numpy as np

from likeness.datasets.writing import write_sample, write_tables
from likeness.runtime.atomic import whole

CARD = {
    "parts": ["image", "label"],
    "labels": 2,
    "extent": ["side", "side"],
    "step": "step",
    "multiple": 1,
    "images_per_subject": 1,
    "pairs_per_subject": 1,
    "limits": {
        "train": {"minimum": 2, "maximum": 9},
        "val": {"minimum": 2, "maximum": 9},
        "test": {"minimum": 2, "maximum": 9},
        "side": {"minimum": 16, "maximum": 256},
        "step": {"enum": [1, 2]},
    },
}


def make(folder, *, seed, train=3, val=2, test=2, side=32, step=1):
    meta = {
        "name": "some-bars",
        "spatial_dims": 2,
        "spacing": [step, step],
        "spacing_unit": "px",
        "labels": {0: "background", 1: "bar"},
        "evaluate": [1],
        "pairs": {"max_pairs": 2},
    }
    with whole(folder) as temporary:
        temporary.mkdir()
        rows = []
        for split, count in {"train": train, "val": val, "test": test}.items():
            for number in range(count):
                random = np.random.default_rng([seed, len(split), number])
                bar = np.zeros((side // step, side // step), int)
                start = random.integers(4, 12)
                bar[start : start + 6] = 1
                image = 0.2 + 0.5 * bar + 0.05 * random.standard_normal(bar.shape)
                row = write_sample(temporary, f"{split}{number}", (step, step), image=image, label=bar)
                rows.append({**row, "split": split})
        write_tables(temporary, meta, rows, [])
'''
STUDY = {
    "title": "New",
    "results": "results/new",
    "datasets": {"some-bars": {"options": {"side": 24}}},
    "losses": {"mse": None},
    "methods": {"convolution": {"kernel": 5}},
    "training": {"steps": 4, "batch": 2, "validate_every": 2, "lambda": {"grid": [1]}},
    "statistics": {"resamples": 200},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copy_project(tmp_path_factory.mktemp("cards") / "project")
    library = project / "workflow" / "lib" / "likeness"
    (library / "networks" / "convolution.py").write_text(NETWORK)
    (library / "datasets" / "some_bars.py").write_text(DATASET)
    (project / "config" / "new.yaml").write_text(yaml.safe_dump(STUDY))
    return project


@pytest.mark.slow
def test_a_new_network_registers_a_new_dataset(project: Path) -> None:
    snakemake(project, "new", "--cores", "1", "results/new/tables/summary.csv")
    table = pd.read_csv(project / "results" / "new" / "tables" / "summary.csv")
    assert {"convolution", "unregistered"} <= set(table.method)
    assert set(table.dataset) == {"some-bars"}


def check(project: Path, **changes: object) -> subprocess.CompletedProcess[str]:
    (project / "config" / "other.yaml").write_text(yaml.safe_dump(STUDY | changes))
    command = [sys.executable, "workflow/tools/check.py", "--quick", "--configfile", "config/other.yaml"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_what_their_cards_do_not_allow_is_refused_and_the_rest_is_planned(project: Path) -> None:
    wrong = {"datasets": {"some-bars": {"options": {"side": 8}}}, "methods": {"convolution": {"kernel": 4, "width": 1}}}
    assert check(project, **wrong).stderr.splitlines() == [
        "config/other.yaml: key 'datasets.some-bars.options.side': 8 is too small; give at least 16, the default is 32",
        "config/other.yaml: key 'methods.convolution.kernel': 4 is even; give an odd number (width of the kernel)",
        "config/other.yaml: key 'methods.convolution.width' is unknown to 'convolution'; use one of kind, kernel, "
        "scale_2d, scale_3d",
    ]
    planned = check(project, results="results/other")
    assert planned.returncode == 0, planned.stderr
    assert "train_mse" in planned.stdout


def test_documentation_tells_of_them(project: Path) -> None:
    subprocess.run([sys.executable, "workflow/tools/docs.py"], cwd=project, check=True)
    page = (project / "docs" / "configuration.md").read_text()
    assert "| `kernel` | convolution | integer ≥ 1 | `3` | Width of the kernel. |" in page
    assert "| `options.side` | some-bars | integer ≥ 16, ≤ 256 | `32` |  |" in page
