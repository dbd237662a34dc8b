"""Rule export: write the fields of one run at its chosen λ in a convention of other programs."""

import json
from pathlib import Path

from likeness.runtime.atomic import atomic_write
from likeness.runtime.jobs import logged


def main(snakemake) -> None:
    from likeness.data.store import Dataset
    from likeness.fields import Fields
    from likeness.imageio import conventions

    dataset, fields = Dataset.open(snakemake.input.dataset), Fields.open(snakemake.input.fields)
    chosen = json.loads(Path(snakemake.input.search).read_text())["chosen"]
    # λ is not chosen without validation pairs
    search = {search.lam: search for search in fields.searches}.get(chosen, fields.searches[0])
    convention = snakemake.wildcards.convention
    pairs = dataset.registered
    stems = conventions.stems(convention, pairs, dataset.images.index)
    with atomic_write(snakemake.output.folder) as folder:
        folder.mkdir()
        for moving, fixed in pairs:
            field = fields.read(search, moving, fixed)
            if field is not None:
                places = dataset.placement(moving), dataset.placement(fixed)
                conventions.write(folder, convention, stems[moving, fixed][0], field, *places)


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(snakemake)
