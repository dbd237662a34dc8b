"""Rule comparisons: compare all methods with each other on every dataset."""

import pandas as pd

from likeness.methods import kinds
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import write_csv
from likeness.statistics.comparisons import compare


def main(snakemake) -> None:
    metrics = pd.read_parquet(snakemake.input.metrics)
    known = kinds.of(snakemake.params.methods)
    write_csv(compare(metrics, known, **snakemake.params.statistics), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
