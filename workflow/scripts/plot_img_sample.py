"""Plot one test pair of every dataset, registered with every loss."""

from pathlib import Path

import pandas as pd

from likeness.data.store import Dataset
from likeness.figures import img_sample, style
from likeness.jobs import logged


def main(snakemake) -> None:
    datasets = {dataset.name: dataset for dataset in map(Dataset.open, snakemake.input.datasets)}
    metrics = pd.read_parquet(snakemake.input.metrics)
    runs = zip(snakemake.params.runs, snakemake.input.samples, strict=True)
    samples = [img_sample.Sample(*run, path=Path(path)) for run, path in runs]
    figure = img_sample.draw(metrics, datasets, samples)
    if snakemake.params.demonstration:
        style.stamp(figure)
    style.save(figure, snakemake.output.png, snakemake.output.pdf, dpi=300)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
