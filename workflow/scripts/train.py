"""Rule train: train registration networks with one loss, one for every regularisation weight of the grid."""

import shutil
from pathlib import Path

from likeness.results import Run
from likeness.runtime import gpus
from likeness.runtime.atomic import atomic_write, work_folder, write_json
from likeness.runtime.jobs import Stopwatch, logged


def main(snakemake) -> None:
    from likeness.data.store import Dataset
    from likeness.methods.network import NetworkTask, Recipe, train_grid
    from likeness.runtime import download
    from likeness.runtime.provenance import digest, folder_digest

    run = Run.of(snakemake.wildcards)
    who = run._asdict()
    checkpoint = Path(str(snakemake.input.extractor)) if snakemake.input.extractor else None
    plain, options = dict(snakemake.params.recipe), dict(snakemake.params.options)
    inputs = [folder_digest(snakemake.input.dataset), download.sha256(checkpoint) if checkpoint else ""]
    work = work_folder(snakemake.params.work, digest(who, plain, options, snakemake.params.code, inputs))
    watch = Stopwatch(work / "runtime.json")
    dataset = Dataset.open(snakemake.input.dataset)
    task = NetworkTask(dataset, run.loss, options, checkpoint, Recipe.of(plain), run.seed)
    done = train_grid(task, work, who, saved=watch.save)
    with atomic_write(snakemake.output.models) as folder:
        folder.mkdir()
        for file in done:
            shutil.copyfile(file, folder / file.name)
        provenance = {**who, "options": options, "recipe": plain, "code": snakemake.params.code}
        write_json(folder / "provenance.json", provenance)
    write_json(snakemake.output.runtime, watch.record(rule="train", **who, code=snakemake.params.code))
    shutil.rmtree(work.parent, ignore_errors=True)


if __name__ == "__main__":
    with logged(snakemake.log[0]), gpus.locked(getattr(snakemake.resources, "gpu", 0)):
        main(snakemake)
