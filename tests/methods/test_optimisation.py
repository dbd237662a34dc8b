"""Per-pair optimisation: the search, the λ for a roughness, and the path, also when it is cut off."""

from __future__ import annotations

import json
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import make_dataset
from short_search import RECIPE
from torch import Tensor

from likeness import losses
from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.evaluation.pair import PrimaryScorer
from likeness.fields import Fields, Given
from likeness.geometry import bending_energy, jacobian_determinant, to_tensor, warp
from likeness.interpolation import along, gaussian
from likeness.losses.base import Registration
from likeness.methods import path as paths
from likeness.methods.calibration import NEAR, TRIALS, Calibration
from likeness.methods.objective import Objective
from likeness.methods.optimisation import REGULARISERS, Level, Optimiser, through
from likeness.methods.path import RegularisationPath
from likeness.methods.search import Checkpoint, Effort, Evaluate, Evaluated, Found, minimise
from likeness.training.device import make_device
from likeness.userinput.errors import UserError

EFFORT = Effort(rate=0.3, tolerance=1e-4, cap=2000)


class Killed(BaseException):
    """Stands for a job that is cut off."""


# The search.


def bowls(target: Tensor, stretch: Tensor, factor: float = 1.0, calls: list[int] | None = None) -> Any:
    """Make objectives, each a bowl around its own target."""

    def objective(active: list[int]) -> Evaluate:
        def evaluate(parameters: Tensor) -> Evaluated:
            if calls is not None:
                calls.append(len(active))
            apart = parameters - target[active]
            loss = factor * (stretch * apart.square()).flatten(1).sum(1)
            return Evaluated(loss, factor * 2 * stretch * apart, parameters, loss, torch.zeros_like(loss))

        return evaluate

    return objective


TARGET = torch.randn(3, 2, 6, 5, generator=torch.Generator().manual_seed(1)) * torch.tensor([0.1, 1, 3]).view(
    3, 1, 1, 1
)
STRETCH = torch.linspace(1, 4, 30).view(1, 1, 6, 5)


def test_the_search_finds_the_bottom_of_a_bowl_and_stops_there() -> None:
    found = minimise(bowls(TARGET, STRETCH), torch.zeros_like(TARGET), EFFORT)
    torch.testing.assert_close(found.parameters, TARGET, atol=5e-3, rtol=0)
    assert found.converged == [True] * 3
    assert max(found.evaluations) < EFFORT.cap


@pytest.mark.parametrize("factor", [1e-3, 1e3, 1e-30])
def test_the_search_takes_the_same_steps_in_other_units(factor: float) -> None:
    effort = replace(EFFORT, cap=50)
    expected = minimise(bowls(TARGET, STRETCH), torch.zeros_like(TARGET), effort).parameters
    found = minimise(bowls(TARGET.double(), STRETCH, factor), torch.zeros_like(TARGET).double(), effort).parameters
    torch.testing.assert_close(found.float(), expected, atol=1e-4, rtol=1e-4)


def test_a_pair_ends_as_it_does_alone_and_the_batch_shrinks() -> None:
    calls: list[int] = []
    found = minimise(bowls(TARGET, STRETCH, calls=calls), torch.zeros_like(TARGET), EFFORT)
    assert calls == sorted(calls, reverse=True)
    assert sum(calls) == sum(found.evaluations)
    for k in range(3):
        alone = minimise(bowls(TARGET[k : k + 1], STRETCH), torch.zeros_like(TARGET[:1]), EFFORT)
        assert torch.equal(alone.parameters[0], found.parameters[k])
        assert alone.evaluations[0] == found.evaluations[k]


def test_an_objective_that_ceases_to_be_finite_ends_its_pair_alone() -> None:
    def objective(active: list[int]) -> Evaluate:
        evaluate = bowls(TARGET, STRETCH)(active)

        def broken(parameters: Tensor) -> Evaluated:
            seen = evaluate(parameters)
            loss = torch.where(torch.tensor([k == 1 for k in active]) & (parameters != 0).any(), torch.nan, seen.loss)
            return seen._replace(loss=loss)

        return broken

    found = minimise(objective, torch.zeros_like(TARGET), EFFORT)
    assert found.parameters[1].isnan().all()
    assert found.converged == [True, False, True]
    torch.testing.assert_close(found.parameters[[0, 2]], TARGET[[0, 2]], atol=5e-3, rtol=0)


