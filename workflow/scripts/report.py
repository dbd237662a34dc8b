"""Rule report: write the page of a study from its tables, figures, datasets and sample fields."""

import json
from pathlib import Path

import pandas as pd

from likeness.data.store import Dataset
from likeness.methods import kinds
from likeness.report import page
from likeness.results import Run
from likeness.runtime.atomic import atomic_write
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv


def readable(paths: dict[str, Path]) -> dict[str, Path]:
    """Leave out tables without even a heading, which an interrupted run of an older version may have left."""
    return {name: path for name, path in paths.items() if path.read_text(encoding="utf-8").strip()}


def main(snakemake) -> None:
    given, told = snakemake.input, snakemake.params
    tables = readable({Path(path).stem: Path(path) for path in given.tables})
    drawn = {name: [Path(path) for path in given.figures if Path(path).stem == name] for name in told.captions}
    study = page.Study(
        title=told.study["title"],
        demonstration=told.study["demonstration"],
        configuration={path: Path(path).read_text(encoding="utf-8") for path in told.configuration},
        metrics=pd.read_parquet(given.metrics),
        tables={name: read_csv(path) for name, path in tables.items()},
        texts={name: path.read_text(encoding="utf-8") for name, path in tables.items()},
        figures={name: tuple(sorted(paths, key=lambda path: path.suffix == ".pdf")) for name, paths in drawn.items()},
        captions=told.captions,
        datasets=[Dataset.open(folder) for folder in given.datasets],
        sheets=[json.loads(Path(path).read_text(encoding="utf-8")) for path in given.sheets],
        samples=[(Run(*run), Path(path)) for run, path in zip(told.runs, given.samples, strict=True)],
        methods=kinds.of(told.methods),
        looks=told.looks,
    )
    with atomic_write(snakemake.output.page) as path:
        path.write_text(page.render(study), encoding="utf-8")


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
