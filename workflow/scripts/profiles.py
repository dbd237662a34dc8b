"""Rule profiles: collect the landscape profiles of every loss, and compute their measures."""

import pandas as pd

from likeness.runtime.atomic import atomic_write
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import write_csv
from likeness.statistics.landscape import measure


def main(snakemake) -> None:
    text = {"dataset": str, "loss": str, "variant": str, "pair": str, "unit": str}
    read = [pd.read_csv(path, dtype=text, float_precision="round_trip") for path in snakemake.input.profiles]
    profiles = pd.concat([table for table in read if len(table)] or read, ignore_index=True)
    with atomic_write(snakemake.output.profiles) as path:
        profiles.to_parquet(path, index=False)
    write_csv(measure(profiles), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
