"""Rule contrasts: test the differences that the study has named."""

import pandas as pd

from likeness.data.store import Dataset
from likeness.methods import kinds
from likeness.runtime.jobs import logged
from likeness.statistics import contrasts
from likeness.statistics.aggregate import read_csv, write_csv


def main(snakemake) -> None:
    calibrated = read_csv(snakemake.input.calibration).groupby("dataset").calibrated.all()
    descriptive = {}
    for meta in (Dataset.open(folder).meta for folder in snakemake.input.datasets):
        reasons = [contrasts.ONE_SPECIMEN] * meta["within_subject"]
        reasons += [contrasts.UNCALIBRATED] * (not calibrated.get(meta["name"], False))
        descriptive[meta["name"]] = "; ".join(reasons)
    stated = [
        kinds.of(snakemake.params.methods),
        snakemake.params.contrasts,
        read_csv(snakemake.input.selection),
        descriptive,
        snakemake.params.options,
        snakemake.params.confidence,
    ]
    write_csv(contrasts.confirm(pd.read_parquet(snakemake.input.metrics), *stated), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
