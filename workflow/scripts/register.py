"""Rule register: register all validation and test pairs with every network of a training, one per λ."""

from pathlib import Path

from likeness.results import Run
from likeness.runtime import gpus
from likeness.runtime.atomic import atomic_write, read_json, write_json
from likeness.runtime.jobs import Stopwatch, logged


def main(snakemake) -> None:
    watch = Stopwatch()
    from likeness import fields
    from likeness.data.loading import Loader
    from likeness.data.store import Dataset
    from likeness.methods.prediction import displacements, load_network, searches
    from likeness.training.device import make_device

    dataset = Dataset.open(snakemake.input.dataset)
    models = Path(snakemake.input.models)
    loader = Loader(dataset, make_device(snakemake.params.threads))
    batch = read_json(models / "provenance.json", models)["recipe"]["batch"]
    pairs = dataset.registered
    found = searches(models)
    with atomic_write(snakemake.output.fields) as folder:
        for search, file in found:
            if file is not None:
                network = load_network(models, file, dataset.shape)
                for (moving, fixed), field in displacements(loader, network, pairs, batch):
                    fields.write(folder, search.lam, moving, fixed, field)
        fields.write_manifest(folder, dataset.shape, [search for search, _ in found])
    run = Run.of(snakemake.wildcards)
    write_json(snakemake.output.runtime, watch.record(rule="register", **run._asdict(), code=snakemake.params.code))


if __name__ == "__main__":
    with logged(snakemake.log[0]), gpus.locked(getattr(snakemake.resources, "gpu", 0)):
        main(snakemake)
