"""``mni-brain-3d``: small volumes of simulated brains: does the loss work in 3D? A stress test."""

from __future__ import annotations

from pathlib import Path

from likeness.datasets.mni_brain import write_subject
from likeness.datasets.simulate import mni
from likeness.datasets.simulate.cohort import grouped, rings
from likeness.datasets.simulate.views import VOLUME, shape
from likeness.datasets.writing import write_tables
from likeness.runtime.atomic import atomic_write

CARD = {
    "parts": ["image", "label", "mask", "field"],
    "labels": 28,
    "extent": [160, 192, 160],
    "step": "spacing",
    "multiple": 8,
    "images_per_subject": 1,
    "pairs_per_subject": 1,
    "limits": {
        "train": {"minimum": 3, "maximum": 100_000},
        "val": {"minimum": 3, "maximum": 100_000},
        "test": {"minimum": 3, "maximum": 100_000},
        "spacing": {"enum": [2, 3, 4, 5]},
    },
}

GREY, WHITE = 10, 3
"""Number of parcels of grey and of white matter on each side."""

NOTE = (
    "Stress test, not evidence: all subjects come from one template, whose intensities almost determine the tissue, "
    "which favours intensity losses, and train, validation and test differ in the simulated subjects only: the split "
    "is nominal. field is the true displacement into the template; true warps mix scales of 4 to 32 mm and a ventricle "
    "dilation. Labels are Voronoi parcels of grey and white matter, split by hemisphere."
)


def make(folder: Path, *, seed: int, train: int = 20, val: int = 8, test: int = 24, spacing: int = 4) -> None:
    """Write the raw dataset folder atomically.

    Args:
        folder: folder to create.
        seed: random seed; equal seeds give equal bytes.
        train: number of training subjects.
        val: number of validation subjects.
        test: number of test subjects; each is moving once and fixed once.
        spacing: voxel size in mm.
    """
    template = mni.volume_template(shape(VOLUME, spacing), float(spacing), GREY, WHITE)
    sizes = {"train": train, "val": val, "test": test}
    cohort = grouped({split: ["brain"] for split in sizes}, sizes)
    meta = {
        "name": "mni-brain-3d",
        "description": "Small volumes of simulated brains; different subjects are registered.",
        **mni.describe(template, mni.label_names(GREY, WHITE)),
        "pairs": {"within": "group"},
        "note": NOTE,
    }
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        rows = [write_subject(temporary, template, subject, seed) for subject in cohort]
        write_tables(temporary, meta, rows, rings(cohort))
