"""Plot how every loss leads to the truth."""

import pandas as pd

from likeness.data.store import Dataset
from likeness.figures import landscape, style
from likeness.jobs import logged
from likeness.statistics.aggregate import read_csv


def main(snakemake) -> None:
    datasets = {dataset.name: dataset.meta for dataset in map(Dataset.open, snakemake.input.datasets)}
    profiles = pd.read_parquet(snakemake.input.profiles)
    figure = landscape.draw(profiles, read_csv(snakemake.input.table), datasets)
    if snakemake.params.demonstration:
        style.stamp(figure)
    style.save(figure, snakemake.output.png, snakemake.output.pdf)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
