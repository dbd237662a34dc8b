"""Rule reproduction: set results beside published ones."""

from likeness.methods import kinds
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.reproduction import reproduce


def main(snakemake) -> None:
    summary = read_csv(snakemake.input.summary)
    write_csv(reproduce(summary, kinds.of(snakemake.params.methods)), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
