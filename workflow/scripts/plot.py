"""Rule plot: draw a figure from the inputs that its card names, and save it as PNG and PDF."""

from importlib import import_module
from pathlib import Path

import pandas as pd

from likeness.data.store import Dataset
from likeness.figures import style
from likeness.methods import kinds
from likeness.results import Run
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv


def samples(snakemake) -> list[tuple[Run, Path]]:
    runs = zip(snakemake.params.runs, snakemake.input.samples, strict=True)
    return [(Run(*run), Path(path)) for run, path in runs]


READERS = {
    "metrics": lambda snakemake: pd.read_parquet(snakemake.input.metrics),
    "curves": lambda snakemake: pd.read_parquet(snakemake.input.curves),
    "profiles": lambda snakemake: pd.read_parquet(snakemake.input.profiles),
    "summary": lambda snakemake: read_csv(snakemake.input.summary),
    "runs": lambda snakemake: read_csv(snakemake.input.runs),
    "selection": lambda snakemake: read_csv(snakemake.input.selection),
    "verdicts": lambda snakemake: read_csv(snakemake.input.verdicts),
    "measures": lambda snakemake: read_csv(snakemake.input.measures),
    "audit": lambda snakemake: read_csv(snakemake.input.audit),
    "searches": lambda snakemake: read_csv(snakemake.input.searches),
    "comparisons": lambda snakemake: read_csv(snakemake.input.comparisons),
    "ranks": lambda snakemake: read_csv(snakemake.input.ranks),
    "agreement": lambda snakemake: read_csv(snakemake.input.agreement),
    "traces": lambda snakemake: pd.read_parquet(snakemake.input.traces),
    "runtime": lambda snakemake: read_csv(snakemake.input.runtime),
    "datasets": lambda snakemake: {d.name: d.meta for d in map(Dataset.open, snakemake.input.datasets)},
    "prepared": lambda snakemake: {d.name: d for d in map(Dataset.open, snakemake.input.prepared)},
    "samples": samples,
    "methods": lambda snakemake: kinds.of(snakemake.params.methods),
}
"""Available inputs, by keyword argument of ``draw``."""


def main(snakemake) -> None:
    name = snakemake.wildcards.figure
    read = {key: READERS[key](snakemake) for key in snakemake.params.reads}
    figure = import_module(f"likeness.figures.{name}").draw(**read)
    if snakemake.params.demonstration:
        style.stamp(figure)
    style.save(figure, snakemake.output.png, snakemake.output.pdf, dpi=snakemake.params.dpi)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