def test_where_nothing_pulls_nothing_moves() -> None:
    still = torch.zeros_like(TARGET)
    found = minimise(bowls(still, STRETCH), still, EFFORT)
    assert torch.equal(found.parameters, still)
    assert found.converged == [True] * 3


def test_what_was_found_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = minimise(bowls(TARGET, STRETCH), torch.zeros_like(TARGET), replace(EFFORT, cap=25))
    found.save(tmp_path / "a.npz")
    again = Found.load(tmp_path / "a.npz", torch.device("cpu"))
    assert torch.equal(again.parameters, found.parameters)
    assert {**vars(again), "parameters": None} == {**vars(found), "parameters": None}
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="is damaged"):
        Found.load(tmp_path / "a.npz", torch.device("cpu"))


# The λ for a roughness.


@pytest.mark.parametrize("slope", [-0.2, -0.6, -1.5])
@pytest.mark.parametrize("scale", [0.002, 0.1, 3.0])
def test_a_roughness_is_found_whatever_the_loss(slope: float, scale: float) -> None:
    known: list[tuple[float, float]] = []
    for wanted in (0.05, 0.1, 0.2, 0.3, 0.4):
        search = Calibration(wanted, list(known))
        while (multiple := search.proposal()) is not None:
            rough = 0.6 * (multiple / scale) ** slope / (1 + (multiple / scale) ** slope)
            search.tried.append((multiple, rough))
        reachable = scale * (wanted / (0.6 - wanted)) ** (1 / slope)
        if 2e-4 < reachable < 5e3:
            assert search.attained, (wanted, search.tried)
            assert len(search.tried) <= TRIALS
            known.append(search.tried[search.best])


def test_a_roughness_that_no_weight_gives_is_not_attained() -> None:
    search = Calibration(0.4)
    while (multiple := search.proposal()) is not None:
        search.tried.append((multiple, 0.3 / (1 + multiple)))
    assert not search.attained
    assert search.distance(search.best) > NEAR
    assert search.tried[search.best][0] == min(multiple for multiple, _ in search.tried)
    assert search.exhausted


def test_a_roughness_that_is_leapt_over_leaves_rougher_ones_to_be_tried() -> None:
    search = Calibration(0.1)
    while (multiple := search.proposal()) is not None:
        search.tried.append((multiple, 0.07 / multiple**0.1 if multiple > 1 else 0.18 / multiple**0.1))
    assert not search.attained
    assert not search.exhausted


def test_a_weight_at_which_searches_diverge_is_left_for_a_stronger_one() -> None:
    search = Calibration(0.1)
    while (multiple := search.proposal()) is not None:
        search.tried.append((multiple, 0.2 * exp(-0.5 * log(multiple)) if multiple > 2 else float("nan")))
    assert search.attained


# The levels of the transformation.


def optimiser(name: str, shape: tuple[int, ...], spacing: tuple[float, ...], **changes: Any) -> Optimiser:
    return Optimiser(losses.build(name), shape, spacing, replace(RECIPE, **changes), torch.device("cpu"))


def test_coarse_levels_see_images_as_coarse_in_millimetres_and_never_too_small() -> None:
    made = optimiser("mse", (400, 160, 20), (1.0, 2.0, 1.0), levels=4)
    assert [level.images for level in made.levels] == [(64, 64, 20), (101, 81, 20), (201, 160, 20), (400, 160, 20)]
    whole = optimiser("mse", (400, 160, 20), (1.0, 2.0, 1.0), levels=4, pyramid=False)
    assert {level.images for level in whole.levels} == {(400, 160, 20)}


def strewn(shape: tuple[int, int], shift: float) -> Registration:
    """Fine texture, and the same moved by so many pixels in the middle."""
    noise = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(1))
    fixed = along(noise, [gaussian(n, 1.0) for n in shape])
    fixed = (fixed - fixed.amin()) / (fixed.amax() - fixed.amin())
    rows, columns = (torch.linspace(-1, 1, n) for n in shape)
    bump = torch.exp(-2 * (rows[:, None].square() + columns.square()))
    push = shift * torch.stack([bump, 0 * bump])[None]
    return Registration(warp(fixed, push), fixed, torch.zeros_like(push), spacing=(1.0, 1.0))


