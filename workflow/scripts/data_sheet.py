"""Rule data_sheet: write the data sheet of a dataset as text, numbers and a picture."""

from pathlib import Path

import pandas as pd

from likeness.data.store import Dataset
from likeness.figures.style import save
from likeness.report import data_sheet, example_pairs
from likeness.runtime.atomic import atomic_write, write_json
from likeness.runtime.jobs import logged


def main(dataset: Dataset, scores: pd.DataFrame, output) -> None:
    numbers = data_sheet.numbers(dataset, scores)
    write_json(output.numbers, numbers)
    save(example_pairs.draw(dataset), output.picture)
    with atomic_write(output.sheet) as path:
        path.write_text(data_sheet.markdown(numbers, Path(output.picture).name), encoding="utf-8")


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(Dataset.open(snakemake.input.dataset), pd.read_parquet(snakemake.input.scores), snakemake.output)
