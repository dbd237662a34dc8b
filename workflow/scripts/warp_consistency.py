"""Rule warp_consistency: summarise how registrations changed with a known warp."""

import pandas as pd

from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.consistency import summarise


def main(snakemake) -> None:
    tables = [read_csv(path) for path in snakemake.input.pairs]
    pairs = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    write_csv(summarise(pairs, snakemake.params.confidence), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
