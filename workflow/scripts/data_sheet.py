"""Rule data_sheet: what a reader must know of a dataset, as text, numbers and a picture."""

from pathlib import Path

import pandas as pd

from likeness.data import sheet
from likeness.data.store import Dataset
from likeness.figures import sheet as picture
from likeness.figures.style import save
from likeness.files import whole, write_json
from likeness.jobs import logged


def main(dataset: Dataset, scores: pd.DataFrame, output) -> None:
    numbers = sheet.numbers(dataset, scores)
    write_json(output.numbers, numbers)
    save(picture.draw(dataset), output.picture)
    with whole(output.sheet) as path:
        path.write_text(sheet.markdown(numbers, Path(output.picture).name), encoding="utf-8")


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        main(Dataset.open(snakemake.input.dataset), pd.read_parquet(snakemake.input.scores), snakemake.output)
