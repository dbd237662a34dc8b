"""Rule prepare: convert a raw dataset folder to the prepared form that all later steps read."""

from likeness.data.preparation import prepare
from likeness.runtime.jobs import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        given = snakemake.params
        name, output = snakemake.wildcards.dataset, snakemake.output.dataset
        prepare(given.folder, output, given.seed, name, given.most, given.presmoothing, given.degrade)
