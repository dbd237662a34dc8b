"""Rule calibration: check on the test pairs of every dataset that the tests keep their level."""

import pandas as pd

from likeness.data.store import Dataset
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import subjects_of, write_csv
from likeness.statistics.calibration import COLUMNS, calibrate


def main(snakemake) -> None:
    found = [pd.DataFrame(columns=COLUMNS)]
    for folder in snakemake.input.datasets:
        dataset = Dataset.open(folder)
        pairs = pd.DataFrame(dataset.pairs_of("test"), columns=["moving", "fixed"])
        units = [dataset.subjects(*pair) for pair in dataset.pairs_of("test")]
        pairs["moving_subject"], pairs["fixed_subject"] = ([pair[side] for pair in units] for side in (0, 1))
        table = calibrate(*subjects_of(pairs), snakemake.params.simulations, seed=0)
        found.append(table.assign(dataset=dataset.meta["name"])[COLUMNS])
    write_csv(pd.concat([table for table in found if len(table)] or found), snakemake.output.table)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
