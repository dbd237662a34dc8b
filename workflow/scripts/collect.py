"""Collect all scores in one table, choose λ on validation, and collect all learning curves."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from likeness.runtime.atomic import whole
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import write_csv
from likeness.statistics.selection import TRAINING, candidates, choose, mark


def read(paths: list[str]) -> pa.Table:
    """Read tables of scores as one; an Arrow table, in which texts take a quarter of the memory."""
    first, *others = (pq.read_table(path) for path in paths)
    return pa.concat_tables([first, *(table.cast(first.schema) for table in others)])


def main(snakemake) -> None:
    scores = read(snakemake.input.scores)
    selection = choose(candidates(scores.filter(pc.field("split") == "val").to_pandas()))
    chosen = mark(scores.select([*TRAINING, "lam"]).to_pandas(), selection)["chosen"]
    with whole(snakemake.output.metrics) as path:
        pq.write_table(scores.append_column("chosen", pa.array(chosen)), path)
    write_csv(selection, snakemake.output.selection)
    text = {"dataset": str, "network": str, "loss": str, "variant": str, "quantity": str}
    curves = [pd.read_csv(Path(folder) / "curves.csv", dtype=text) for folder in snakemake.input.models]
    with whole(snakemake.output.curves) as path:
        pd.concat(curves, ignore_index=True).to_parquet(path, index=False)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
