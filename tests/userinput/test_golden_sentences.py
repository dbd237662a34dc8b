"""How a refusal is worded, once for every kind of message; what other messages must tell, their tests hold.

This is the only place where sentences of refusals are repeated; one that is worded better is copied here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from builders import edit_table, make_dataset
from PIL import Image

from likeness.config import dataset_file
from likeness.config.study import Study
from likeness.data import contents
from likeness.userinput import cards
from likeness.userinput.errors import UserError

STUDY: dict[str, Any] = {"title": "t", "datasets": {"mni-brain": None}, "losses": {"mse": None, "ncc": None}}


def study(**changes: Any) -> Callable[[Path], object]:
    """Read a study with a fault."""
    return lambda _: Study.load(STUDY | changes, "c.yaml")


def dataset(spoil: Callable[[Path], object]) -> Callable[[Path], object]:
    """Check a dataset folder with a fault."""

    def check(folder: Path) -> None:
        spoil(make_dataset(folder))
        dataset_file.check(folder)
        contents.check(folder)

    return check


def misname_a_column(folder: Path) -> None:
    path = folder / "images.csv"
    path.write_text(path.read_text().replace("split", "spilt", 1))


def add_five_to_labels(folder: Path) -> None:
    path = folder / "label" / "val0.png"
    Image.fromarray(np.asarray(Image.open(path)) + np.uint8(5)).save(path)


def score_the_background(folder: Path) -> None:
    path = folder / "dataset.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"evaluate": [0, 1]}))


def read_a_card(folder: Path) -> None:
    path = folder / "mine.py"
    path.write_text('CARD = {"title": "", "unti": "1"}\n')
    cards.card(path, ["title"], {"unit": ""})


@pytest.mark.parametrize(
    ("refuse", "sentence"),
    [
        pytest.param(
            study(training={"step": 1}),
            "c.yaml: key 'training.step' is unknown; did you mean 'steps'?",
            id="unknown key",
        ),
        pytest.param(
            study(training={"steps": "many"}),
            "c.yaml: key 'training.steps': 'many' is not a whole number; give one (number of updates)",
            id="wrong type",
        ),
        pytest.param(
            study(losses={"ncc": {"options": {"window": 0}}}),
            "c.yaml: key 'losses.ncc.options.window': 0 is too small; give at least 3, the default is 9",
            id="out of range",
        ),
        pytest.param(
            study(training={"steps": "1e4"}),
            "c.yaml: key 'training.steps': YAML reads '1e4' as text; write 10000 without quotes (number of updates)",
            id="number as text",
        ),
        pytest.param(
            study(optimisation={"separate": ["mss"]}),
            "c.yaml: key 'optimisation.separate': the study has no loss 'mss'; did you mean 'mse'?",
            id="name of another key",
        ),
        pytest.param(
            dataset(lambda folder: edit_table(folder / "images.csv", 0, "image", "image/none.png")),
            "{folder}/images.csv: column 'image' of image 'train0' has 'image/none.png', which does not exist in "
            "{folder}; add the file or correct the path",
            id="missing file",
        ),
        pytest.param(
            dataset(misname_a_column),
            "{folder}/images.csv: column 'split' is missing (found 'spilt'); the header needs id, image, split",
            id="wrong column",
        ),
        pytest.param(
            dataset(add_five_to_labels),
            "{folder}/label/val0.png: has 3 label values, 5, 6, 7, which key 'labels' of dataset.yaml does not name; "
            "add them there or correct the map",
            id="wrong label value",
        ),
        pytest.param(
            dataset(lambda folder: (folder / "pairs.csv").write_text("split,moving,fixed\ntrain,train0,tran1\n")),
            "{folder}/pairs.csv: pair 'train0' to 'tran1' of split 'train' names 'tran1', which is not in images.csv; "
            "did you mean 'train1'?",
            id="pair of an unknown image",
        ),
        pytest.param(
            dataset(score_the_background),
            "{folder}/dataset.yaml: key 'evaluate' has the background 0; remove it or set 'background: null'",
            id="keys that contradict",
        ),
        pytest.param(
            read_a_card,
            "{folder}/mine.py: CARD has an unknown key 'unti'; did you mean 'unit'?",
            id="wrong card",
        ),
    ],
)
def test_a_refusal_is_worded_like_this(tmp_path: Path, refuse: Callable[[Path], object], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        refuse(tmp_path)
    assert str(caught.value) == sentence.format(folder=tmp_path)
