"""Rule audit: repeat the search for validation pairs from other starts, and record the trajectory of one search."""

import shutil
from pathlib import Path

import pandas as pd

from likeness.results import ENDS, KEYS, STEPS, Run
from likeness.runtime import gpus
from likeness.runtime.atomic import atomic_write, work_folder, write_json
from likeness.runtime.jobs import Stopwatch, logged


def reference(folders, dataset):
    """Return the fields of the run that is best on validation pairs; ``None`` if none was scored."""
    from likeness.fields import Fields
    from likeness.methods.audit import best, cost

    scored = [(best(fields, dataset), fields) for fields in map(Fields.open, folders)]
    scored = [(search, fields) for search, fields in scored if search is not None]
    if not scored:
        return None
    search, fields = min(scored, key=lambda one: cost(one[0], dataset))
    return lambda moving, fixed: fields.read(search, moving, fixed)


def main(snakemake) -> None:
    from likeness import losses
    from likeness.data.store import Dataset
    from likeness.fields import Fields
    from likeness.methods.audit import DRAWS, Audit, Found, best
    from likeness.methods.objective import Objective
    from likeness.methods.optimisation import REGULARISERS, Recipe
    from likeness.runtime.provenance import digest, folder_digest
    from likeness.training.device import make_device

    run, recipe = Run.of(snakemake.wildcards), Recipe.of(snakemake.params.recipe)
    dataset, fields = Dataset.open(snakemake.input.dataset), Fields.open(snakemake.input.fields)
    options, others = dict(snakemake.params.options), list(snakemake.input.others)
    count = snakemake.params.pairs
    inputs = [folder_digest(folder) for folder in (snakemake.input.dataset, snakemake.input.fields, *others)]
    key = digest(run._asdict(), dict(snakemake.params.recipe), count, options, snakemake.params.code, inputs)
    work = work_folder(snakemake.params.work, key)
    watch = Stopwatch(work / "runtime.json")
    search = best(fields, dataset)
    found, each = Found(), None
    if search is not None:
        checkpoint = Path(str(snakemake.input.extractor)) if snakemake.input.extractor else None
        device = make_device(recipe.threads)

        def objective(options):
            regulariser = REGULARISERS[recipe.regulariser]
            return Objective(dataset, run.loss, options, checkpoint, device, run.seed, regulariser)

        noisier, dims = None, dataset.spatial_dims
        if losses.draws_noise(run.loss, dims):
            noisier = objective(losses.with_more_draws(run.loss, dims, options, DRAWS))
        start = reference(others, dataset)
        Audit(objective(options), recipe, fields, search, count, work, start, watch.save, found, noisier).run()
        each = 1000 * found.seconds / found.followed if found.followed else None
    for rows, columns, place in (
        (found.endings, ENDS, snakemake.output.audit),
        (found.trace, STEPS, snakemake.output.trace),
    ):
        table = (
            pd.DataFrame(rows, columns=columns)
            .assign(**run._asdict(), lam=search.lam if search else float("nan"))
            .astype({"seed": "Int64"})
        )
        with atomic_write(place) as path:
            table[[*KEYS, "lam", *columns]].to_csv(path, index=False, lineterminator="\n")
    took = watch.record(rule="audit", **run._asdict(), pairs=count, evaluation_ms=each, code=snakemake.params.code)
    write_json(snakemake.output.runtime, took)
    shutil.rmtree(work.parent, ignore_errors=True)


if __name__ == "__main__":
    with logged(snakemake.log[0]), gpus.locked(getattr(snakemake.resources, "gpu", 0)):
        main(snakemake)
