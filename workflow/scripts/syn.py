"""Rule syn: register all validation and test pairs by SyN, for every smoothing of the path."""

import shutil
from pathlib import Path

from likeness.results import Run
from likeness.runtime.atomic import atomic_write, work_folder, write_json
from likeness.runtime.jobs import Stopwatch, logged


def main(snakemake) -> None:
    from likeness import extractors, fields
    from likeness.data.store import Dataset
    from likeness.methods.syn import register_pairs
    from likeness.runtime import download, progress
    from likeness.runtime.provenance import digest, folder_digest
    from likeness.training.device import make_device

    run = Run.of(snakemake.wildcards)
    who, recipe = run._asdict(), dict(snakemake.params.recipe)
    checkpoint = Path(str(snakemake.input.extractor)) if snakemake.input.extractor else None
    inputs = [folder_digest(snakemake.input.dataset), download.sha256(checkpoint) if checkpoint else ""]
    work = work_folder(snakemake.params.work, digest(who, recipe, snakemake.params.code, inputs))
    watch = Stopwatch(work / "runtime.json")
    dataset = Dataset.open(snakemake.input.dataset)
    make_device(1)
    extractor = None if checkpoint is None else extractors.load(checkpoint)
    path, made = sorted(recipe["smoothing"], reverse=True), work / "fields"
    label = progress.label(run.dataset, f"{run.method} {run.variant}")
    register_pairs(dataset, run.variant, path, extractor, made, label, watch.save)
    with atomic_write(snakemake.output.fields) as folder:
        shutil.copytree(made, folder)
        fields.write_manifest(folder, dataset.shape, [fields.Search(smoothing) for smoothing in path])
        write_json(folder / "provenance.json", {**who, "recipe": recipe, "code": snakemake.params.code})
    write_json(snakemake.output.runtime, watch.record(rule="syn", **who, code=snakemake.params.code))
    shutil.rmtree(work.parent, ignore_errors=True)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
