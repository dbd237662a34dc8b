"""Fetch the published weights of an extractor, or verify those that a person put there."""

from pathlib import Path

from likeness.files import write_json
from likeness.jobs import logged


def main(snakemake) -> None:
    from likeness.weights import obtain, wanted_by

    said = snakemake.config["weights"]
    wanted = wanted_by(said, snakemake.wildcards.extractor)
    obtain(wanted, Path(said["folder"]))
    write_json(snakemake.output.record, {"hashes": wanted.hashes, "source": wanted.plain()})


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
