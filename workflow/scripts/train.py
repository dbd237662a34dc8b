"""Train one registration network with one loss, once for every regularisation weight of the grid."""

import json
import shutil
from pathlib import Path

from likeness.files import Stopwatch, logged, whole, write_json


def recipe_of(plain: dict):
    from likeness.augmentation import Augmentation
    from likeness.registration import Recipe
    from likeness.training import Schedule

    budget = ("steps", "learning_rate", "validate_every", "checkpoint_every", "patience", "annealing")
    augmentation = dict(plain["augmentation"])
    augmentation["scale"] = tuple(augmentation["scale"])
    return Recipe(
        network=plain["network"],
        architecture=plain["architecture"],
        schedule=Schedule(**{k: plain[k] for k in budget}),
        batch=plain["batch"],
        grid=tuple(plain["grid"]),
        weights=plain["weights"],
        augmentation=Augmentation(**augmentation),
        precision=plain["precision"],
        threads=plain["threads"],
    )


def main(snakemake) -> None:
    watch = Stopwatch()
    wildcards = snakemake.wildcards
    who = {k: getattr(wildcards, k) for k in ("dataset", "network", "loss", "variant")} | {"seed": int(wildcards.seed)}
    from likeness.data.store import Dataset
    from likeness.provenance import digest, folder_digest
    from likeness.registration import RegistrationTask, train_grid

    weights = Path(str(snakemake.input.extractor)) if snakemake.input.extractor else None
    plain, options = dict(snakemake.params.recipe), dict(snakemake.params.options)
    inputs = [folder_digest(snakemake.input.dataset), digest(weights.read_bytes().hex()) if weights else ""]
    work = Path(snakemake.params.work) / f"train-{digest(who, plain, options, snakemake.params.code, inputs)}"
    timed = work / "runtime.json"
    if timed.is_file():
        watch.before = json.loads(timed.read_text())
    task = RegistrationTask(
        Dataset.open(snakemake.input.dataset), who["loss"], options, weights, recipe_of(plain), who["seed"]
    )
    done = train_grid(task, work, who, after=lambda: write_json(timed, watch.record()))
    with whole(snakemake.output.models) as folder:
        folder.mkdir()
        for file in done:
            shutil.copyfile(file, folder / file.name)
        provenance = {**who, "options": options, "recipe": plain, "code": snakemake.params.code}
        write_json(folder / "provenance.json", provenance)
    write_json(snakemake.output.runtime, watch.record(rule="train", **who))
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
