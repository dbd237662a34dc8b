"""Rule robustness: compare scores between conditions."""

from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.robustness import compare


def main(snakemake) -> None:
    summary = read_csv(snakemake.input.summary)
    write_csv(compare(summary, snakemake.params.conditions, snakemake.params.primaries), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
