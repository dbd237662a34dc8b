"""Rule fetch: download the published weights of an extractor, or verify files copied by the user."""

from pathlib import Path

from likeness.runtime.atomic import write_json
from likeness.runtime.jobs import logged


def main(snakemake) -> None:
    from likeness.extractors.sources import wanted_by
    from likeness.runtime.published import obtain

    said = snakemake.config["checkpoints"]
    wanted = wanted_by(said, snakemake.wildcards.extractor)
    obtain(wanted, Path(said["folder"]))
    write_json(snakemake.output.record, {"hashes": wanted.hashes, "source": wanted.plain()})


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
