"""Rule contrasts: test the differences that the study has named."""

import pandas as pd

from likeness.data.store import Dataset
from likeness.methods import kinds
from likeness.runtime.jobs import logged
from likeness.statistics import contrasts
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.lost import bounded, diagonals, lost


def main(snakemake) -> None:
    calibrated = read_csv(snakemake.input.calibration).groupby("dataset").calibrated.all()
    descriptive = {}
    for meta in (Dataset.open(folder).meta for folder in snakemake.input.datasets):
        reasons = [contrasts.DESCRIPTIVE] * meta["within_subject"]
        reasons += [contrasts.UNCALIBRATED] * (not calibrated.get(meta["name"], False))
        descriptive[meta["name"]] = "; ".join(reasons)
    metrics = pd.read_parquet(snakemake.input.metrics)
    params, selection = snakemake.params, read_csv(snakemake.input.selection)
    known = contrasts.Known(selection, lost(metrics), descriptive, params.options)
    finite, methods = bounded(metrics, diagonals(snakemake.input.datasets)), kinds.of(params.methods)
    table = contrasts.confirm(finite, methods, params.contrasts, known, params.confidence)
    write_csv(table, snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
