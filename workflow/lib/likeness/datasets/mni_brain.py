"""``mni-brain``: axial slices of simulated brains: does the loss work at all? A stress test.

Every image shows a different subject: the MNI152 template warped by a multi-scale diffeomorphism, with individual bias
field, contrast and noise. Train, validation and test use different slices, at least 6 mm apart.
"""

from __future__ import annotations

from pathlib import Path

from likeness.datasets.simulate import mni
from likeness.datasets.simulate.cohort import Subject, grouped, rings, stream
from likeness.datasets.writing import write_sample, write_tables
from likeness.runtime.atomic import atomic_write

CARD = {
    "parts": ["image", "label", "mask", "field"],
    "labels": 28,
    "extent": [224, 192],
    "step": "spacing",
    "multiple": 8,
    "images_per_subject": 1,
    "pairs_per_subject": 1,
    "limits": {
        "train": {"minimum": 3, "maximum": 100_000},
        "val": {"minimum": 3, "maximum": 100_000},
        "test": {"minimum": 3, "maximum": 100_000},
        "spacing": {"enum": [2, 3, 4]},
    },
}

HEIGHTS = {"train": (-27, -9, 3, 21, 39, 51), "val": (-15, 9, 27, 45), "test": (-21, -3, 15, 33)}
"""Slices of each split, in millimetres above the anterior commissure."""

GREY, WHITE = 10, 3
"""Number of parcels of grey and of white matter on each side."""

NOTE = (
    "Stress test, not evidence: all subjects come from one template, whose intensities almost determine the tissue, "
    "which favours intensity losses. field is the true displacement into the template's slice, shared by a group; "
    "true warps mix scales of 4 to 32 mm and a ventricle dilation. "
    "Labels are Voronoi parcels of grey and white matter, split by hemisphere."
)


def make(folder: Path, *, seed: int, train: int = 48, val: int = 16, test: int = 40, spacing: int = 2) -> None:
    """Write the raw dataset folder atomically.

    Args:
        folder: folder to create.
        seed: random seed; equal seeds give equal bytes.
        train: number of training subjects, distributed over the slices of that split.
        val: number of validation subjects.
        test: number of test subjects; each is moving once and fixed once.
        spacing: pixel size in mm.
    """
    templates = mni.slice_templates(sum(HEIGHTS.values(), ()), GREY, WHITE, spacing)
    groups = {split: [mni.slice_name(z) for z in heights] for split, heights in HEIGHTS.items()}
    cohort = grouped(groups, {"train": train, "val": val, "test": test})
    meta = {
        "name": "mni-brain",
        "description": "Axial slices of simulated brains; the same slice of different subjects is registered.",
        **mni.describe(next(iter(templates.values())), mni.label_names(GREY, WHITE)),
        "pairs": {"within": "group"},
        "note": NOTE,
    }
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        rows = [write_subject(temporary, templates[subject.group], subject, seed) for subject in cohort]
        write_tables(temporary, meta, rows, rings(cohort))


def write_subject(folder: Path, template: mni.Template, subject: Subject, seed: int) -> dict[str, str]:
    """Simulate a subject, write the files of its image and return the row of ``images.csv``."""
    generator = stream(seed, subject.name)
    brain = mni.simulate_brain(template, generator)
    image = mni.acquire(brain.image * brain.brain, template.spacing, generator)
    parts = {"image": image, "label": brain.labels, "mask": brain.mask, "field": brain.field}
    row = write_sample(folder, subject.name, template.spacing, **parts)
    return {**row, "split": subject.split, "group": subject.group, "subject": subject.name}