def test_coarse_images_find_what_a_window_cannot_reach() -> None:
    """A window of 9 pixels, a quarter of what the texture moves by."""
    pair = strewn((192, 192), 30.0)

    def ended(pyramid: bool) -> float:
        made = optimiser("ncc", (192, 192), (1.0, 1.0), levels=4, pyramid=pyramid, evaluations=100)

        def searched(_: int, level: Level, so_far: Found) -> Found:
            return made.optimise(lambda _: pair, so_far.parameters, 1e-3, level)

        found = through(made.levels, made.nothing(1), searched)
        return found.dissimilarity[0] + 1e-3 * found.energy[0]

    assert ended(pyramid=True) < 0.75 * ended(pyramid=False)


def test_whoever_watches_a_coarse_level_sees_the_images_as_they_are() -> None:
    pair, made = strewn((96, 96), 4.0), optimiser("ncc", (96, 96), (1.0, 1.0))
    assert made.levels[0].images == (64, 64)
    seen: list[tuple[Tensor, Evaluated]] = []
    made.optimise(
        lambda _: pair, made.nothing(1), 0.1, made.levels[0], lambda _, __, change, what: seen.append((change, what))
    )
    assert len(seen) == 3
    for change, what in seen:
        smooth = along(change, made.levels[0].kernel)
        displacement = made.transformation.displacement(smooth)
        torch.testing.assert_close(what.displacement, displacement)
        torch.testing.assert_close(what.dissimilarity, made.loss(pair.at(displacement)))
        torch.testing.assert_close(what.loss, what.dissimilarity + 0.1 * what.energy)


# The path.


