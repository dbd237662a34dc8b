"""Rule summary: summarise every method on every dataset, one row per metric."""

import pandas as pd

from likeness.data.store import of_one_specimen
from likeness.methods import kinds
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.lost import diagonals
from likeness.statistics.selection import marks
from likeness.statistics.summary import summarise


def main(snakemake) -> None:
    metrics = pd.read_parquet(snakemake.input.metrics)
    known = kinds.of(snakemake.params.methods)
    known_of_runs = marks(read_csv(snakemake.input.selection))
    found = diagonals(snakemake.input.datasets)
    stated = [snakemake.params.confidence, found, of_one_specimen(snakemake.input.datasets)]
    write_csv(summarise(metrics, known, known_of_runs, *stated), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
