"""Warp consistency: a registration changes by the known warp, and by nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders import make_dataset
from scipy.ndimage import map_coordinates
from short_search import RECIPE

from likeness.data.preparation import prepare
from likeness.data.store import Dataset
from likeness.fields import Fields
from likeness.geometry import identity_grid, jacobian_determinant, preimage, to_tensor
from likeness.losses.base import Registration
from likeness.methods.consistency import Consistency, inconsistency, known_warp, warped
from likeness.methods.objective import Objective
from likeness.methods.path import RegularisationPath
from likeness.training.device import make_device

SHAPES = [((48, 40), (1.0, 2.0)), ((20, 24, 16), (2.0, 1.0, 3.0))]


@pytest.mark.parametrize(("shape", "spacing"), SHAPES)
def test_the_warp_is_a_diffeomorphism_of_the_image_onto_itself(
    shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    field = known_warp(shape, spacing, 3.0, np.random.default_rng(1))
    assert field.shape == (*shape, len(shape))
    assert field.dtype == np.float32
    assert float(jacobian_determinant(to_tensor(field)).min()) > 0.1
    length = np.linalg.norm(field * spacing, axis=-1)
    assert np.sqrt((length**2).mean()) == pytest.approx(3.0, rel=0.25)
    for axis in range(len(shape)):
        assert np.abs(np.take(field, [0, -1], axis)).max() < 1e-6
    assert np.array_equal(field, known_warp(shape, spacing, 3.0, np.random.default_rng(1)))


@pytest.mark.parametrize(("shape", "spacing"), SHAPES)
def test_a_perfect_registration_has_none_and_a_biased_one_its_bias(
    shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    plain, known = (to_tensor(known_warp(shape, spacing, 2.0, np.random.default_rng(seed))) for seed in (1, 2))
    grid = identity_grid(plain)
    # the place in the warped image that shows what the plain registration found
    again = preimage(known, grid + plain) - grid
    assert float(inconsistency(plain, again, known, spacing).max()) < 1e-2
    bias = torch.tensor([0.5, -1.0, 0.25][: len(shape)]).view(1, -1, *[1] * len(shape))
    expected = float(np.linalg.norm(bias.flatten().numpy() * spacing))
    assert inconsistency(plain + bias, again, known, spacing).numpy() == pytest.approx(expected, abs=1e-2)
    # a registration that does not react to the warp is off by the warp
    still = torch.zeros_like(plain)
    length = np.linalg.norm(known[0].movedim(0, -1).numpy() * spacing, axis=-1)
    assert inconsistency(still, still, known, spacing)[0].numpy() == pytest.approx(length, abs=1e-5)


def test_moving_images_masks_and_labels_are_warped_and_fixed_ones_are_not() -> None:
    shape, spacing = (32, 24), (1.0, 1.0)
    generator = np.random.default_rng(3)
    image, labels = generator.random(shape).astype(np.float32), generator.integers(0, 5, shape).astype(np.uint8)
    field = known_warp(shape, spacing, 2.0, generator)
    whole = {
        "moving_label_map": torch.from_numpy(labels)[None, None],
        "moving_mask": torch.from_numpy((labels > 2).astype(np.float32))[None, None],
    }
    still = torch.zeros(1, 2, *shape)
    both = Registration(torch.from_numpy(image)[None, None], torch.ones(1, 1, *shape), still, **whole)
    found = warped(both, to_tensor(field))
    places = np.moveaxis(np.indices(shape), 0, -1) + field
    moved = map_coordinates(image, np.moveaxis(places, -1, 0), order=1, mode="nearest")
    assert found.moving[0, 0].numpy() == pytest.approx(moved, abs=1e-5)
    assert found.fixed is both.fixed
    assert found.moving_label_map is not None
    assert found.moving_mask is not None
    nearest = map_coordinates(labels, np.moveaxis(places, -1, 0), order=0, mode="nearest")
    assert found.moving_label_map.dtype == torch.uint8
    assert (found.moving_label_map[0, 0].numpy() == nearest).mean() > 0.999
    assert ((found.moving_mask[0, 0].numpy() > 0) == (nearest > 2)).mean() > 0.999


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Objective, Fields]:
    folder = tmp_path_factory.mktemp("registered")
    make_dataset(folder / "raw", 2, 48, amplitude=1.5, with_field=True, with_mask=True)
    prepare(folder / "raw", folder / "data")
    objective = Objective(Dataset.open(folder / "data"), "mse", {}, None, make_device(1), None)
    (folder / "fields").mkdir()
    RegularisationPath(objective, RECIPE, folder / "work", "test").register(folder / "fields")
    return objective, Fields.open(folder / "fields")


def test_a_search_reacts_to_the_warp(registered: tuple[Objective, Fields]) -> None:
    objective, fields = registered
    rows = list(Consistency(objective, RECIPE, fields, 0.01, 1, 1.5, 1).rows())
    [(moving, fixed)] = [(row["moving"], row["fixed"]) for row in rows]
    assert (moving, fixed) in objective.dataset.pairs_of("test")
    [row] = rows
    # the smallest spacing is 1
    assert row["warp"] == pytest.approx(1.5, rel=0.5)
    assert row["value"] < 0.5 * row["warp"]
    assert list(Consistency(objective, RECIPE, fields, 0.01, 1, 1.5, 1).rows()) == rows
    assert [one["warp"] for one in Consistency(objective, RECIPE, fields, 0.1, 1, 1.5, 1).rows()] == [row["warp"]]
    assert [one["warp"] for one in Consistency(objective, RECIPE, fields, 0.1, 1, 1.5, 2).rows()] != [row["warp"]]


def test_without_a_warp_the_search_is_that_of_the_run(
    registered: tuple[Objective, Fields], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same path, the same levels and the same starts: what differs is the warp's doing."""
    objective, fields = registered
    still = np.zeros((*objective.dataset.shape, 2), np.float32)
    monkeypatch.setattr("likeness.methods.consistency.known_warp", lambda *_: still)
    # interpolation between voxels would round
    monkeypatch.setattr("likeness.methods.consistency.warped", lambda pairs, _: pairs)
    for row in Consistency(objective, RECIPE, fields, 0.01, 2, 1.0, 1).rows():
        assert row["value"] == pytest.approx(0.0, abs=1e-5)
