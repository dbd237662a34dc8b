"""Collect all scores in one table, choose λ on validation, and collect all learning curves."""

from pathlib import Path

import pandas as pd

from likeness.files import logged, whole
from likeness.statistics.aggregate import write_csv
from likeness.statistics.selection import candidates, choose, mark


def main(snakemake) -> None:
    metrics = pd.concat([pd.read_parquet(path) for path in snakemake.input.scores], ignore_index=True)
    selection = choose(candidates(metrics))
    with whole(snakemake.output.metrics) as path:
        mark(metrics, selection).to_parquet(path, index=False)
    write_csv(selection, snakemake.output.selection)
    text = {"dataset": str, "network": str, "loss": str, "variant": str, "quantity": str}
    curves = [pd.read_csv(Path(folder) / "curves.csv", dtype=text) for folder in snakemake.input.models]
    with whole(snakemake.output.curves) as path:
        pd.concat(curves, ignore_index=True).to_parquet(path, index=False)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
