"""Optimise all validation and test pairs with one loss, along the whole path of regularisation."""

import shutil
from pathlib import Path

from likeness.results import Run
from likeness.runtime import gpus
from likeness.runtime.atomic import whole, work_folder, write_json
from likeness.runtime.jobs import Stopwatch, logged


def main(snakemake) -> None:
    from likeness.data.store import Dataset
    from likeness.methods.objective import Objective
    from likeness.methods.optimisation import REGULARISERS, Recipe
    from likeness.methods.path import RegularisationPath
    from likeness.runtime import download, progress
    from likeness.runtime.provenance import digest, folder_digest
    from likeness.training.device import make_device

    run = Run.of(snakemake.wildcards)
    who = run._asdict()
    checkpoint = Path(str(snakemake.input.extractor)) if snakemake.input.extractor else None
    plain, options = dict(snakemake.params.recipe), dict(snakemake.params.options)
    inputs = [folder_digest(snakemake.input.dataset), download.sha256(checkpoint) if checkpoint else ""]
    work = work_folder(snakemake.params.work, digest(who, plain, options, snakemake.params.code, inputs))
    watch = Stopwatch(work / "runtime.json")
    dataset = Dataset.open(snakemake.input.dataset)
    recipe = Recipe.of(plain)
    regulariser = REGULARISERS[recipe.regulariser]
    device = make_device(recipe.threads)
    objective = Objective(dataset, run.loss, options, checkpoint, device, run.seed, regulariser)
    path = RegularisationPath(objective, recipe, work, progress.label(run.dataset, run.loss), saved=watch.save)
    with whole(snakemake.output.fields) as folder:
        folder.mkdir()
        path.register(folder)
        provenance = {**who, "options": options, "recipe": plain, "code": snakemake.params.code}
        write_json(folder / "provenance.json", provenance)
    write_json(snakemake.output.runtime, watch.record(rule="optimise", **who, code=snakemake.params.code))
    shutil.rmtree(work.parent, ignore_errors=True)


if __name__ == "__main__":
    with logged(snakemake.log[0]), gpus.leased(getattr(snakemake.resources, "gpu", 0)):
        main(snakemake)