def test_the_first_weight_goes_through_all_levels_and_others_through_the_last_two(
    flat: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, real = [], Optimiser.optimise

    def counted(self: Optimiser, *args: Any, **kept: Any) -> Found:
        seen.append((args[2], self.levels.index(args[3])))
        return real(self, *args, **kept)

    monkeypatch.setattr(Optimiser, "optimise", counted)
    short: dict[str, Any] = {"levels": 3, "grid": (3.0, 2.0, 1.0), "evaluations": 5, "batch": 8}
    register(flat, tmp_path / "a", **short)
    path = [(3.0, 0), (3.0, 1), (3.0, 2), (2.0, 1), (2.0, 2), (1.0, 1), (1.0, 2)]
    assert seen[: len(path)] == path
    seen.clear()
    register(flat, tmp_path / "b", separate=True, **short)
    assert seen[:9] == [(lam, level) for lam in (3.0, 2.0, 1.0) for level in range(3)]


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("flat")
    make_dataset(folder / "raw", 2, 32, with_mask=True, with_field=True, amplitude=2.5)
    prepare(folder / "raw", folder / "data")
    return Dataset.open(folder / "data")


@pytest.fixture(scope="module")
def solid(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("solid")
    make_dataset(folder / "raw", 3, 24, with_field=True)
    prepare(folder / "raw", folder / "data")
    return Dataset.open(folder / "data")


def register(dataset: Dataset, folder: Path, loss: str = "mse", given: Given | None = None, **changes: Any) -> Fields:
    recipe = replace(RECIPE, **changes)
    objective = Objective(dataset, loss, {}, None, make_device(recipe.threads), None, REGULARISERS[recipe.regulariser])
    made = folder / "fields"
    made.mkdir(parents=True, exist_ok=True)
    RegularisationPath(objective, recipe, folder / "work", "test", given=given).register(made)
    return Fields.open(made)


def contents(fields: Fields) -> dict[str, bytes]:
    return {str(p.relative_to(fields.folder)): p.read_bytes() for p in fields.folder.rglob("*") if p.is_file()}


def left(dataset: Dataset, fields: Fields, search: Any) -> float:
    """Give the share of the end-point errors that registration leaves."""
    pairs = [pair for split in ("val", "test") for pair in dataset.pairs_of(split)]
    before = after = 0.0
    for pair in pairs:
        scorer = PrimaryScorer(dataset, *map(dataset.load, pair))
        displacement = fields.read(search, *pair)
        assert displacement is not None
        after += scorer.primary(displacement)
        before += scorer.primary(np.zeros_like(displacement))
    return after / before


@pytest.mark.parametrize("transformation", ["velocity", "displacement", "bspline"])
@pytest.mark.parametrize("regulariser", ["diffusion", "bending"])
def test_every_transformation_and_regulariser_brings_pairs_together(
    transformation: str, regulariser: str, flat: Dataset, tmp_path: Path
) -> None:
    fields = register(
        flat, tmp_path, transformation=transformation, regulariser=regulariser, scale="balanced", grid=(0.1,)
    )
    [search] = fields.searches
    assert left(flat, fields, search) < 0.7
    [first, *_] = flat.pairs_of("test")
    displacement = fields.read(search, *first)
    assert displacement is not None
    if transformation == "velocity":
        assert jacobian_determinant(to_tensor(displacement)).min() > 0


def test_volumes_are_registered_and_a_pair_does_not_depend_on_its_batch(solid: Dataset, tmp_path: Path) -> None:
    together = register(solid, tmp_path / "a", grid=(0.1,), batch=8, evaluations=20)
    assert left(solid, together, together.searches[0]) < 0.8
    alone = register(solid, tmp_path / "b", grid=(0.1,), batch=1, evaluations=20)
    for pair in solid.pairs_of("test"):
        one, other = (found.read(found.searches[0], *pair) for found in (alone, together))
        assert one is not None
        assert other is not None
        # rounding differs by a pair's place in memory, and a long search amplifies it where nothing holds a position
        apart = np.abs(one - other)
        assert np.median(apart) < 1e-4
        assert np.quantile(apart, 0.99) < 0.02


def test_an_image_does_not_depend_on_its_batch_at_all(flat: Dataset, tmp_path: Path) -> None:
    together = register(flat, tmp_path / "a", grid=(0.1,), batch=8, evaluations=20)
    alone = register(flat, tmp_path / "b", grid=(0.1,), batch=1, evaluations=20)
    for pair in flat.pairs_of("test"):
        one, other = (found.read(found.searches[0], *pair) for found in (alone, together))
        assert one is not None
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_half_precision_finds_about_the_same(flat: Dataset, tmp_path: Path) -> None:
    single = register(flat, tmp_path / "single", grid=(0.01,))
    half = register(flat, tmp_path / "half", grid=(0.01,), precision="bf16-mixed")
    [exact], [rough] = single.searches, half.searches
    assert left(flat, half, rough) < 1.1 * left(flat, single, exact)


def test_levels_of_roughness_are_attained_on_validation_and_hold_for_test(flat: Dataset, tmp_path: Path) -> None:
    fields = register(flat, tmp_path, scale="roughness", grid=(0.05, 0.1))
    searches = fields.searches
    assert [search.lam for search in searches][:2] == [0.05, 0.1]
    multiples = [search.multiple for search in searches]
    assert all(multiples)
    assert multiples == sorted(multiples, reverse=True)
    for search in searches:
        assert search.attained
        assert {(one.moving, one.fixed) for one in search.pairs} == {
            pair for split in ("val", "test") for pair in flat.pairs_of(split)
        }
        assert search.iterations == round(np.mean([one.evaluations for one in search.pairs]))


def test_a_roughness_that_is_not_attained_is_recorded_and_leaves_no_fields(flat: Dataset, tmp_path: Path) -> None:
    fields = register(flat, tmp_path, scale="roughness", grid=(0.02, 5.0, 6.0))
    assert [(search.lam, search.attained) for search in fields.searches] == [(0.02, True), (5.0, False), (6.0, False)]
    pair = flat.pairs_of("test")[0]
    assert fields.read(fields.searches[0], *pair) is not None
    assert fields.read(fields.searches[1], *pair) is None
    assert not list(fields.folder.glob("5/*"))
    # nobody registers test pairs at a level that is none
    assert len(fields.searches[1].pairs) == len(flat.pairs_of("val"))


def test_a_level_that_is_missed_blocks_no_rougher_one(flat: Dataset, tmp_path: Path) -> None:
    fields = register(flat, tmp_path, scale="roughness", grid=(1e-9, 0.05))
    assert [(search.lam, search.attained) for search in fields.searches][:2] == [(1e-9, False), (0.05, True)]
    assert fields.searches[0].converged is None
    assert fields.read(fields.searches[1], *flat.pairs_of("test")[0]) is not None


def test_a_pair_that_diverges_costs_its_level_the_score_and_starts_anew(
    flat: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = [], Optimiser.optimise

    def diverges(self: Optimiser, *args: Any, **kept: Any) -> Found:
        found = real(self, *args, **kept)
        calls.append(1)
        if len(calls) <= RECIPE.levels:
            found.parameters[0] = torch.nan
        return found

    monkeypatch.setattr(Optimiser, "optimise", diverges)
    monkeypatch.setattr("likeness.methods.path.LEAST", 0.4)
    fields = register(flat, tmp_path, batch=8, evaluations=20)
    first, second, *_ = fields.searches
    assert (first.score, second.score is None) == (None, False)
    pair, other = flat.pairs_of("val")
    assert np.isnan(fields.read(first, *pair)).all()
    for search, either in ((first, other), (second, pair), (second, other)):
        found = fields.read(search, *either)
        assert found is not None
        assert np.isfinite(found).all()


def test_levels_with_one_control_grid_are_searched_one_after_the_other(
    flat: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel far finer than the image has a point for every voxel at both."""
    seen, real = [], Optimiser.optimise

    def counted(self: Optimiser, *args: Any, **kept: Any) -> Found:
        seen.append(args[3].effort.tolerance)
        return real(self, *args, **kept)

    monkeypatch.setattr(Optimiser, "optimise", counted)
    register(flat, tmp_path, kernel=0.3, grid=(0.1,), evaluations=10, batch=8)
    tolerance = RECIPE.tolerance
    assert seen == [2 * tolerance, tolerance] * 2


@pytest.mark.parametrize(("scores", "expected"), [([1.0, 2.0, 3.0], [30, 10, 3.33]), ([2.0, 1.0], [30, 10])])
def test_one_weaker_level_is_added_where_the_weakest_is_the_best(
    scores: list[float], expected: list[float], flat: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = iter(scores)
    monkeypatch.setattr(RegularisationPath, "_score", lambda *_: next(judged))
    fields = register(flat, tmp_path, grid=(10.0, 30.0), evaluations=5)
    assert [search.lam for search in fields.searches] == expected
    assert fields.read(fields.searches[-1], *flat.pairs_of("test")[0]) is not None


def test_separate_starts_do_not_depend_on_the_path(flat: Dataset, tmp_path: Path) -> None:
    path = register(flat, tmp_path / "a", separate=True, grid=(0.1, 0.05))
    alone = register(flat, tmp_path / "b", separate=True, grid=(0.05,))
    pair = flat.pairs_of("test")[0]
    first, second = (found.read(next(s for s in found.searches if s.lam == 0.05), *pair) for found in (path, alone))
    assert first is not None
    assert np.array_equal(first, second)
    warm = register(flat, tmp_path / "c", grid=(0.1, 0.05))
    assert not np.array_equal(first, warm.read(warm.searches[1], *pair))


@pytest.mark.parametrize("separate", [False, True])
def test_a_path_starts_where_it_is_told_to(separate: bool, flat: Dataset, tmp_path: Path) -> None:
    """A single evaluation changes nothing, so that fields are those that were given, or none."""
    known, *others = flat.pairs_of("test")

    def given(*pair: str) -> np.ndarray | None:
        return PrimaryScorer(flat, *map(flat.load, pair)).true_field if pair != known else None

    short = {"grid": (0.1, 0.05), "evaluations": 1, "separate": separate, "batch": 2}
    fields = register(flat, tmp_path / "given", given=given, **short)
    for search in fields.searches:
        for pair in others:
            found, truth = fields.read(search, *pair), given(*pair)
            assert found is not None
            assert truth is not None
            assert np.abs(found - truth).mean() < 0.05 < np.abs(truth).mean()
        assert not np.any(fields.read(search, *known))
    longer = register(flat, tmp_path / "longer", given=given, grid=(0.05,))
    nothing = register(flat, tmp_path / "nothing", grid=(0.05,))
    assert not np.array_equal(*(found.read(found.searches[0], *others[0]) for found in (longer, nothing)))


@pytest.mark.parametrize("after", [1, 4, 9])
def test_an_interrupted_path_goes_on_and_leaves_the_same_bytes(
    after: int, flat: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"scale": "roughness", "grid": (0.05, 0.1), "evaluations": 20}
    expected = contents(register(flat, tmp_path / "whole", **changes))
    searches, real = [], Optimiser.optimise

    def dies(self: Optimiser, *args: Any, **kept: Any) -> Found:
        if len(searches) == after:
            raise Killed
        searches.append(1)
        return real(self, *args, **kept)

    with monkeypatch.context() as patch:
        patch.setattr(Optimiser, "optimise", dies)
        with pytest.raises(Killed):
            register(flat, tmp_path / "cut", **changes)
    again: list[int] = []
    monkeypatch.setattr(Optimiser, "optimise", lambda *args, **kept: (again.append(1), real(*args, **kept))[1])
    assert contents(register(flat, tmp_path / "cut", **changes)) == expected
    whole = len(list((tmp_path / "whole" / "work").glob("*.npz")))
    assert len(again) == whole - after


@pytest.mark.parametrize("after", [7, 45, 130])
def test_a_search_that_is_cut_off_in_the_middle_of_a_level_ends_with_the_same_bytes(
    after: int, flat: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"scale": "balanced", "grid": (0.1,), "evaluations": 40}
    expected = contents(register(flat, tmp_path / "whole", **changes))
    seen, real = [], Checkpoint.write

    def dies(self: Checkpoint, *args: Any) -> None:
        real(self, *args)
        seen.append(1)
        if len(seen) == after:
            raise Killed

    monkeypatch.setattr(Checkpoint, "SECONDS", -1.0)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", dies)
        with pytest.raises(Killed):
            register(flat, tmp_path / "cut", **changes)
    assert list((tmp_path / "cut" / "work").glob("*.checkpoint"))
    again: list[int] = []
    monkeypatch.setattr(Checkpoint, "write", lambda *args: (again.append(1), real(*args))[1])
    assert contents(register(flat, tmp_path / "cut", **changes)) == expected
    assert not list((tmp_path / "cut" / "work").glob("*.checkpoint"))
    whole: list[int] = []
    monkeypatch.setattr(Checkpoint, "write", lambda *args: (whole.append(1), real(*args))[1])
    register(flat, tmp_path / "counted", **changes)
    # nothing of what was kept is done again
    assert len(again) == len(whole) - after


def test_a_broken_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.checkpoint"
    path.write_bytes(b"no archive")
    checkpoint = Checkpoint(path, lambda: False, lambda: None)
    with pytest.raises(UserError, match=r"a\.checkpoint.*is damaged"):
        minimise(bowls(TARGET, STRETCH), torch.zeros_like(TARGET), EFFORT, checkpoint=checkpoint)


def test_told_to_stop_it_saves_and_says_so(flat: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped:
        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None: ...

        def is_set(self) -> bool:
            return True

    monkeypatch.setattr(paths, "told_to_stop", Stopped)
    with pytest.raises(SystemExit, match="told to stop"):
        register(flat, tmp_path)
    # at once, in the middle of the first level
    assert len(list((tmp_path / "work").glob("*.checkpoint"))) == 1
    assert not list((tmp_path / "work").glob("*.npz"))


def test_a_search_that_diverges_is_recorded_and_the_manifest_reads(
    flat: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Objective, "balance", lambda *_: float("nan"))
    fields = register(flat, tmp_path, scale="balanced", grid=(1.0,))
    assert fields.searches[0].diverged
    assert fields.read(fields.searches[0], *flat.pairs_of("test")[0]) is None
    assert json.loads((fields.folder / "fields.json").read_text())["searches"][0]["converged"] == 0


@pytest.mark.parametrize("dims", [2, 3])
def test_bending_energy_of_a_parabola_is_known_and_of_an_affine_map_is_nothing(dims: int) -> None:
    axes = torch.meshgrid(*[torch.arange(8.0)] * dims, indexing="ij")
    affine = torch.stack([0.3 * axes[0] - 0.2 * axes[1] + 1] * dims)[None]
    torch.testing.assert_close(bending_energy(affine), torch.zeros(1), atol=1e-9, rtol=0)
    parabola = torch.zeros(1, dims, *[8] * dims)
    parabola[0, 0] = axes[0] ** 2 / 2 + axes[0] * axes[1]
    # 1 along the first axis, and a mixed one that counts twice, in one of the components
    torch.testing.assert_close(bending_energy(parabola), torch.tensor([3 / dims]))
    # in millimetres of 2: the displacement doubles, its second derivative is through 4
    torch.testing.assert_close(bending_energy(parabola, [2.0] * dims), torch.tensor([3 / dims / 4]))
