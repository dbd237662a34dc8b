"""Rule classical: register all validation and test pairs by a classical method, along its whole path."""

import shutil
from dataclasses import asdict
from pathlib import Path

from likeness.results import Run
from likeness.runtime.atomic import atomic_write, work_folder, write_json
from likeness.runtime.jobs import Stopwatch, logged


def main(snakemake) -> None:
    from likeness import extractors, fields
    from likeness.data.store import Dataset
    from likeness.methods.classical import Recipe, register_pairs
    from likeness.runtime import download, progress
    from likeness.runtime.provenance import digest, folder_digest
    from likeness.training.device import make_device

    run = Run.of(snakemake.wildcards)
    who, recipe = run._asdict(), Recipe(**snakemake.params.recipe)
    checkpoint = Path(str(snakemake.input.extractor)) if snakemake.input.extractor else None
    inputs = [folder_digest(snakemake.input.dataset), download.sha256(checkpoint) if checkpoint else ""]
    work = work_folder(snakemake.params.work, digest(who, asdict(recipe), snakemake.params.code, inputs))
    watch = Stopwatch(work / "runtime.json")
    dataset = Dataset.open(snakemake.input.dataset)
    make_device(1)
    extractor = None if checkpoint is None else extractors.load(checkpoint)
    made, label = work / "fields", progress.label(run.dataset, " ".join(filter(None, (run.method, run.variant))))
    register_pairs(dataset, recipe, extractor, made, label, watch.save)
    with atomic_write(snakemake.output.fields) as folder:
        shutil.copytree(made, folder)
        fields.write_manifest(folder, dataset.shape, [fields.Search(lam) for lam in recipe.path])
        write_json(folder / "provenance.json", {**who, "recipe": asdict(recipe), "code": snakemake.params.code})
    write_json(snakemake.output.runtime, watch.record(rule="classical", **who, code=snakemake.params.code))
    shutil.rmtree(work.parent, ignore_errors=True)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
