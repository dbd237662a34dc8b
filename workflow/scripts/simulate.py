"""Rule simulate: a recipe writes the raw folder of a built-in dataset."""

from likeness.data import recipes

if __name__ == "__main__":
    recipes.make(snakemake.params.recipe, snakemake.output.folder, snakemake.params.seed, **snakemake.params.options)
