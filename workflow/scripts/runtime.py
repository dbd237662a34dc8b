"""Rule runtime: collect the resource usage of all jobs; the only table that differs between runs."""

import json
from pathlib import Path

import pandas as pd

from likeness.runtime.atomic import atomic_write
from likeness.runtime.jobs import logged

FIRST = ["rule", "dataset", "method", "loss", "variant", "extractor", "seed", "seconds", "peak_mb"]


def main(snakemake) -> None:
    table = pd.DataFrame([json.loads(Path(path).read_text()) for path in snakemake.input.records])
    table = table.reindex(columns=[*FIRST, *(c for c in table.columns if c not in FIRST)])
    table["seed"] = table["seed"].astype("Int64")
    with atomic_write(snakemake.output.runtime) as path:
        table.to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
