"""Rule verdicts: collect the audits of all searches and classify their pairs."""

import pandas as pd

from likeness.data.store import Dataset
from likeness.results import ENDS, KEYS, STEPS
from likeness.runtime.atomic import atomic_write
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import read_csv, write_csv
from likeness.statistics.verdicts import endings, summarise


def gathered(paths: list[str], columns: tuple[str, ...]) -> pd.DataFrame:
    """Concatenate tables, some of which can be empty."""
    found = [table for table in map(read_csv, paths) if len(table)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=[*KEYS, "lam", *columns])


def main(snakemake) -> None:
    metrics = {dataset.name: dataset.primary for dataset in map(Dataset.open, snakemake.input.datasets)}
    audited = endings(gathered(snakemake.input.audits, ENDS), metrics)
    write_csv(audited, snakemake.output.audit)
    write_csv(summarise(audited, metrics), snakemake.output.verdicts)
    with atomic_write(snakemake.output.traces) as path:
        gathered(snakemake.input.traces, STEPS).to_parquet(path, index=False)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
