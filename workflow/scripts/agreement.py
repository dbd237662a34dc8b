"""Rule agreement: compare the rankings of losses that differ in one respect, such as the dataset or the metric."""

import pandas as pd

from likeness.methods import kinds
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.agreement import agree
from likeness.statistics.lost import bounded, diagonals


def main(snakemake) -> None:
    stated = [read_csv(snakemake.input.matched), kinds.of(snakemake.params.methods), snakemake.params.confidence]
    finite = bounded(pd.read_parquet(snakemake.input.metrics), diagonals(snakemake.input.datasets))
    write_csv(agree(finite, *stated), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
