"""``mni-head``: brain-extracted slices onto whole heads: what does content do that only one image has? A stress test.

Each subject has two images of the same slice: ``brain``, the result of an imperfect brain extraction, and ``head``, the
brain with simulated skull and scalp around a given fraction of the circumference. A pair is the brain of one subject
and the head of another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from likeness.datasets.mni_brain import GREY, HEIGHTS, WHITE
from likeness.datasets.simulate import mni, skull
from likeness.datasets.simulate.cohort import Subject, grouped, rings, stream
from likeness.datasets.writing import write_sample, write_tables
from likeness.runtime.atomic import atomic_write

CARD = {
    "parts": ["image", "label", "mask", "unmatched", "field"],
    "labels": 28,
    "extent": [224, 192],
    "step": "spacing",
    "multiple": 8,
    "images_per_subject": 2,
    "pairs_per_subject": 1,
    "limits": {
        "train": {"minimum": 3, "maximum": 100_000},
        "val": {"minimum": 3, "maximum": 100_000},
        "test": {"minimum": 3, "maximum": 100_000},
        "spacing": {"enum": [2, 3, 4]},
        "dose": {"minimum": 0, "maximum": 100},
    },
}

NOTE = (
    "Stress test, not evidence: all brains come from one template, and skull and scalp are drawn, not measured. Outer "
    "layers deform independently of the brain, and brain extraction errs by 1 to 2 mm and leaves remnants. mask marks "
    "what brain extraction has kept; unmatched marks content of a head that the extracted brain of another lacks. "
    "field is the true displacement of the brain into the template's slice, shared by a group."
)


def make(
    folder: Path,
    *,
    seed: int,
    train: int = 48,
    val: int = 16,
    test: int = 40,
    dose: float = 100.0,
    lesion: bool = False,
    spacing: int = 2,
) -> None:
    """Write the raw dataset folder atomically.

    Args:
        folder: folder to create.
        seed: random seed; equal seeds give equal bytes, and the same subjects at every dose.
        train: number of training subjects, distributed over the slices of that split; each has two images.
        val: number of validation subjects.
        test: number of test subjects; each is moving once and fixed once.
        dose: percentage of the circumference with skull and scalp in the fixed images, 0 to 100.
        lesion: whether the fixed images also have a lesion or a resection of 10 to 30 mm each.
        spacing: pixel size in mm.

    Raises:
        ValueError: if the dose is not a percentage.
    """
    if not 0 <= dose <= 100:
        msg = f"mni-head: dose is {dose}: give the percentage of the circumference, from 0 to 100"
        raise ValueError(msg)
    templates = mni.slice_templates(sum(HEIGHTS.values(), ()), GREY, WHITE, spacing)
    groups = {split: [mni.slice_name(z) for z in heights] for split, heights in HEIGHTS.items()}
    cohort = grouped(groups, {"train": train, "val": val, "test": test})
    rows = []
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        for subject in cohort:
            images = simulate(templates[subject.group], subject, seed, dose / 100, lesion)
            for modality, parts in images.items():
                files = write_sample(temporary, f"{subject.name}-{modality}", (float(spacing),) * 2, **parts)
                who = {"split": subject.split, "group": subject.group, "subject": subject.name}
                rows.append({**files, "modality": modality, **who})
        meta = _meta(next(iter(templates.values())), dose, lesion)
        write_tables(temporary, meta, rows, rings(cohort, "-brain", "-head"))


def simulate(
    template: mni.Template, subject: Subject, seed: int, dose: float, lesion: bool
) -> dict[str, dict[str, np.ndarray]]:
    """Simulate the two images of a subject, ``brain`` and ``head``, each with its parts.

    Every component has its own random stream, so that doses and lesions are compared on the same subjects.
    """

    def drawn(what: str) -> np.random.Generator:
        return stream(seed, subject.name, what)

    def coarse(image: np.ndarray) -> np.ndarray:
        return skull.coarsen(image, template.fine)

    def scan(share: np.ndarray, rest: np.ndarray) -> np.ndarray:
        return mni.acquire(brain.image * share + coarse(rest), template.spacing, drawn("scanner"))

    brain = mni.simulate_brain(template, drawn("brain"))
    fine = skull.refine(brain.brain, template.fine) >= 0.5
    plane = skull.Plane(template.points, mni.slice_height(subject.group), template.spacing[0] / template.fine)
    shell = skull.surround(fine, plane, drawn("shell"))
    kept = coarse(skull.extract(fine, shell, plane.step, drawn("extraction"))) >= 0.5
    shown = shell.content & skull.arc(fine, dose, drawn("arc"))
    hole, filling = skull.lesion(fine, plane.step, drawn("lesion")) if lesion else (np.zeros_like(fine), 0.0)
    lost = coarse(hole)
    unmatched = (coarse(shown) >= 0.5) & ~brain.mask | (lost >= 0.5)
    return {
        "brain": {
            "image": scan(brain.brain, shell.image) * kept,
            "label": brain.labels,
            "mask": kept,
            "field": brain.field,
        },
        "head": {
            "image": scan(np.clip(brain.brain - lost, 0.0, 1.0), shell.image * shown + filling * hole),
            "label": brain.labels * (lost < 0.5),
            "unmatched": unmatched,
            "field": brain.field,
        },
    }


def _meta(template: mni.Template, dose: float, lesion: bool) -> dict[str, Any]:
    too = " and a lesion or resection of 10 to 30 mm in each head" if lesion else ""
    return {
        "name": "mni-head",
        "description": "Brain-extracted axial slices of simulated brains, registered to whole heads of other subjects; "
        f"skull and scalp around {dose:g} % of the circumference{too}.",
        **mni.describe(template, mni.label_names(GREY, WHITE)),
        "pairs": {
            "moving": {"modality": "brain"},
            "fixed": {"modality": "head"},
            "within": "group",
            "different": "subject",
        },
        "note": NOTE,
    }
