"""Rule prepare: a raw dataset folder becomes the prepared form that everything later reads."""

from likeness.data.preparation import prepare

if __name__ == "__main__":
    prepare(snakemake.params.folder, snakemake.output.dataset, snakemake.params.seed, snakemake.wildcards.dataset)
