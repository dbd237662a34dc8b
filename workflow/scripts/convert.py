"""Rule convert: convert the published weights of an extractor to the common format."""

from importlib import import_module
from pathlib import Path

from likeness.runtime.atomic import write_json
from likeness.runtime.jobs import Stopwatch, logged


def main(snakemake) -> None:
    from likeness import extractors
    from likeness.extractors.sources import wanted_by
    from likeness.runtime.published import obtain
    from likeness.training.checkpoint import save_weights

    watch = Stopwatch()
    name, said = snakemake.wildcards.extractor, snakemake.config["checkpoints"]
    wanted = wanted_by(said, name)
    files = obtain(wanted, Path(said["folder"]))
    architecture, state = import_module(f"likeness.extractors.{name}").read(files)
    save_weights(state, snakemake.output.weights)
    del state
    description = {"architecture": {**architecture, "name": name}, "hashes": wanted.hashes, "source": wanted.plain()}
    write_json(snakemake.output.description, {**description, "code": snakemake.params.code})
    # fails here, rather than in every training, if the weights do not match the architecture
    extractors.load(snakemake.output.weights)
    write_json(snakemake.output.runtime, watch.record(rule="convert", extractor=name, code=snakemake.params.code))


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
