"""Losses around the truth: lines of known length, references, and five measures on profiles of known shape."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders import edit_table, make_dataset
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from likeness import extractors, losses
from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.evaluation.landscape import COLUMNS as ROW
from likeness.evaluation.landscape import (
    GRID,
    SAME_IMAGE,
    SAME_SUBJECT,
    TRANSFORMS,
    TRUE_FIELD,
    VOXELS,
    Directions,
    Sampling,
    references,
    sampled,
)
from likeness.losses.base import Registration, SimilarityLoss
from likeness.statistics.landscape import (
    COLUMNS,
    accuracy,
    attraction,
    capture_range,
    distinctiveness,
    measure,
    minima,
    optimum,
    risk,
    scaled,
)

STEP = 0.5
PARABOLA = np.array([[16, 9, 4, 1, 0, 1, 4, 9, 16]]) / 16
DOUBLE_WELL = np.array([[1, 0.2, 0.6, 0.4, 0, 0.4, 0.9, 1, 1]])
OFF = np.array([[1, 0.8, 0.6, 0.5, 0.3, 0, 0.2, 0.5, 0.9]])
FLAT = np.zeros((1, 9))
SAMPLING = Sampling(pairs=2, lines=2, steps=4, extent=0.25)


def test_a_parabola_leads_to_its_middle() -> None:
    assert accuracy(PARABOLA, STEP) == 0
    assert capture_range(PARABOLA, STEP) == 4 * STEP
    assert minima(PARABOLA, 4) == 0
    assert risk(PARABOLA, STEP, 4) == 0
    for k in (1, 2, 4):
        assert distinctiveness(PARABOLA, STEP, k) == pytest.approx((k / 4) ** 2 / (k * STEP))


def test_a_second_well_is_a_minimum_behind_a_crest() -> None:
    assert accuracy(DOUBLE_WELL, STEP) == 0
    # the crest is two steps away, the second well three
    assert capture_range(DOUBLE_WELL, STEP) == 2 * STEP
    assert [minima(DOUBLE_WELL, k) for k in (2, 3, 4)] == [0, 1, 1]
    assert risk(DOUBLE_WELL, STEP, 2) == 0
    assert risk(DOUBLE_WELL, STEP, 4) == pytest.approx(0.4 / (2 * 4 * STEP))


def test_an_optimum_off_the_truth_is_an_error() -> None:
    assert optimum(OFF).tolist() == [5]
    assert accuracy(OFF, STEP) == STEP
    assert accuracy(np.concatenate([OFF, PARABOLA]), STEP) == pytest.approx(STEP / np.sqrt(2))
    # three steps away the line ends on the shorter side
    assert capture_range(OFF, STEP) == 3 * STEP
    # at four steps only one side is left
    assert distinctiveness(OFF, STEP, 4) == pytest.approx(0.8 / (4 * STEP))


def test_a_loss_that_sees_nothing_leads_nowhere() -> None:
    assert accuracy(FLAT, STEP) == 4 * STEP
    assert capture_range(FLAT, STEP) == 0
    assert (distinctiveness(FLAT, STEP, 1), minima(FLAT, 4), risk(FLAT, STEP, 4)) == (0, 0, 0)
    assert not scaled(np.full((2, 5), 7.0)).any()
    rounded = np.array([[1, 1, 1 + 1.2e-7, 1, 1]])
    assert not scaled(rounded).any()
    assert not scaled(-1e30 * rounded).any()
    assert scaled(np.array([[1, 1 + 1e-5]])).tolist() == [[0, 1]]


@pytest.mark.parametrize("turn", [1, -1])
def test_a_loss_that_falls_away_from_the_truth_captures_nothing(turn: int) -> None:
    """Neither along the whole of a line nor behind a crest; a step from the end, there is a well again."""
    falling, behind = np.linspace([1], [0], 9, axis=1), np.array([[0.4, 0.3, 0.2, 0.1, 0.05, 0.1, 0.5, 1, 0]])
    for line in (falling, behind):
        line = line[:, ::turn]
        assert accuracy(line, STEP) == 4 * STEP
        assert capture_range(line, STEP) == 0
    assert (minima(falling, 4), risk(falling, STEP, 4)) == (0, 0)
    assert capture_range(np.concatenate([PARABOLA, falling]), STEP) == 0
    well = np.array([[1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0, 0.1]])[:, ::turn]
    assert capture_range(well, STEP) == STEP


def test_a_plateau_is_no_way_back_and_one_minimum() -> None:
    plateau = np.array([[1, 0.5, 0.5, 0.3, 0, 0.3, 0.6, 0.8, 1]])
    assert capture_range(plateau, STEP) == 2 * STEP
    assert capture_range(plateau[:, ::-1], STEP) == 2 * STEP
    assert minima(plateau, 4) == 0
    assert minima(np.array([[1, 0.5, 0.9, 0.3, 0, 0.3, 0.2, 0.2, 1]]), 4) == 2


def test_a_well_as_deep_as_the_optimum_is_another_minimum() -> None:
    wells = np.array([[1, 0.6, 0, 0.5, 0.1, 0.5, 0, 0, 0.4]])
    # of the deepest the farthest one counts as optimum, and its run of two once
    assert optimum(wells).tolist() == [7]
    assert [minima(wells, k) for k in (2, 3, 5)] == [0, 1, 2]


def test_the_worst_line_decides_the_capture_range() -> None:
    assert capture_range(np.concatenate([PARABOLA, DOUBLE_WELL]), STEP) == 2 * STEP
    assert minima(np.concatenate([PARABOLA, DOUBLE_WELL]), 4) == 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="non-finite"):
        scaled(np.array([[1.0, value, 2.0]]))


def table(values: np.ndarray, loss: str = "mse", reach: float = 2.0) -> pd.DataFrame:
    """Give profiles ``(pairs, kinds, lines, points)`` as the table of a study; the grid does not pull."""
    distances = np.linspace(-reach, reach, values.shape[-1])
    rows = [
        ("a", loss, "default", TRUE_FIELD, f"pair{p}", f"kind{k}", n, distances[m], values[p, k, n, m], "mm")
        for p, k, n, m in np.ndindex(*values.shape)
    ]
    rows += [
        ("a", loss, "default", TRUE_FIELD, f"pair{p}", GRID, 0, half / 2, 0.0, "mm")
        for p in range(len(values))
        for half in range(-2 * VOXELS, 2 * VOXELS + 1)
    ]
    columns = ["dataset", "loss", "variant", "reference", "pair", "transform", "line", "distance", "value", "unit"]
    return pd.DataFrame(rows, columns=columns)


MEASURES = ["accuracy", "distinctiveness", "capture_range", "minima", "risk"]
PROFILES = st.lists(st.lists(st.integers(0, 50), min_size=7, max_size=7), min_size=4, max_size=4)


@given(PROFILES, st.sampled_from([1e-6, 0.25, 3.0, 1e6]), st.sampled_from([-1e3, 0.0, 0.1]))
def test_offset_and_scale_of_a_loss_do_not_matter(lines: list[list[int]], scale: float, offset: float) -> None:
    values = np.array(lines, float).reshape(2, 1, 2, 7)
    changed = scale * (values + offset)
    found = [measure(table(v))[MEASURES].to_numpy(float) for v in (values, changed)]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-6)


@given(PROFILES)
def test_measures_stay_in_their_ranges(lines: list[list[int]]) -> None:
    found = measure(table(np.array(lines, float).reshape(2, 1, 2, 7))).iloc[-1]
    assert 0 <= found.accuracy <= found.reach
    assert 0 <= found.capture_range <= found.reach
    assert 0 <= found.minima <= 2
    # a line of range 1 that falls after every rise
    assert 0 <= found.risk <= 6 / (2 * found.reach)
    assert 0 <= found.distinctiveness <= 1 / found.radius


def test_the_table_has_a_row_for_each_kind_and_one_for_all() -> None:
    good, bad = np.stack([PARABOLA, PARABOLA]), np.stack([PARABOLA, DOUBLE_WELL])
    found = measure(table(np.stack([good, bad])))
    assert list(found.columns) == COLUMNS
    assert found["transform"].tolist() == ["kind0", "kind1", "all"]
    assert found.lines.tolist() == [2, 2, 4]
    assert found.capture_range.tolist() == [2, 1, 1]
    assert found.minima.tolist() == [0, 0.5, 0.25]
    assert (found.reach == 2).all()


def test_a_loss_that_is_not_finite_has_no_measures_but_for_the_other_kinds() -> None:
    values = np.stack([np.stack([PARABOLA, PARABOLA])] * 2)
    values[0, 1, 0, 3] = np.nan
    found = measure(pd.concat([table(values), table(values[:, :1], "ncc")], ignore_index=True))
    assert found[MEASURES].isna().all(axis=1).tolist() == [False, True, True, False, False]


def prepared(folder: Path, dims: int = 2, **parts: bool) -> Dataset:
    make_dataset(folder / "raw", dims, 32 if dims == 2 else 24, **parts)
    prepare(folder / "raw", folder / "data")
    return Dataset.open(folder / "data")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    raw = tmp_path_factory.mktemp("simulated")
    make_dataset(raw / "raw", with_field=True, amplitude=4)
    for row in range(7):
        edit_table(raw / "raw" / "images.csv", row, "group", "template")
    prepare(raw / "raw", raw / "data")
    return Dataset.open(raw / "data")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(tmp_path_factory.mktemp("real"))


@pytest.mark.parametrize("shape", [(20, 24), (14, 16, 10)])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_distance_is_the_mean_length_in_the_unit_of_the_spacing(transform: str, shape: tuple[int, ...]) -> None:
    content = np.zeros(shape, bool)
    content[tuple(slice(2, n - 4) for n in shape)] = True
    spacing = (1.0, 2.0, 3.0)[: len(shape)]
    line = Directions(content, spacing).line(transform, np.random.default_rng(1))
    for distance in (-2.5, -0.1, 0.0, 0.7, 2.5):
        moved = line(distance)[0].numpy()[:, content] * np.array(spacing)[:, None]
        assert np.linalg.norm(moved, axis=0).mean() == pytest.approx(abs(distance), rel=1e-4, abs=1e-6)
    # a line has two sides
    cosine = float(torch.nn.functional.cosine_similarity(line(0.5).flatten(), line(-0.5).flatten(), dim=0))
    assert cosine == pytest.approx(-1, abs=0.02)


@pytest.mark.parametrize("shape", [(20, 24), (14, 16, 10)])
def test_a_rotation_keeps_distances_between_points(shape: tuple[int, ...]) -> None:
    spacing = np.array((1.0, 2.0, 3.0)[: len(shape)])
    line = Directions(np.ones(shape, bool), spacing).line("rotation", np.random.default_rng(2))
    at = np.indices(shape).reshape(len(shape), -1).T
    moved = (at + line(3.0)[0].flatten(1).numpy().T) * spacing
    one, other = np.random.default_rng(0).integers(0, len(at), (2, 50))
    before = np.linalg.norm((at[one] - at[other]) * spacing, axis=1)
    np.testing.assert_allclose(np.linalg.norm(moved[one] - moved[other], axis=1), before, atol=1e-3)


def test_the_truth_of_simulated_pairs_is_their_true_field(simulated: Dataset) -> None:
    found = references(simulated, 9)
    assert [(reference.kind, reference.moving, reference.fixed) for reference in found] == [
        (TRUE_FIELD, *pair) for pair in simulated.pairs_of("test")
    ]
    assert all(reference.displacement.abs().max() > 0.5 for reference in found)
    assert len(references(simulated, 1)) == 1


def test_without_a_truth_an_image_is_compared_with_itself(real: Dataset) -> None:
    found = references(real, 9)
    assert {reference.kind for reference in found} == {SAME_IMAGE}
    assert all(reference.moving == reference.fixed for reference in found)
    assert not any(reference.displacement.any() for reference in found)
    # labels say what is content
    assert all(0 < reference.content.mean() < 1 for reference in found)


def test_two_images_of_one_subject_are_a_truth_where_their_labels_are_the_same(tmp_path: Path) -> None:
    make_dataset(tmp_path / "raw", pairs={"moving": {"modality": "a"}, "fixed": {"modality": "b"}})
    tables = pd.read_csv(tmp_path / "raw" / "images.csv")
    kinds = [tables.assign(id=tables.id + m, modality=m, subject=tables.id) for m in "ab"]
    kinds[1]["image"] = tables.image.str.replace("image/", "other/")
    shutil.copytree(tmp_path / "raw" / "image", tmp_path / "raw" / "other")
    pd.concat(kinds).to_csv(tmp_path / "raw" / "images.csv", index=False)
    prepare(tmp_path / "raw", tmp_path / "data")
    dataset = Dataset.open(tmp_path / "data")
    for count in (2, 9):
        found = references(dataset, count)
        assert [reference.kind for reference in found] == [SAME_SUBJECT] * len(found)
        assert all((reference.moving[:-1], reference.moving[-1]) == (reference.fixed[:-1], "a") for reference in found)
        # several pairs lead to one image, whose reference is one
        assert len({reference.fixed for reference in found}) == len(found) >= 2
    assert len(found) < len(dataset.pairs_of("test"))
    # what is called one subject has labels that differ: no truth
    kinds[0]["label"] = tables.label[::-1].to_numpy()
    pd.concat(kinds).to_csv(tmp_path / "raw" / "images.csv", index=False)
    prepare(tmp_path / "raw", tmp_path / "mixed")
    assert {reference.kind for reference in references(Dataset.open(tmp_path / "mixed"), 2)} == {SAME_IMAGE}


def profiles(dataset: Dataset, loss: SimilarityLoss, sampling: Sampling = SAMPLING) -> pd.DataFrame:
    who = {"dataset": dataset.name, "loss": "mse", "variant": "default"}
    return pd.DataFrame([{**who, **row} for row in sampled(dataset, loss, sampling, seed=1)])


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4), st.floats(-1, 1), st.floats(0.1, 10))
def test_the_pull_of_the_grid_is_what_stands_out_between_voxels(cubic: list[float], bump: float, spread: float) -> None:
    """Of two axes, on one of which nothing does."""
    shifts = np.arange(-VOXELS, VOXELS + 0.5, 0.5)
    smooth = np.polynomial.Polynomial(cubic)(shifts)
    between = bump * (shifts % 1 > 0)
    assert attraction(np.stack([smooth, smooth + between]), spread) == pytest.approx(bump / 2 / spread, abs=1e-9)


def test_a_loss_that_cannot_bear_smoothing_is_attracted_and_one_that_likes_it_repelled(tmp_path: Path) -> None:
    """Half-way between voxels the moving image is smoother: its noise differs less from the fixed one's."""
    dataset = prepared(tmp_path)

    class Rough(SimilarityLoss):
        def forward(self, pair: Registration) -> Tensor:
            return -pair.moved.diff(dim=-1).square().flatten(1).mean(1)

    class Smooth(Rough):
        def forward(self, pair: Registration) -> Tensor:
            return -super().forward(pair)

    found = [measure(profiles(dataset, loss())).attraction.iloc[-1] for loss in (Rough, Smooth)]
    assert found[0] > 0.01
    assert found[1] == pytest.approx(-found[0])


