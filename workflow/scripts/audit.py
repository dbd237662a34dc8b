"""Search once more for the fields of validation pairs, from other starts, and follow the search on its way."""

from pathlib import Path

import pandas as pd

from likeness.results import ENDS, KEYS, STEPS, Run
from likeness.runtime import gpus
from likeness.runtime.atomic import whole, write_json
from likeness.runtime.jobs import Stopwatch, logged


def reference(folders, dataset):
    """Give the fields of the run, of those in folders, that is best on validation pairs; None where none is."""
    from likeness.fields import Fields
    from likeness.methods.audit import best, cost

    judged = [(best(fields, dataset), fields) for fields in map(Fields.open, folders)]
    judged = [(search, fields) for search, fields in judged if search is not None]
    if not judged:
        return None
    search, fields = min(judged, key=lambda one: cost(one[0], dataset))
    return lambda moving, fixed: fields.read(search, moving, fixed)


def main(snakemake) -> None:
    watch = Stopwatch()
    from likeness.data.store import Dataset
    from likeness.fields import Fields
    from likeness.methods.audit import Audit, best
    from likeness.methods.objective import Objective
    from likeness.methods.optimisation import REGULARISERS, Recipe
    from likeness.training.device import make_device

    run, recipe = Run.of(snakemake.wildcards), Recipe.of(snakemake.params.recipe)
    dataset, fields = Dataset.open(snakemake.input.dataset), Fields.open(snakemake.input.fields)
    search = best(fields, dataset)
    endings, trace, each = [], [], None
    if search is not None:
        checkpoint = Path(str(snakemake.input.extractor)) if snakemake.input.extractor else None
        device, options = make_device(recipe.threads), dict(snakemake.params.options)
        objective = Objective(
            dataset, run.loss, options, checkpoint, device, run.seed, REGULARISERS[recipe.regulariser]
        )
        audit = Audit(objective, recipe, fields, search, reference(snakemake.input.others, dataset))
        audit.run()
        endings, trace = audit.endings, audit.trace
        each = 1000 * audit.seconds / audit.followed if audit.followed else None
    for rows, columns, place in (
        (endings, ENDS, snakemake.output.audit),
        (trace, STEPS, snakemake.output.trace),
    ):
        table = (
            pd.DataFrame(rows, columns=columns)
            .assign(**run._asdict(), lam=search.lam if search else float("nan"))
            .astype({"seed": "Int64"})
        )
        with whole(place) as path:
            table[[*KEYS, "lam", *columns]].to_csv(path, index=False, lineterminator="\n")
    took = watch.record(rule="audit", **run._asdict(), evaluation_ms=each, code=snakemake.params.code)
    write_json(snakemake.output.runtime, took)


if __name__ == "__main__":
    with logged(snakemake.log[0]), gpus.leased(getattr(snakemake.resources, "gpu", 0)):
        main(snakemake)
