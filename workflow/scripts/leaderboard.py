"""Rule leaderboard: put gains, ranks, costs and needs of every loss into one table."""

import pandas as pd

from likeness.methods import kinds
from likeness.report import leaderboard
from likeness.runtime.atomic import atomic_write
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv


def main(snakemake) -> None:
    tables = {name: read_csv(snakemake.input[name]) for name in ("matched", "summary", "ranks", "runtime")}
    known, confidence = kinds.of(snakemake.params.methods), snakemake.params.confidence
    table = leaderboard.board(pd.read_parquet(snakemake.input.metrics), tables, known, confidence)
    write_csv(table, snakemake.output.csv)
    for path, text in (
        (snakemake.output.tex, leaderboard.latex(table)),
        (snakemake.output.md, leaderboard.markdown(table)),
    ):
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
