"""Rule comparisons: compare all methods with each other on every dataset."""

import pandas as pd

from likeness.methods import kinds
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.comparisons import compare
from likeness.statistics.selection import marks


def main(snakemake) -> None:
    metrics = pd.read_parquet(snakemake.input.metrics)
    known = kinds.of(snakemake.params.methods)
    known_of_runs = marks(read_csv(snakemake.input.selection))
    write_csv(compare(metrics, known, known_of_runs, snakemake.params.confidence), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
