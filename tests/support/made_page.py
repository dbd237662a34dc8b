"""The page of a made-up study, for tests of the page and for the browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from builders import make_dataset
from fake_study import METHODS, Made, Study, chosen
from PIL import Image

from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.figures.looks import look
from likeness.report import page
from likeness.results import Run
from likeness.statistics.comparisons import compare
from likeness.statistics.contrasts import Known, confirm
from likeness.statistics.picked import pick
from likeness.statistics.ranks import rank
from likeness.statistics.selection import candidates, choose

NAMED = ("voxelmorph",)
NAMED_BEFOREHAND = {"a": "ncc", "b": "mse", "best_of": [], "over": None, "datasets": [], "method": None, "metric": None}
"""A contrast as a study states it, with all its keys."""
DATASETS = (Made("mni-brain"), Made("cells", field=False, unit="nm", stress_test=False, subjects=24))


def sheet(made: Made, **said: object) -> dict[str, object]:
    """Make up the numbers of a data sheet, as far as the page reads them."""
    numbers = {"name": made.name, "stress_test": made.stress_test, "within_subject": False, "shape": [8, 8]}
    counts = {"images": made.subjects, "subjects": made.subjects, "pairs": made.pairs}
    told = {"licence": "", "source": "", "citation": "", "note": "", "description": "Made up."}
    return {**numbers, **told, "subjects_in_several_splits": 0, "splits": {"test": counts}, **said}


def tables(study: Study, metrics: pd.DataFrame, contrasts: list[dict[str, str]]) -> dict[str, pd.DataFrame]:
    """Make the tables that statistics give, from the scores that were made up."""
    known = Known(choose(candidates(metrics, METHODS), METHODS), {}, {}, {})
    return {
        "selection": known.selection,
        "ranks": rank(metrics, study.methods, {}, set()),
        "picked": pick(metrics, study.methods, {}, set()),
        "comparisons": compare(metrics, study.methods, {}),
        "contrasts": confirm(metrics, study.methods, contrasts, known),
    }


def samples(folder: Path) -> tuple[Dataset, list[tuple[Run, Path]]]:
    """Prepare a dataset and make smooth fields up, of two losses at three λ."""
    prepare(make_dataset(folder / "raw"), folder / "prepared")
    dataset = Dataset.open(folder / "prepared")
    moving, fixed = dataset.pairs_of("test")[0]
    rows = np.linspace(0, np.pi, dataset.shape[0])[:, None] * np.ones(dataset.shape)
    found = []
    for strength, loss in enumerate(("mse", "ncc"), 1):
        fields = [np.stack([size * strength * np.sin(rows), 0 * rows], axis=-1) for size in (0.5, 1.0, 1.5)]
        path = folder / f"{loss}.npz"
        lams = np.array([1.0, 0.5, 0.25])
        np.savez(path, moving=moving, fixed=fixed, lams=lams, displacements=np.array(fields, np.float32))
        found.append((Run(dataset.name, "voxelmorph", loss, "default"), path))
    return dataset, found


def figure(folder: Path) -> tuple[Path, Path]:
    """Make a picture and a document up."""
    Image.new("RGB", (40, 30), "white").save(folder / "scores.png")
    (folder / "scores.pdf").write_bytes(b"%PDF-1.4")
    return folder / "scores.png", folder / "scores.pdf"


def made(folder: Path, losses: tuple[str, ...] = ("mse", "ncc", "mind"), **changed: object) -> page.Study:
    """Make up everything that the page is made from; ``changed`` replaces parts of it."""
    study = Study(datasets=DATASETS, losses=losses, named=NAMED)
    metrics = chosen(study)
    dataset, fields = samples(folder)
    found = tables(study, metrics, [{**NAMED_BEFOREHAND, "smallest": None, "claim": None}] if len(losses) > 1 else [])
    parts = {
        "title": "A study of <losses>",
        "demonstration": False,
        "configuration": {"config/made.yaml": "title: made up\n"},
        "metrics": metrics,
        "tables": found,
        "texts": {name: table.to_csv(index=False) for name, table in found.items()},
        "figures": {"scores": figure(folder)},
        "captions": {"scores": "**Scores.** What they *are*.\n\nSecond paragraph with ``code``.\n"},
        "datasets": [dataset],
        "sheets": [sheet(one) for one in DATASETS],
        "samples": fields,
        "methods": study.methods,
        "looks": {loss: look(loss) for loss in losses},
    }
    return page.Study(**{**parts, **changed})
