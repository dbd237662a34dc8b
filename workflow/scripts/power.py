"""Rule power: find how many subjects and seeds the contrasts of the study need."""

import pandas as pd

from likeness.methods import kinds
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.lost import bounded, diagonals
from likeness.statistics.power import plan


def main(snakemake) -> None:
    stated = [read_csv(snakemake.input.contrasts), kinds.of(snakemake.params.methods), snakemake.params.confidence]
    finite = bounded(pd.read_parquet(snakemake.input.metrics), diagonals(snakemake.input.datasets))
    write_csv(plan(finite, *stated), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
