"""Rule picked: pick the best loss on validation pairs, and give its gain on test pairs."""

import pandas as pd

from likeness.data.store import of_one_specimen
from likeness.methods import kinds
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.picked import pick
from likeness.statistics.selection import marks


def main(snakemake) -> None:
    stated = [
        kinds.of(snakemake.params.methods),
        marks(read_csv(snakemake.input.selection)),
        of_one_specimen(snakemake.input.datasets),
        snakemake.params.confidence,
    ]
    write_csv(pick(pd.read_parquet(snakemake.input.metrics), *stated), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
