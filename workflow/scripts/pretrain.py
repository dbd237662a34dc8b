"""Pretrain one feature extractor on one dataset."""

import shutil
from pathlib import Path

from likeness.files import Stopwatch, logged, whole, write_json


def main(snakemake) -> None:
    watch = Stopwatch()
    import pandas as pd
    from safetensors.torch import save_file

    from likeness.data.store import Dataset
    from likeness.extractors.pretraining import pretrain
    from likeness.provenance import digest, folder_digest
    from likeness.training import Schedule

    recipe = dict(snakemake.params.recipe)
    name, seed = snakemake.wildcards.extractor, int(snakemake.wildcards.seed)
    budget = ("steps", "learning_rate", "validate_every", "checkpoint_every", "patience", "annealing")
    key = digest(recipe, name, seed, snakemake.params.code, folder_digest(snakemake.input.dataset))
    work = Path(snakemake.params.work) / f"pretrain-{key}"
    architecture, outcome = pretrain(
        name,
        Dataset.open(snakemake.input.dataset),
        Schedule(**{k: recipe[k] for k in budget}),
        channels=recipe["channels"],
        norm=recipe["norm"],
        batch=recipe["batch"],
        seed=seed,
        threads=recipe["threads"],
        checkpoint=work / "checkpoint.pt",
    )
    with whole(snakemake.output.weights) as path:
        save_file({k: v.contiguous().cpu() for k, v in outcome.weights.items()}, path)
    with whole(snakemake.output.curves) as path:
        pd.DataFrame(outcome.curve).to_csv(path, index=False, float_format="%.6g")
    write_json(
        snakemake.output.description,
        {
            "architecture": architecture,
            "dataset": snakemake.wildcards.dataset,
            "subjects": "train",
            "seed": seed,
            "recipe": recipe,
            "best_step": outcome.best_step,
            "code": snakemake.params.code,
        },
    )
    who = {"rule": "pretrain", "dataset": snakemake.wildcards.dataset, "extractor": name, "seed": seed}
    write_json(snakemake.output.runtime, watch.record(**who))
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
