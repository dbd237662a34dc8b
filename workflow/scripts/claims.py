"""Rule claims: judge what the study claims by its contrasts."""

from likeness.runtime.jobs import logged
from likeness.statistics import claims
from likeness.statistics.aggregate import read_csv, write_csv


def main(snakemake) -> None:
    write_csv(claims.judge(read_csv(snakemake.input.contrasts), snakemake.params.claims), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