@pytest.mark.parametrize("dims", [2, 3])
def test_squared_differences_find_the_identity(tmp_path: Path, dims: int) -> None:
    found = profiles(prepared(tmp_path, dims), losses.build("mse"))
    shifted = found["transform"] == GRID
    assert (~shifted).sum() == 2 * 4 * 2 * 9
    assert shifted.sum() == 2 * dims * (4 * VOXELS + 1)
    measured = measure(found).set_index("transform")
    assert list(measured.index) == [*TRANSFORMS, "all"]
    assert (measured.accuracy == 0).all()
    assert measured.capture_range["translation"] > 0


def test_squared_differences_find_the_true_field(simulated: Dataset) -> None:
    assert (measure(profiles(simulated, losses.build("mse"))).accuracy < 1).all()


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Dataset]:
    return {
        dims: prepared(tmp_path_factory.mktemp(f"{dims}d"), dims, with_mask=True, with_unmatched=True)
        for dims in (2, 3)
    }


@pytest.mark.parametrize(("name", "dims"), [(n, d) for n in losses.names() for d in losses.card(n)["dimensions"]])
def test_every_loss_has_profiles(complete: dict[int, Dataset], name: str, dims: int) -> None:
    wanted = losses.card(name)["extractor"]
    loss = losses.build(name, **({} if wanted is None else {"extractor": extractors.tiny(wanted, dims)}))
    found = measure(profiles(complete[dims], loss, Sampling(pairs=1, lines=1, steps=1, extent=0.2)))
    assert found.drop(columns="attraction").notna().all(axis=None)
    assert found.attraction.notna().tolist() == [False] * 4 + [True]


@pytest.mark.parametrize("needs", [["mask"], ["mask", "label"]])
def test_pairs_without_what_a_loss_needs_are_left_out(real: Dataset, complete: dict[int, Dataset], needs: list) -> None:
    loss = losses.build("mse_masked")
    assert not list(sampled(real, loss, SAMPLING, 1, needs))
    rows = next(sampled(complete[2], loss, SAMPLING, 1, needs))
    assert list(rows) == ROW


class Noisy(SimilarityLoss):
    """Nothing but noise."""

    def forward(self, pair: Registration) -> Tensor:
        return torch.rand(1, generator=pair.generator).expand(len(pair.fixed))


def test_a_loss_draws_the_same_noise_everywhere_on_a_line(real: Dataset) -> None:
    found = profiles(real, Noisy())
    assert np.ptp(found.value) == 0
    assert measure(found).attraction.iloc[-1] == 0


def test_all_losses_are_seen_along_the_same_lines(real: Dataset) -> None:
    one, other = (profiles(real, losses.build(name)) for name in ("mse", "ncc"))
    pd.testing.assert_frame_equal(one.drop(columns="value"), other.drop(columns="value"))
    again = profiles(real, losses.build("mse"))
    pd.testing.assert_frame_equal(one, again)
