"""Degradation of test images: what it does to an image, and to which images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import make_dataset
from scipy import ndimage

from likeness.data.degradation import MOVING, Degradation
from likeness.data.preparation import prepare
from likeness.data.store import Dataset

IMAGE = np.clip(ndimage.gaussian_filter(np.random.default_rng(0).random((40, 60)), 1), 0, 1).astype(np.float32)
SPACING = (1.0, 2.0)


def degraded(seed: int = 1, **how: Any) -> np.ndarray:
    return Degradation(**how).apply(IMAGE, SPACING, np.random.default_rng(seed))


def test_nothing_is_the_default() -> None:
    assert np.array_equal(degraded(), IMAGE)


def test_contrast_and_blur_are_what_they_say() -> None:
    np.testing.assert_allclose(degraded(invert=True), 1 - IMAGE, atol=1e-6)
    np.testing.assert_allclose(degraded(gamma=0.5), np.sqrt(IMAGE), atol=1e-6)
    # two of the smallest spacing, along both axes
    np.testing.assert_allclose(degraded(blur=2), ndimage.gaussian_filter(IMAGE, (2, 1), mode="nearest"), atol=1e-5)


def test_noise_has_its_level_and_the_same_pattern_at_every_level() -> None:
    grey = np.full((64, 64), 0.5, np.float32)
    found = [Degradation(noise=s).apply(grey, SPACING, np.random.default_rng(1)) - grey for s in (0.05, 0.1)]
    assert found[0].std() == pytest.approx(0.05, rel=0.05)
    np.testing.assert_allclose(2 * found[0], found[1], atol=1e-6)
    strong = degraded(noise=0.5)
    assert (strong.min(), strong.max(), strong.dtype) == (0, 1, np.float32)


def test_a_bias_field_is_smooth_and_darkens() -> None:
    ones = np.ones((40, 60), np.float32)
    field = np.log(Degradation(bias=0.3).apply(ones, SPACING, np.random.default_rng(1)))
    assert field.max() == pytest.approx(0, abs=1e-6)
    assert field.std() == pytest.approx(0.3, rel=1e-3)
    assert np.abs(np.diff(field, axis=0)).max() < 0.1
    other = np.log(Degradation(bias=0.3).apply(ones, SPACING, np.random.default_rng(2)))
    assert not np.allclose(field, other)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("raw") / "raw", with_field=True)


def prepared(raw: Path, folder: Path, **how: Any) -> Dataset:
    prepare(raw, folder, seed=3, degrade=how)
    return Dataset.open(folder)


def test_both_images_of_a_test_pair_are_noisy_and_no_others(raw: Path, tmp_path: Path) -> None:
    plain, noisy = prepared(raw, tmp_path / "plain"), prepared(raw, tmp_path / "noisy", noise=0.1)
    assert noisy.meta["degrade"] == {"noise": 0.1}
    assert noisy.pairs.equals(plain.pairs)
    for id, split in plain.images.split.items():
        before, after = plain.load(str(id)), noisy.load(str(id))
        assert np.array_equal(before.image, after.image) is (split != "test")
        np.testing.assert_array_equal(before.label, after.label)  # type: ignore[arg-type]
        np.testing.assert_array_equal(before.field, after.field)  # type: ignore[arg-type]
    tests = [noisy.load(id).image - plain.load(id).image for id in plain.images.index[plain.images.split == "test"]]
    assert abs(np.corrcoef(tests[0].ravel(), tests[1].ravel())[0, 1]) < 0.1


def test_of_a_test_pair_the_moving_image_alone_is_inverted(raw: Path, tmp_path: Path) -> None:
    plain, inverted = prepared(raw, tmp_path / "plain"), prepared(raw, tmp_path / "inverted", invert=True, noise=0.01)
    for split in ("train", "val"):
        assert inverted.pairs_of(split) == plain.pairs_of(split)
    for (moving, fixed), (before, same) in zip(inverted.pairs_of("test"), plain.pairs_of("test"), strict=True):
        assert (moving, fixed) == (before + MOVING, same)
        assert np.abs(inverted.load(moving).image - (1 - plain.load(before).image)).mean() < 0.02
        assert np.abs(inverted.load(fixed).image - plain.load(fixed).image).mean() < 0.02
        np.testing.assert_array_equal(inverted.load(moving).label, plain.load(before).label)  # type: ignore[arg-type]
        # it is no further subject, and no training image
        assert inverted.subject(moving) == inverted.subject(before)
        assert inverted.images.split[moving] == "test"
    assert list(inverted.images.index[: len(plain.images)]) == list(plain.images.index)


def test_the_same_seed_gives_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    first, again = (prepared(raw, tmp_path / name, noise=0.1, bias=0.2, invert=True) for name in "ab")
    for id in first.images.index:
        assert (first.folder / "images" / f"{id}.npz").read_bytes() == (again.folder / f"images/{id}.npz").read_bytes()
