"""Plot the learning curves."""

import pandas as pd

from likeness.data.store import Dataset
from likeness.figures import convergence, style
from likeness.jobs import logged


def main(snakemake) -> None:
    datasets = {dataset.name: dataset.meta for dataset in map(Dataset.open, snakemake.input.datasets)}
    metrics = pd.read_parquet(snakemake.input.metrics)
    figure = convergence.draw(pd.read_parquet(snakemake.input.curves), metrics, datasets)
    if snakemake.params.demonstration:
        style.stamp(figure)
    style.save(figure, snakemake.output.png, snakemake.output.pdf)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
