"""Rule pretrain: train one feature extractor on one dataset."""

import shutil

from likeness.runtime import gpus
from likeness.runtime.atomic import atomic_write, work_folder, write_json
from likeness.runtime.jobs import Stopwatch, logged


def main(snakemake) -> None:
    import pandas as pd

    from likeness.data.store import Dataset
    from likeness.extractors.pretraining import pretrain
    from likeness.runtime.provenance import digest, folder_digest
    from likeness.training.checkpoint import save_weights
    from likeness.training.trainer import Point, Schedule

    recipe = dict(snakemake.params.recipe)
    name, seed = snakemake.wildcards.extractor, int(snakemake.wildcards.seed)
    budget = ("steps", "learning_rate", "validate_every", "checkpoint_every", "patience", "annealing")
    key = digest(recipe, name, seed, snakemake.params.code, folder_digest(snakemake.input.dataset))
    work = work_folder(snakemake.params.work, key)
    watch = Stopwatch(work / "runtime.json")
    architecture, outcome = pretrain(
        name,
        Dataset.open(snakemake.input.dataset),
        Schedule(**{k: recipe[k] for k in budget}),
        channels=recipe["channels"],
        norm=recipe["norm"],
        batch=recipe["batch"],
        seed=seed,
        threads=recipe["threads"],
        checkpoint=work / "unfinished.checkpoint",
        saved=watch.save,
    )
    save_weights(outcome.weights, snakemake.output.weights)
    with atomic_write(snakemake.output.curves) as path:
        pd.DataFrame(outcome.curve, columns=Point._fields).to_csv(path, index=False, float_format="%.6g")
    write_json(
        snakemake.output.description,
        {
            "architecture": architecture,
            "dataset": snakemake.wildcards.dataset,
            "images": "train",
            "seed": seed,
            "recipe": recipe,
            "best_step": outcome.best_step,
            "code": snakemake.params.code,
        },
    )
    who = {"rule": "pretrain", "dataset": snakemake.wildcards.dataset, "extractor": name, "seed": seed}
    write_json(snakemake.output.runtime, watch.record(**who, code=snakemake.params.code))
    shutil.rmtree(work.parent, ignore_errors=True)


if __name__ == "__main__":
    with logged(snakemake.log[0]), gpus.locked(getattr(snakemake.resources, "gpu", 0)):
        main(snakemake)
