"""Rule optimise: optimise all validation and test pairs with one loss, along the regularisation path."""

import json
import shutil
from pathlib import Path

from likeness.results import TRUTH, Run
from likeness.runtime import gpus
from likeness.runtime.atomic import atomic_write, work_folder, write_json
from likeness.runtime.jobs import Stopwatch, logged


def chosen_lam(search):
    """Return the λ that another method chose."""
    return json.loads(Path(search).read_text())["chosen"]


def given(start, dataset, fields, search):
    """Return the fields that the path starts from: the true ones, or those chosen by another method."""
    from likeness.evaluation.pair import PrimaryScorer
    from likeness.fields import Fields

    if start is None:
        return None
    if start == TRUTH:
        return lambda *pair: PrimaryScorer(dataset, *map(dataset.load, pair)).true_field
    chosen = chosen_lam(search)
    found = Fields.open(fields)
    # λ is not chosen without validation pairs
    first, there = found.searches[0], {search.lam: search for search in found.searches}
    return lambda *pair: found.read(there.get(chosen, first), *pair)


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
    if snakemake.input.start:
        inputs += [folder_digest(snakemake.input.start), chosen_lam(snakemake.input.chosen)]
    work = work_folder(snakemake.params.work, digest(who, plain, options, snakemake.params.code, inputs))
    watch = Stopwatch(work / "runtime.json")
    dataset = Dataset.open(snakemake.input.dataset)
    recipe = Recipe.of(plain)
    regulariser = REGULARISERS[recipe.regulariser]
    device = make_device(recipe.threads)
    objective = Objective(dataset, run.loss, options, checkpoint, device, run.seed, regulariser)
    origin = given(recipe.start, dataset, snakemake.input.start, snakemake.input.chosen)
    label = progress.label(run.dataset, run.loss)
    path = RegularisationPath(objective, recipe, work, label, saved=watch.save, given=origin)
    with atomic_write(snakemake.output.fields) as folder:
        folder.mkdir()
        path.register(folder)
        provenance = {**who, "options": options, "recipe": plain, "code": snakemake.params.code}
        write_json(folder / "provenance.json", provenance)
    write_json(snakemake.output.runtime, watch.record(rule="optimise", **who, code=snakemake.params.code))
    shutil.rmtree(work.parent, ignore_errors=True)


if __name__ == "__main__":
    with logged(snakemake.log[0]), gpus.locked(getattr(snakemake.resources, "gpu", 0)):
        main(snakemake)
