"""Modules that tests add to a copy of the library: a network, a method, a built-in dataset, a metric and a figure."""

NETWORK = '''"""One convolution: a network that hardly registers."""

import torch
from torch import nn

CARD = {
    "title": "One convolution",
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
from likeness.runtime.atomic import atomic_write

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
    with atomic_write(folder) as temporary:
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
METRIC = '''"""Largest Jacobian determinant: how much the most stretched voxel grows."""

from __future__ import annotations

from likeness.metrics.base import Registered

CARD = {
    "title": "Largest stretch",
    "unit": "1",
    "range": [None, None],
    "doi": None,
    "better": "lower",
    "rank": 15,
}


def score(registered: Registered) -> float:
    """Give the largest determinant of the whole image."""
    return float(registered.determinants.max())
'''
FIGURE = '''"""How many scores there are of every metric."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from likeness.figures import style

CARD = {"reads": ["metrics"], "caption": "**Counts.** Scores of every metric."}


@style.paper()
def draw(metrics: pd.DataFrame) -> Figure:
    """Draw a bar for every metric."""
    figure, (axes,) = style.grid(1, (5.0, 2.5))
    counts = metrics.metric.value_counts()
    axes.barh([style.metric_label(str(name)) for name in counts.index], counts)
    return figure
'''
METHOD = '''"""Shift of the whole moving image, found by phase correlation, a fraction of which is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

CARD = {
    "title": "Shift",
    "order": 850,
    "colour": "#7f3c8d",
    "marker": "P",
    "uses_loss": False,
    "has_lam": True,
    "seeded": False,
    "trained": False,
    "optimised": False,
    "settings": {
        "damping": {
            "description": "How much less than the whole shift is used.",
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "minItems": 1,
            "default": [0.5, 0],
        },
        "limit": {
            "description": "Longest shift in voxels.",
            "type": "number",
            "minimum": 0,
            "maximum": 100,
            "default": 5,
        },
    },
    "path": "damping",
}


def register(
    moving: Tensor, fixed: Tensor, spacing: Sequence[float], variant: None, lam: float, folder: Path, limit: float
) -> np.ndarray:
    """Register one pair; the field is the same everywhere."""
    one, other = (np.fft.fftn(image.numpy()[0]) for image in (moving, fixed))
    cross = np.fft.ifftn(one * np.conj(other) / np.maximum(np.abs(one * other), 1e-12)).real
    shift = np.array(np.unravel_index(cross.argmax(), cross.shape), float)
    shift -= np.where(shift > np.array(cross.shape) / 2, cross.shape, 0)
    length = max(np.linalg.norm(shift), 1e-12)
    shift *= (1 - lam) * min(length, limit) / length
    return np.broadcast_to(shift, (*cross.shape, len(spacing))).astype(np.float32)
'''
"""A classical method, in one file."""
