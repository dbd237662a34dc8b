"""Rule consistency: register test pairs again after a known warp of their moving images."""

import json
from pathlib import Path

import pandas as pd

from likeness.results import KEYS, Run
from likeness.runtime import gpus
from likeness.runtime.atomic import atomic_write, write_json
from likeness.runtime.jobs import Stopwatch, logged

COLUMNS = [
    *KEYS,
    "lam",
    "moving",
    "fixed",
    "moving_subject",
    "fixed_subject",
    "metric",
    "label",
    "value",
    "unit",
    "warp",
]


def main(snakemake) -> None:
    watch = Stopwatch()
    from likeness.data.store import Dataset
    from likeness.fields import Fields
    from likeness.methods.consistency import METRIC, Consistency
    from likeness.methods.objective import Objective
    from likeness.methods.optimisation import REGULARISERS, Recipe
    from likeness.training.device import make_device

    run, recipe = Run.of(snakemake.wildcards), Recipe.of(snakemake.params.recipe)
    dataset, fields = Dataset.open(snakemake.input.dataset), Fields.open(snakemake.input.fields)
    lam = json.loads(Path(snakemake.input.search).read_text())["chosen"]
    rows = []
    # λ is not chosen without validation pairs
    if lam is not None:
        checkpoint = Path(str(snakemake.input.extractor)) if snakemake.input.extractor else None
        device, options = make_device(recipe.threads), dict(snakemake.params.options)
        regulariser = REGULARISERS[recipe.regulariser]
        objective = Objective(dataset, run.loss, options, checkpoint, device, run.seed, regulariser)
        asked = snakemake.params.asked
        found = Consistency(
            objective, recipe, fields, lam, asked["pairs"], asked["displacement"], snakemake.params.seed
        )
        for row in found.rows():
            units = dataset.subjects(row["moving"], row["fixed"])
            who = dict(zip(("moving_subject", "fixed_subject"), units, strict=True))
            same = {"lam": lam, "metric": METRIC, "label": "all", "unit": dataset.spacing_unit}
            rows.append({**run._asdict(), **same, **who, **row})
    with atomic_write(snakemake.output.table) as path:
        table = pd.DataFrame(rows, columns=COLUMNS).astype({"seed": "Int64"})
        table.to_csv(path, index=False, float_format="%.9g", lineterminator="\n")
    write_json(snakemake.output.runtime, watch.record(rule="consistency", **run._asdict(), code=snakemake.params.code))


if __name__ == "__main__":
    with logged(snakemake.log[0]), gpus.locked(getattr(snakemake.resources, "gpu", 0)):
        main(snakemake)
