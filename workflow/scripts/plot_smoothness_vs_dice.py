"""Plot what smoothness costs: Dice against the roughness of the deformation."""

import pandas as pd

from likeness.data.store import Dataset
from likeness.figures import smoothness_vs_dice, style
from likeness.jobs import logged


def main(snakemake) -> None:
    datasets = {dataset.name: dataset.meta for dataset in map(Dataset.open, snakemake.input.datasets)}
    metrics = pd.read_parquet(snakemake.input.metrics)
    figure = smoothness_vs_dice.draw(metrics, datasets)
    if snakemake.params.demonstration:
        style.stamp(figure)
    style.save(figure, snakemake.output.png, snakemake.output.pdf)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
