"""Rule given: read fields computed elsewhere, for all validation and test pairs that have one."""

from pathlib import Path

from likeness.results import Run
from likeness.runtime.atomic import atomic_write, write_json
from likeness.runtime.jobs import Stopwatch, logged


def main(snakemake) -> None:
    watch = Stopwatch()
    from likeness import fields
    from likeness.data.store import Dataset
    from likeness.imageio.conventions import CONVENTIONS
    from likeness.methods import given

    dataset, source = Dataset.open(snakemake.input.dataset), Path(snakemake.params.folder)
    convention = snakemake.params.convention
    pairs = {split: dataset.pairs_of(split) for split in ("val", "test")}
    found, missing = given.find(source, convention, pairs, dataset.images.index)
    if said := given.shortfall(source, pairs["test"], missing):
        print(said)
    with atomic_write(snakemake.output.fields) as folder:
        for (moving, fixed), path in found.items():
            field = CONVENTIONS[convention].read(path, dataset.placement(moving), dataset.placement(fixed))
            fields.write(folder, None, moving, fixed, field)
        fields.write_manifest(folder, dataset.shape, [fields.Search(None)], missing=missing)
    run = Run.of(snakemake.wildcards)
    write_json(snakemake.output.runtime, watch.record(rule="given", **run._asdict(), code=snakemake.params.code))


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
