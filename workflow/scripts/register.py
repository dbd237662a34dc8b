"""Register all validation and test pairs with every network of a training, one per regularisation weight."""

from pathlib import Path

from likeness.runtime import gpus
from likeness.runtime.atomic import read_json, whole, write_json
from likeness.runtime.jobs import Stopwatch, logged


def main(snakemake) -> None:
    watch = Stopwatch()
    import numpy as np

    from likeness.data.loading import Loader
    from likeness.data.store import Dataset
    from likeness.methods.network import displacements, load_network
    from likeness.training.device import make_device

    dataset = Dataset.open(snakemake.input.dataset)
    models = Path(snakemake.input.models)
    loader = Loader(dataset, make_device(snakemake.params.threads))
    trained = read_json(models / "training.json", models)["weights"]
    batch = read_json(models / "provenance.json", models)["recipe"]["batch"]
    splits = {split: dataset.pairs_of(split) for split in ("val", "test")}
    shown = splits["test"][len(splits["test"]) // 2]
    samples = {}
    with whole(snakemake.output.fields) as folder:
        for entry in trained:
            if entry["file"] is None:
                continue
            network = load_network(models, entry["file"], dataset.shape)
            for split, pairs in splits.items():
                place = folder / f"{entry['weight']:g}" / split
                place.mkdir(parents=True, exist_ok=True)
                for (moving, fixed), field in displacements(loader, network, pairs, batch):
                    np.savez_compressed(place / f"{moving}__{fixed}.npz", displacement=field)
                    if split == "test" and (moving, fixed) == shown:
                        samples[entry["weight"]] = field
        write_json(folder / "fields.json", {"weights": trained})
    with whole(snakemake.output.sample) as path, path.open("wb") as file:
        np.savez_compressed(
            file,
            moving=np.array(shown[0]),
            fixed=np.array(shown[1]),
            lams=np.array(list(samples)),
            displacements=np.array(list(samples.values())),
        )
    wildcards = snakemake.wildcards
    who = {k: getattr(wildcards, k) for k in ("dataset", "network", "loss", "variant")} | {"seed": int(wildcards.seed)}
    write_json(snakemake.output.runtime, watch.record(rule="register", **who, code=snakemake.params.code))


if __name__ == "__main__":
    with logged(snakemake.log[0]), gpus.leased(getattr(snakemake.resources, "gpu", 0)):
        main(snakemake)
