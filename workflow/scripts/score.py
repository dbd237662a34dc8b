"""Score the displacement fields of one training, or the unregistered pairs of a dataset."""

import json
from pathlib import Path

from likeness.runtime.atomic import whole, write_json
from likeness.runtime.jobs import Stopwatch, logged


def main(snakemake) -> None:
    watch = Stopwatch()
    from likeness.data.store import Dataset
    from likeness.evaluation.table import UNREGISTERED, score_fields, score_unregistered

    dataset = Dataset.open(snakemake.input.dataset)
    fields = getattr(snakemake.input, "fields", None)
    if fields is None:
        who = {"dataset": dataset.name, **UNREGISTERED}
        scores = score_unregistered(dataset)
    else:
        wildcards = snakemake.wildcards
        who = {k: getattr(wildcards, k) for k in ("dataset", "network", "loss", "variant")}
        who["seed"] = int(wildcards.seed)
        weights = json.loads((Path(fields) / "fields.json").read_text())["weights"]
        scores = score_fields(dataset, Path(fields), {e["weight"]: e["file"] is not None for e in weights}, who)
    with whole(snakemake.output.scores) as path:
        scores.to_parquet(path, index=False)
    keys = ("dataset", "network", "loss", "variant", "seed")
    done = watch.record(rule="score", **{k: who[k] for k in keys}, code=snakemake.params.code)
    write_json(snakemake.output.runtime, done)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
