"""Rule matched: score every method at equal limits of roughness."""

import pandas as pd

from likeness.data.store import of_one_specimen
from likeness.methods import kinds
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import write_csv
from likeness.statistics.matched import match


def main(snakemake) -> None:
    metrics = pd.read_parquet(snakemake.input.metrics)
    known = kinds.of(snakemake.params.methods)
    specimens = of_one_specimen(snakemake.input.datasets)
    write_csv(match(metrics, known, snakemake.params.confidence, specimens), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
