"""The format of displacement fields: what is written is read, and anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from likeness import fields
from likeness.fields import Fields, PairSearch, Search
from likeness.userinput.errors import UserError

SHAPE = (6, 5)
PAIRS = (PairSearch("a", "b", 40, False, 0.25, 0.5),)
SEARCHES = [
    Search(0.3, 100, converged=1.0),
    Search(1.0, 40, converged=0.0, multiple=2.0, weight=0.1, pairs=PAIRS),
    Search(30.0, 0, 0.0, diverged=True),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, search in enumerate(SEARCHES[:2]):
        fields.write(tmp_path, search.lam, "a", "b", np.full((*SHAPE, 2), number, np.float64))
    fields.write_manifest(tmp_path, SHAPE, SEARCHES)
    return tmp_path


def test_what_is_written_is_read(folder: Path) -> None:
    found = Fields.open(folder)
    assert found.shape == SHAPE
    assert list(found.searches) == SEARCHES
    read = [found.read(search, "a", "b") for search in found.searches]
    assert [None if field is None else (field.dtype, field.max()) for field in read] == [
        (np.float32, 0),
        (np.float32, 1),
        None,
    ]


def test_a_field_of_another_precision_is_read_in_single_precision(folder: Path) -> None:
    np.savez(folder / "0.3" / "a+b.npz", displacement=np.ones((*SHAPE, 2), np.float64))
    found = Fields.open(folder)
    field = found.read(found.searches[0], "a", "b")
    assert field is not None
    assert field.dtype == np.float32


def test_a_method_without_a_weight_has_one_field_for_each_pair(tmp_path: Path) -> None:
    fields.write(tmp_path, None, "a", "b", np.ones((*SHAPE, 2)))
    fields.write_manifest(tmp_path, SHAPE, [Search(None)])
    found = Fields.open(tmp_path)
    field = found.read(found.searches[0], "a", "b")
    assert field is not None
    assert field.all()
    assert (tmp_path / "-" / "a+b.npz").is_file()


def test_names_with_the_same_letters_are_different_pairs(tmp_path: Path) -> None:
    for pair, value in ((("a__b", "c"), 1), (("a", "b__c"), 2), (("a-", "b"), 3), (("a", "-b"), 4)):
        fields.write(tmp_path, 1.0, *pair, np.full((*SHAPE, 2), value))
    assert len(list(tmp_path.rglob("*.npz"))) == 4


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "0.3" / "a+b.npz").unlink(), "a+b.npz: contains no displacement field"),
        (lambda folder: (folder / "0.3" / "a+b.npz").write_bytes(b"PK"), "a+b.npz: contains no displacement field"),
        (lambda folder: fields.write(folder, 0.3, "a", "b", np.ones((5, 6, 2))), "float32 of shape (5, 6, 2), but the"),
        (lambda folder: np.savez(folder / "0.3" / "a+b.npz", other=np.ones(3)), "a+b.npz: contains no displacement"),
        (
            lambda folder: np.savez(folder / "0.3" / "a+b.npz", displacement=np.ones((*SHAPE, 2), int)),
            "has int64 of shape (6, 5, 2), but the fixed grid needs floats",
        ),
        (
            lambda folder: np.savez(folder / "0.3" / "a+b.npz", displacement=np.array([folder], object)),
            "a+b.npz: contains no displacement field (Object arrays cannot be loaded",
        ),
    ],
    ids=["missing", "broken", "other shape", "other key", "whole numbers", "objects"],
)
def test_a_field_that_is_none_is_refused(folder: Path, damage, words: str) -> None:
    damage(folder)
    found = Fields.open(folder)
    with pytest.raises(UserError) as refusal:
        found.read(found.searches[0], "a", "b")
    assert words in str(refusal.value)
    assert str(refusal.value).endswith(f"delete {folder} and run again to recreate it")


@pytest.mark.parametrize(
    "text",
    [
        *(None, "{", "[]", '{"format": 1}'),
        json.dumps({"format": 1, "shape": [6, 5], "transformation": None, "searches": []}),
        json.dumps(
            {
                "format": 3,
                "missing": [],
                "shape": [6, 5],
                "transformation": None,
                "searches": [{"lam": "strong", "pairs": []}],
            }
        ),
        json.dumps(
            {
                "format": 3,
                "missing": [],
                "shape": [6, 5],
                "transformation": None,
                "searches": [{"lam": 0.3, "pairs": []}] * 2,
            }
        ),
        json.dumps({"format": 3, "missing": [], "shape": "wide", "transformation": None, "searches": []}),
    ],
)
def test_a_manifest_that_is_none_is_refused(folder: Path, text: str | None) -> None:
    manifest = folder / fields.MANIFEST
    manifest.unlink()
    if text is not None:
        manifest.write_text(text)
    with pytest.raises(UserError, match=r"fields\.json: is not a manifest of displacement fields"):
        Fields.open(folder)
