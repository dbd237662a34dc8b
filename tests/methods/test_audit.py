"""The audit of a search: the same pairs from other starts, and how the search came along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import make_dataset
from short_search import RECIPE

from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.evaluation.pair import PrimaryScorer
from likeness.fields import Fields, Given
from likeness.geometry import to_array
from likeness.methods.audit import Audit, best
from likeness.methods.objective import Objective
from likeness.methods.optimisation import Optimiser, Recipe
from likeness.methods.path import RegularisationPath
from likeness.training.device import make_device

SEARCHED = {"path", "again", "identity"}


def prepared(folder: Path, **parts: Any) -> Dataset:
    make_dataset(folder / "raw", 2, 32, amplitude=2.5, **parts)
    prepare(folder / "raw", folder / "data")
    return Dataset.open(folder / "data")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(tmp_path_factory.mktemp("known"), with_mask=True, with_field=True)


def registered(dataset: Dataset, folder: Path, recipe: Recipe) -> tuple[Objective, Fields]:
    objective = Objective(dataset, "mse", {}, None, make_device(1), None)
    made = folder / "fields"
    made.mkdir(parents=True)
    RegularisationPath(objective, recipe, folder / "work", "test").register(made)
    return objective, Fields.open(made)


def audited(dataset: Dataset, folder: Path, reference: Given | None = None, count: int = 8, **changes: Any) -> Audit:
    recipe = replace(RECIPE, **changes)
    objective, fields = registered(dataset, folder, recipe)
    search = best(fields, dataset)
    assert search is not None
    audit = Audit(objective, recipe, fields, search, count, folder / "audit", reference)
    audit.run()
    return audit


def of(audit: Audit, start: str) -> list[dict[str, Any]]:
    return [row for row in audit.found.endings if row["start"] == start]


def test_every_validation_pair_is_searched_for_from_every_start(known: Dataset, tmp_path: Path) -> None:
    audit = audited(known, tmp_path)
    pairs = known.pairs_of("val")
    for start in {"unregistered", *SEARCHED, "truth"}:
        assert [(row["moving"], row["fixed"]) for row in of(audit, start)] == pairs
    for k, pair in enumerate(pairs):
        scorer = PrimaryScorer(known, *map(known.load, pair))
        nothing, path, again = (of(audit, start)[k] for start in ("unregistered", "path", "again"))
        assert nothing["score"] == pytest.approx(scorer.primary(np.zeros(scorer.grid, np.float32)))
        found = audit.fields.read(audit.search, *pair)
        assert found is not None
        assert path["score"] == pytest.approx(scorer.primary(found))
        assert path["objective"] < 0.8 * nothing["objective"]
        # what has converged hardly moves
        assert again["objective"] < path["objective"] + 0.05 * (nothing["objective"] - path["objective"])
        # the fit of the truth is a good start
        assert of(audit, "truth")[k]["score"] < 0.5 * nothing["score"]
    assert {row["start"] for row in audit.found.endings} == {"unregistered", *SEARCHED, "truth"}


def test_the_search_from_nothing_is_followed_to_its_end(known: Dataset, tmp_path: Path) -> None:
    audit = audited(known, tmp_path)
    for row in of(audit, "identity"):
        steps = [step for step in audit.found.trace if (step["moving"], step["fixed"]) == (row["moving"], row["fixed"])]
        assert [step["evaluations"] for step in steps] == list(range(10, row["evaluations"] + 1, 10))
        assert steps[-1]["objective"] == pytest.approx(row["objective"], rel=1e-3)
        assert steps[-1]["score"] == pytest.approx(row["score"], rel=0.02)
    assert audit.found.followed == sum(row["evaluations"] for row in of(audit, "identity"))
    assert audit.found.seconds > 0


def test_where_there_is_no_truth_a_search_starts_at_another_field(tmp_path: Path) -> None:
    dataset = prepared(tmp_path / "unknown")
    asked = []

    def reference(moving: str, fixed: str) -> np.ndarray:
        asked.append((moving, fixed))
        return np.ones((*dataset.shape, 2), np.float32)

    audit = audited(dataset, tmp_path / "a", reference, count=1)
    assert {row["start"] for row in audit.found.endings} == {"unregistered", *SEARCHED, "other"}
    assert asked == dataset.pairs_of("val")[:1]
    alone = audited(dataset, tmp_path / "b", count=1)
    assert {row["start"] for row in alone.found.endings} == {"unregistered", *SEARCHED}


def test_the_audited_weight_is_the_best_on_validation(known: Dataset, tmp_path: Path) -> None:
    _, fields = registered(known, tmp_path, replace(RECIPE, grid=(10.0, 0.1, 0.01)))
    scores = {search.lam: search.score for search in fields.searches}
    assert all(scores.values())
    chosen = best(fields, known)
    assert chosen is not None
    assert scores[chosen.lam] == min(score for score in scores.values() if score)
    assert best(replace(fields, searches=()), known) is None


def test_a_displacement_is_fitted(known: Dataset) -> None:
    objective = Objective(known, "mse", {}, None, make_device(1), None)
    recipe = replace(RECIPE, tolerance=1e-3, evaluations=300)
    optimiser = Optimiser(objective.loss, known.shape, known.spacing, recipe, make_device(1))
    control = optimiser.levels[-1].control
    noise = torch.randn(2, 2, *control, generator=torch.Generator().manual_seed(5))
    wanted = optimiser.transformation.displacement(3 * torch.nn.functional.avg_pool2d(noise, 5, 1, 2))
    fitted = optimiser.fit(wanted)
    assert fitted.shape[2:] == control
    for one, other in zip(optimiser.displacements(fitted), wanted.split(1), strict=True):
        apart = np.linalg.norm(one - to_array(other), axis=-1)
        assert apart.mean() < 0.1 * float(other.norm(dim=1).mean())


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [1, 4])
def test_an_interrupted_audit_goes_on_and_finds_the_same(
    after: int, known: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = audited(known, tmp_path / "whole", batch=1).found
    searched, real = [], Optimiser.optimise

    def dies(self: Optimiser, *args: Any, **kept: Any) -> Any:
        if len(searched) == after:
            raise Killed
        searched.append(1)
        return real(self, *args, **kept)

    objective, fields = registered(known, tmp_path / "part", replace(RECIPE, batch=1))
    search = best(fields, known)
    assert search is not None

    def audit() -> Audit:
        return Audit(objective, replace(RECIPE, batch=1), fields, search, 8, tmp_path / "work")

    with monkeypatch.context() as patch:
        patch.setattr(Optimiser, "optimise", dies)
        with pytest.raises(Killed):
            audit().run()
    assert list((tmp_path / "work").iterdir())
    again = audit()
    again.run()
    assert again.found.endings == expected.endings
    assert again.found.trace == expected.trace
    assert again.found.followed == expected.followed
