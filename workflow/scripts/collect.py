"""Rule collect: combine all scores, choose λ on validation pairs, and combine outcomes of searches and learning
curves."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from likeness.methods import kinds
from likeness.results import KEYS, Run
from likeness.runtime.atomic import atomic_write
from likeness.runtime.jobs import logged
from likeness.statistics.aggregate import write_csv
from likeness.statistics.learning import learnt_little, still_learning
from likeness.statistics.selection import candidates, choose, mark

CURVES = [*KEYS, "lam", "step", "quantity", "value"]
RUNS = [*KEYS, "lam", "multiple", "weight", "iterations", "converged", "diverged", "attained"]
RUNS += ["extractor_learning", "extractor_weak"]
SEARCHES = [*KEYS, "lam", "moving", "fixed", "evaluations", "converged", "dissimilarity", "energy"]


def read(paths: list[str]) -> pa.Table:
    """Concatenate tables of scores; as an Arrow table, in which strings take a quarter of the memory."""
    first, *others = (pq.read_table(path) for path in paths)
    return pa.concat_tables([first, *(table.cast(first.schema) for table in others)])


def searches(paths: list[str], learnt: Mapping[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row for every λ of every run, and one for every pair of it, for per-pair optimisation.

    Args:
        paths: JSON files with the outcomes of the runs.
        learnt: path of the learning curve of a run's extractor, by the run's place.
    """
    found = [json.loads(Path(path).read_text()) for path in paths]
    curves = {path: pd.read_csv(path) for path in set(learnt.values())}
    marks = {path: (still_learning(curve), learnt_little(curve)) for path, curve in curves.items()}
    rows = []
    for run in found:
        who = {key: run[key] for key in KEYS}
        learning, weak = marks.get(learnt.get(Run(**who).place, ""), (None, None))
        marked = {"extractor_learning": learning, "extractor_weak": weak}
        rows += [{**who, **search, **marked} for search in run["searches"]]
    pairs = [{**{key: row[key] for key in KEYS}, "lam": row["lam"], **pair} for row in rows for pair in row["pairs"]]
    of_runs = pd.DataFrame(rows, columns=RUNS).astype({"seed": "Int64", "iterations": "Int64"})
    return of_runs, pd.DataFrame(pairs, columns=SEARCHES).astype({"seed": "Int64", "evaluations": "Int64"})


def main(snakemake) -> None:
    known = kinds.of(snakemake.params.methods)
    scores = read(snakemake.input.scores)
    selection = choose(candidates(scores.filter(pc.field("split") == "val").to_pandas(), known), known)
    chosen = mark(scores.select([*KEYS, "lam"]).to_pandas(), selection, known)["chosen"]
    with atomic_write(snakemake.output.metrics) as path:
        pq.write_table(scores.append_column("chosen", pa.array(chosen)), path)
    write_csv(selection, snakemake.output.selection)
    of_runs, of_pairs = searches(snakemake.input.searches, snakemake.params.learnt)
    write_csv(of_runs, snakemake.output.runs)
    write_csv(of_pairs, snakemake.output.searches)
    text = {"dataset": str, "method": str, "loss": str, "variant": str, "quantity": str}
    curves = [pd.read_csv(Path(folder) / "curves.csv", dtype=text) for folder in snakemake.input.models]
    with atomic_write(snakemake.output.curves) as path:
        pd.concat(curves or [pd.DataFrame(columns=CURVES)], ignore_index=True).to_parquet(path, index=False)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
