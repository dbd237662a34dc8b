"""Rule ranks: rank the losses of every method on every dataset."""

import pandas as pd

from likeness.data.store import of_one_specimen
from likeness.methods import kinds
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.ranks import rank
from likeness.statistics.selection import marks


def main(snakemake) -> None:
    stated = [
        kinds.of(snakemake.params.methods),
        marks(read_csv(snakemake.input.selection)),
        of_one_specimen(snakemake.input.datasets),
        snakemake.params.confidence,
    ]
    write_csv(rank(pd.read_parquet(snakemake.input.metrics), *stated), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
