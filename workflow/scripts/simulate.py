"""Rule simulate: write the raw folder of a built-in dataset."""

from likeness.datasets import recipes
from likeness.runtime.jobs import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        recipes.make(
            snakemake.params.recipe, snakemake.output.folder, snakemake.params.seed, **snakemake.params.options
        )
