"""Rule tuning: compare the trials of every loss's options."""

from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.tuning import tune


def main(snakemake) -> None:
    selection = read_csv(snakemake.input.selection)
    write_csv(tune(selection, snakemake.params.tried), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
