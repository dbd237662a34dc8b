"""Plot the test scores of every loss on every dataset."""

import pandas as pd

from likeness.data.store import Dataset
from likeness.figures import style, test_score
from likeness.jobs import logged
from likeness.statistics.aggregate import read_csv


def main(snakemake) -> None:
    datasets = {dataset.name: dataset.meta for dataset in map(Dataset.open, snakemake.input.datasets)}
    metrics = pd.read_parquet(snakemake.input.metrics)
    figure = test_score.draw(metrics, read_csv(snakemake.input.summary), datasets)
    if snakemake.params.demonstration:
        style.stamp(figure)
    style.save(figure, snakemake.output.png, snakemake.output.pdf)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
