"""Fields that somebody made elsewhere, for the smoke study: a folder in each convention, of smooth displacements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from builders import displacement

from likeness.datasets.catalogue import size
from likeness.datasets.simulate.cohort import grouped, rings
from likeness.imageio import conventions
from likeness.imageio.placement import Placement

METHODS = {"given-itk": "itk", "given-learn2reg": "learn2reg", "given-voxels": "voxels"}
"""The convention of each."""
HAVE = {"given-itk": ["mni-brain-3d"], "given-learn2reg": ["mni-brain", "mni-brain-3d"], "given-voxels": ["mni-brain"]}
"""The datasets that each has fields of."""
HELD = {"given-itk": 3 + 4, "given-learn2reg": 4 + 6 + 3 + 4, "given-voxels": 2}
"""How many fields each has: of all validation and test pairs, but one."""
PARTIAL = "given-voxels"
"""The one that has fields of the first two test pairs alone."""


def add_given_methods(project: Path, config: str) -> None:
    """Write the folders of fields into a copy of the project, and name them in one of its configurations."""
    path = project / "config" / f"{config}.yaml"
    text, added = path.read_text(), ""
    study = yaml.safe_load(text)
    for method, convention in METHODS.items():
        for dataset in HAVE[method]:
            folder, options = project / "given" / method / dataset, study["datasets"][dataset]["options"]
            _write(folder, convention, size(dataset, options).shape, options, partly=method == PARTIAL)
        added += f"  {method}: {{fields: given/{method}, convention: {convention}}}\n"
    path.write_text(text.replace("\nmethods:\n", f"\nmethods:\n{added}"))


def _write(folder: Path, convention: str, shape: tuple[int, ...], options: dict[str, int], *, partly: bool) -> None:
    """Write a field of every validation and test pair that the recipe has, or of the first two test pairs."""
    folder.mkdir(parents=True)
    # as many groups as the recipes have
    cohort = grouped({split: ["one", "two"] for split in options}, options)
    pairs = [(row["moving"], row["fixed"]) for row in rings(cohort) if not partly or row["split"] == "test"]
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).astype(float)
    place = Placement(shape, np.eye(len(shape) + 1), np.diag([4.0, 4.0, 4.0, 1.0]) if len(shape) == 3 else None)
    stems = conventions.stems(convention, pairs, [subject.name for subject in cohort])
    for number, pair in enumerate(pairs[:2] if partly else pairs):
        field = displacement(points, max(shape), np.full(len(shape), float(number)), 0.4)
        conventions.write(folder, convention, stems[pair][0], field, place, place)
