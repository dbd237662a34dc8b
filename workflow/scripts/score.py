"""Rule score: score the displacement fields of one run, or the unregistered pairs of a dataset."""

from likeness.results import Run
from likeness.runtime.atomic import atomic_write, write_json
from likeness.runtime.jobs import Stopwatch, logged


def main(snakemake) -> None:
    watch = Stopwatch()
    from dataclasses import asdict
    from functools import partial

    import numpy as np

    from likeness.data.store import Dataset
    from likeness.evaluation.table import sample, score_fields, score_unregistered
    from likeness.fields import Fields
    from likeness.methods import kinds
    from likeness.statistics import selection

    dataset = Dataset.open(snakemake.input.dataset)
    if hasattr(snakemake.input, "fields"):
        run, fields = Run.of(snakemake.wildcards), Fields.open(snakemake.input.fields)
        choose = partial(selection.chosen_lam, methods=kinds.of(snakemake.params.methods))
        scores = score_fields(dataset, fields, run, choose)
        with atomic_write(snakemake.output.sample) as path, path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **sample(dataset, fields))
        chosen = choose(scores[scores.split == "val"])
        ended = [asdict(search) for search in fields.searches]
        found = {**run._asdict(), "chosen": None if np.isnan(chosen) else chosen, "searches": ended}
        write_json(snakemake.output.search, found)
    else:
        run = Run(dataset.name, snakemake.params.method)
        scores = score_unregistered(dataset, run)
    with atomic_write(snakemake.output.scores) as path:
        scores.to_parquet(path, index=False)
    write_json(snakemake.output.runtime, watch.record(rule="score", **run._asdict(), code=snakemake.params.code))


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
