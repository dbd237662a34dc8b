"""Rule prepare: a raw dataset folder becomes the prepared form that everything later reads."""

from likeness.data.preparation import prepare
from likeness.runtime.jobs import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        given = snakemake.params
        name, output = snakemake.wildcards.dataset, snakemake.output.dataset
        prepare(given.folder, output, given.seed, name, given.most, given.presmoothing)
