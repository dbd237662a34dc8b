"""Every metric there is holds what its card says, without being named here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from likeness import metrics
from likeness.data.store import PARTS, Dataset, Sample
from likeness.datasets.simulate.fields import random_warp
from likeness.evaluation.scores import PairScorer
from likeness.geometry import warp_labels
from likeness.metrics.base import Registered
from likeness.userinput.errors import UserError

SHAPES = {2: (40, 48), 3: (16, 20, 18)}
CASES = [(name, dims) for name in metrics.names() for dims in metrics.card(name)["dimensions"]]
every_metric = pytest.mark.parametrize(("name", "dims"), CASES, ids=[f"{n}-{d}d" for n, d in CASES])
every_card = pytest.mark.parametrize("name", metrics.names())


@cache
def scorer(dims: int, without: frozenset[str] = frozenset()) -> PairScorer:
    """A pair of warps of one image with every part but some; the true displacement is known."""
    shape = SHAPES[dims]
    grid = np.indices(shape)
    template = ((grid[0] // 8) * 3 + grid[1] // 8 + 1).astype(np.int16)
    inside = np.moveaxis(grid, 0, -1)
    lesion = np.linalg.norm(inside - (np.array(shape) - 1) / 2, axis=-1) < 4
    pair = []
    for index, name in enumerate("mf"):
        field = random_warp(shape, (2,) * dims, (8, 16), (2, 3), np.random.default_rng(index))
        parts = {
            "label": warp_labels(template, field),
            "mask": np.ones(shape, bool),
            "field": field,
            "landmarks": np.random.default_rng(index).uniform(4, 12, (5, dims)),
            "unmatched": warp_labels(lesion, field),
        }
        parts["instances"] = parts["label"].astype(np.int32)
        kept = {part: array for part, array in parts.items() if part not in without}
        # texture in one half
        intensities = np.random.default_rng(index).random(shape, np.float32) * (grid[0] < shape[0] / 2)
        pair.append(Sample(name, intensities, **kept))
    ids = [int(i) for i in np.unique(template)]
    spacing = [2.0] * dims
    meta = {"name": "made-up", "spatial_dims": dims, "shape": list(shape), "spacing": spacing, "spacing_unit": "mm"}
    meta |= {"labels": {i: f"region {i}" for i in ids}, "evaluate": ids}
    images = pd.DataFrame({"group": ["g", "g"]}, index=["m", "f"])
    return PairScorer(Dataset(Path("nowhere"), meta, images, pd.DataFrame()), *pair)


def displacements(dims: int) -> list[np.ndarray]:
    """Nothing, the truth, a smooth field and one that folds."""
    smooth, rough = (
        random_warp(SHAPES[dims], (2,) * dims, (8,), (size,), np.random.default_rng(7)) for size in (2, 12)
    )
    return [np.zeros_like(smooth), scorer(dims).true_field, smooth, rough]


def values(name: str, registered: Registered) -> list[float]:
    found = metrics.scorer(name)(registered)
    assert found is not None
    return list(found.values()) if isinstance(found, Mapping) else [found]


@every_metric
def test_a_metric_lies_in_the_range_of_its_card(name: str, dims: int) -> None:
    low, high = metrics.card(name)["range"]
    for displacement in displacements(dims):
        for value in values(name, scorer(dims).at(displacement, displacement)):
            assert not np.isnan(value)
            assert low is None or value >= low
            assert high is None or value <= high


@every_metric
def test_the_truth_scores_better_than_nothing(name: str, dims: int) -> None:
    card = metrics.card(name)
    if card["better"] is None or not {"field", "label", "instances"} & {*card["needs"]}:
        return
    nothing, truth, *_ = displacements(dims)
    before, after = (np.mean(values(name, scorer(dims).at(field, field))) for field in (nothing, truth))
    assert (after < before) if card["better"] == "lower" else (after > before)


@every_metric
def test_a_metric_says_what_it_needs(name: str, dims: int) -> None:
    """Without it there are no rows, and it is enough beside the marks of content that only one image has."""
    card = metrics.card(name)
    assert set(card["needs"]) <= set(PARTS) - {"image"}
    still = np.zeros((*SHAPES[dims], dims), np.float32)
    for part in card["needs"]:
        rows = scorer(dims, frozenset({part})).score(None, reverse=still)
        assert name not in {row["metric"] for row in rows}
    others = set(PARTS) - {"image", "unmatched", *card["needs"]}
    rows = scorer(dims, frozenset(others)).score(None, reverse=still)
    assert name in {row["metric"] for row in rows}


@every_metric
def test_a_metric_stands_in_the_table_as_its_card_says(name: str, dims: int) -> None:
    card, dataset = metrics.card(name), scorer(dims).dataset
    still = np.zeros((*SHAPES[dims], dims), np.float32)
    rows = [row for row in scorer(dims).score(None, reverse=still) if row["metric"] == name]
    assert rows
    assert {row["unit"] for row in rows} == {card["unit"].replace("distance", "mm")}
    wanted = {"label": set(dataset.labels.values()), "instance": {"mean"}, None: {"all"}}[card["per"]]
    assert {row["label"] for row in rows} <= wanted
    cheap = {row["metric"] for row in scorer(dims).score(None, costly=False, reverse=still)}
    assert (name in cheap) != card["costly"]


@every_card
def test_the_card_is_complete(name: str) -> None:
    card = metrics.card(name)
    assert card["title"]
    assert card["unit"] in ("1", "%", "distance", "1/distance²")
    assert set(card["dimensions"]) <= {2, 3}
    assert card["doi"] is None or re.fullmatch(r"10\.\d{4,}/\S+", card["doi"])


def test_no_two_metrics_share_a_title_or_a_rank() -> None:
    for key in ("title", "short", "rank"):
        stated = [metrics.card(name)[key] for name in metrics.names() if metrics.card(name)[key] is not None]
        assert len(set(stated)) == len(stated), f"two metrics share a {key}"


def test_the_best_part_that_images_have_decides() -> None:
    assert metrics.primary({"image", "label", "field"}) == "epe"
    assert metrics.primary({"label", "landmarks", "instances"}) == "dice"
    assert metrics.primary({"landmarks", "instances"}) == "tre"
    assert metrics.primary({"instances"}) == "dice_instance"


def test_what_metrics_share_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"jacobian": 0, "dice": 0, "end_point_error": 0}
    from likeness.metrics import endpoint, overlap, regularity

    for module, function in ((regularity, "jacobian"), (overlap, "dice"), (endpoint, "end_point_error")):
        original = getattr(module, function)

        def counted(*given: object, original=original, function=function) -> object:
            calls[function] += 1
            return original(*given)

        monkeypatch.setattr(module, function, counted)
    scorer(2, frozenset({"instances"})).score(None)
    assert calls == {"jacobian": 1, "dice": 1, "end_point_error": 1}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is the only one with metrics."""
    monkeypatch.setattr(metrics, "FOLDER", tmp_path)
    metrics.card.cache_clear()
    yield tmp_path
    metrics.card.cache_clear()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"better": "less"}, "`better` of CARD is 'less'; use one of lower, higher (or omit the key)"),
        ({"per": "labels"}, "`per` of CARD is 'labels'; did you mean 'label'? (or omit the key)"),
        ({"needed": []}, "CARD has an unknown key 'needed'; did you mean 'needs'?"),
        ({"primary": True, "rank": 1}, "CARD has `primary`, but lacks `rank`, `better` or `needs`"),
    ],
)
def test_a_wrong_card_is_refused_in_a_sentence(folder: Path, said: dict[str, object], reason: str) -> None:
    card = {"title": "Mine", "unit": "1", "range": [0, 1], "doi": None, **said}
    (folder / "mine.py").write_text(f"CARD = {card}\n")
    with pytest.raises(UserError) as refusal:
        metrics.card("mine")
    assert str(refusal.value).startswith(f"{folder / 'mine.py'}: {reason}")


def test_a_metric_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match=r"there is no metric 'dicee'; did you mean 'dice'\?"):
        metrics.card("dicee")
