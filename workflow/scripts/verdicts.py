"""Collect the audits of all searches and say what they mean."""

import pandas as pd

from likeness.data.store import Dataset
from likeness.results import KEYS
from likeness.runtime.atomic import whole
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import write_csv
from likeness.statistics.verdicts import judge, summarise

AUDIT = [*KEYS, "lam", "moving", "fixed", "start", "evaluations", "converged"]
AUDIT += ["dissimilarity", "energy", "objective", "score"]
TRACE = [*KEYS, "lam", "moving", "fixed", "evaluations", "objective", "score"]


def gathered(paths: list[str], columns: list[str]) -> pd.DataFrame:
    """Read tables as one, which may have no rows."""
    text = dict.fromkeys(("dataset", "method", "loss", "variant", "moving", "fixed", "start"), "str")
    read = (pd.read_csv(path, dtype={**text, "seed": "Int64"}, float_precision="round_trip") for path in paths)
    found = [table for table in read if len(table)]
    return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)


def main(snakemake) -> None:
    metrics = {dataset.name: dataset.primary for dataset in map(Dataset.open, snakemake.input.datasets)}
    judged = judge(gathered(snakemake.input.audits, AUDIT), metrics)
    write_csv(judged, snakemake.output.audit)
    write_csv(summarise(judged, metrics), snakemake.output.verdicts)
    with whole(snakemake.output.traces) as path:
        gathered(snakemake.input.traces, TRACE).to_parquet(path, index=False)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
