"""Rule comparisons: compare all methods with each other on every dataset."""

import pandas as pd

from likeness.data.store import of_one_specimen
from likeness.methods import kinds
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.comparisons import compare
from likeness.statistics.lost import bounded, diagonals, lost
from likeness.statistics.selection import marks


def main(snakemake) -> None:
    metrics = pd.read_parquet(snakemake.input.metrics)
    known = kinds.of(snakemake.params.methods)
    said = {**marks(read_csv(snakemake.input.selection)), **lost(metrics)}
    finite = bounded(metrics, diagonals(snakemake.input.datasets))
    specimens = of_one_specimen(snakemake.input.datasets)
    write_csv(compare(finite, known, said, snakemake.params.confidence, specimens), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
