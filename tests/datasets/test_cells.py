"""``cells``: the phantom is calibrated, its truth is true, its dataset valid; the statistics measure what they say."""

import inspect
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import texture
import torch
from scipy import ndimage

from likeness import geometry
from likeness.data import contents
from likeness.datasets import cells

# Measured on 512 x 512 tiles of real serial sections (doi:10.6084/m9.figshare.856713) by the functions of
# texture.py; each is to be met within 20 %.
GREY_LEVEL = {cells.MEMBRANE: (0.25, 0.15), cells.INTRACELLULAR: (0.59, 0.17), cells.MITOCHONDRIA: (0.33, 0.15)}
GREY_LEVEL[cells.GLIA] = (0.29, 0.14)
MEMBRANE_WIDTH = 7.0
SLOPES = {(4, 30): -1.7, (30, 150): -2.6}
AUTOCORRELATION = (0.71, 0.28, 0.09)
WITHOUT_COUNTERPART = 0.08
DICE = {cells.INTRACELLULAR: 0.87, cells.MITOCHONDRIA: 0.81, cells.SYNAPSE: 0.47}
# .03 on the real tiles as they are
TEXTURE_CORRELATION = 0.06

Section = tuple[np.ndarray, np.ndarray, np.ndarray]


def truth(moving: Section, fixed: Section) -> torch.Tensor:
    return geometry.compose(geometry.invert(geometry.to_tensor(moving[2])), geometry.to_tensor(fixed[2]))


def moved(image: np.ndarray, displacement: torch.Tensor, mode: geometry.Interpolation = "linear") -> np.ndarray:
    tensor = torch.from_numpy(image.astype(np.float32))[None, None]
    return geometry.warp(tensor, displacement, mode)[0, 0].numpy()


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.sum(a & b) / (a.sum() + b.sum()) if a.any() and b.any() else np.nan


@pytest.fixture(scope="module")
def stacks() -> list[list[Section]]:
    return [cells.draw_stack(512, 4, np.random.default_rng([0, number])) for number in range(10)]


@pytest.fixture(scope="module")
def sections(stacks: list[list[Section]]) -> list[Section]:
    return [section for stack in stacks for section in stack]


@pytest.fixture(scope="module")
def pairs(stacks: list[list[Section]]) -> list[tuple[Section, Section]]:
    return [pair for stack in stacks for pair in pairwise(stack)]


@pytest.mark.slow
class TestCalibration:
    """Sections at native size against the real ones."""

    @pytest.mark.parametrize("label", GREY_LEVEL)
    def test_grey_levels(self, sections: list[Section], label: int) -> None:
        found = texture.grey_level([s[0] for s in sections], [s[1] == label for s in sections])
        assert found == pytest.approx(GREY_LEVEL[label], rel=0.2)

    def test_membranes_are_as_wide(self, sections: list[Section]) -> None:
        width = np.mean([texture.band_width(s[1] == cells.MEMBRANE) for s in sections])
        assert width == pytest.approx(MEMBRANE_WIDTH, rel=0.2)

    @pytest.mark.parametrize("band", SLOPES)
    def test_spectrum_falls_as_steeply(self, sections: list[Section], band: tuple[int, int]) -> None:
        assert texture.spectral_slope([s[0] for s in sections], *band) == pytest.approx(SLOPES[band], rel=0.2)

    def test_texture_is_as_coarse(self, sections: list[Section]) -> None:
        found = np.mean([texture.autocorrelation(s[0]) for s in sections], axis=0)
        assert found == pytest.approx(AUTOCORRELATION, rel=0.2)

    def test_texture_is_new_in_every_section(self, pairs: list[tuple[Section, Section]]) -> None:
        """As cut, and inside cells even where the warp is undone."""
        raw, aligned = [], []
        for moving, fixed in pairs:
            raw.append(texture.texture_correlation(moving[0], fixed[0]))
            displacement = truth(moving, fixed)
            inside = (moved(moving[1], displacement, "nearest") == 1) & (fixed[1] == 1)
            inside = ndimage.binary_erosion(inside, iterations=6)
            aligned.append(texture.texture_correlation(moved(moving[0], displacement), fixed[0], inside))
        assert np.mean(raw) <= TEXTURE_CORRELATION
        assert abs(np.mean(aligned)) <= TEXTURE_CORRELATION

    def test_mitochondria_end_as_often(self, pairs: list[tuple[Section, Section]]) -> None:
        masks = [(a[1] == cells.MITOCHONDRIA, b[1] == cells.MITOCHONDRIA) for a, b in pairs]
        counts = [texture.without_counterpart(a, b) for one, other in masks for a, b in ((one, other), (other, one))]
        alone, total = np.sum(counts, axis=0)
        assert alone / total == pytest.approx(WITHOUT_COUNTERPART, rel=0.2)

    @pytest.mark.parametrize("label", DICE)
    def test_neighbours_overlap_as_much(self, pairs: list[tuple[Section, Section]], label: int) -> None:
        overlap = np.nanmean([dice(a[1] == label, b[1] == label) for a, b in pairs])
        assert overlap == pytest.approx(DICE[label], rel=0.2)


def test_field_is_the_truth() -> None:
    """The same plane read through two warps: the true displacement of the pair brings the labels to coincide."""
    generator = np.random.default_rng(3)
    phantom = cells.draw_phantom(128, 1, generator)
    fields = [cells.draw_warp(128, generator) for _ in range(2)]
    one, two = [(*cells.draw_section(phantom, field, 0.0, generator), field) for field in fields]
    inner = np.s_[16:-16, 16:-16]
    undone = moved(one[1], truth(one, two), "nearest")
    assert np.mean(one[1][inner] == two[1][inner]) < 0.9
    # what is left is rounding along the edges
    assert np.mean(undone[inner] == two[1][inner]) > 0.97


def test_warps_do_not_fold() -> None:
    field = cells.draw_warp(256, np.random.default_rng(0))
    assert field.shape == (256, 256, 2)
    assert geometry.jacobian_determinant(geometry.to_tensor(field)).min() > 0.5


def test_nearest_cells_are_those_of_a_full_search() -> None:
    phantom = cells.draw_phantom(64, 1, np.random.default_rng(1))
    points = np.indices((64, 64)) + np.random.default_rng(2).uniform(-5, 5, (2, 1, 1))
    points = np.concatenate([points, np.full((1, 64, 64), 4.0)]).astype(np.float32)
    cell, _, first, excess = cells.nearest_cells(phantom.cells, points)
    both = zip(phantom.cells.centres, phantom.cells.radii, strict=True)
    distances = np.stack([cells.distance_to(centre, radius, points) for centre, radius in both])
    nearest, second = np.partition(distances, 1, axis=0)[:2]
    assert np.array_equal(cell, distances.argmin(0))
    assert np.array_equal(first, nearest)
    assert np.array_equal(excess, second - nearest)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells") / "raw"
    cells.make(folder, seed=5, size=64, sections=3, train=2, val=1, test=2)
    return folder


def content(folder: Path, names: str = "*") -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob(names)) if p.is_file()}


def test_folder_is_a_valid_dataset(folder: Path) -> None:
    contents.check(folder)
    images = pd.read_csv(folder / "images.csv").set_index("id")
    pairs = pd.read_csv(folder / "pairs.csv")
    assert pairs.split.value_counts().to_dict() == {"train": 8, "test": 8, "val": 4}
    moving, fixed = images.loc[pairs.moving], images.loc[pairs.fixed]
    assert np.array_equal(moving.group, fixed.group)
    assert set(np.abs(moving.position.to_numpy() - fixed.position.to_numpy())) == {1}
    assert images.groupby("subject").split.nunique().max() == 1


def test_same_seed_same_bytes(folder: Path, tmp_path: Path) -> None:
    cells.make(tmp_path / "again", seed=5, size=64, sections=3, train=2, val=1, test=2)
    cells.make(tmp_path / "other", seed=6, size=64, sections=3, train=2, val=1, test=2)
    assert content(tmp_path / "again") == content(folder)
    assert content(tmp_path / "other", "*.png") != content(folder, "*.png")


def test_a_stack_does_not_depend_on_how_many_others_there_are(folder: Path, tmp_path: Path) -> None:
    cells.make(tmp_path / "fewer", seed=5, size=64, sections=3, train=1, val=1, test=1)
    assert content(tmp_path / "fewer", "test00*").items() <= content(folder, "test00*").items()


def test_binning_keeps_lengths_means_and_majorities() -> None:
    image = np.arange(16.0).reshape(4, 4)
    label = np.array([[0, 1, 2, 2], [1, 1, 2, 3], [4, 4, 0, 0], [0, 0, 3, 3]], np.uint8)
    binned = cells.bin_section(image, label, np.full((4, 4, 2), 3.0, np.float32), 2)
    assert binned["image"].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert binned["label"].tolist() == [[1, 2], [0, 0]]
    assert np.array_equal(binned["field"], np.full((2, 2, 2), 1.5))


def test_spacing_follows_the_binning(folder: Path, tmp_path: Path) -> None:
    cells.make(tmp_path / "native", seed=5, size=64, binning=1, sections=2, train=1, val=1, test=1)
    assert contents.check(folder).meta["spacing"] == [9.2, 9.2]
    assert contents.check(tmp_path / "native").meta["spacing"] == [4.6, 4.6]


def test_default_has_enough_independent_units() -> None:
    assert inspect.signature(cells.make).parameters["test"].default >= 20


@pytest.mark.parametrize("option", [{"size": 100}, {"size": 32}, {"binning": 3}, {"sections": 1}, {"val": 0}])
def test_make_refuses(tmp_path: Path, option: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="multiple of 8 and at least 64, a binning of 1, 2 or 4, at least 2 sections"):
        cells.make(tmp_path / "raw", seed=0, **option)
    assert not (tmp_path / "raw").exists()


class TestTexture:
    """The statistics on images whose values are known."""

    def test_band_width(self) -> None:
        mask = np.zeros((200, 200), bool)
        mask[:, 20::40] = mask[:, 21::40] = mask[:, 22::40] = mask[:, 23::40] = True
        # Crofton's estimate counts an axis-parallel edge as pi / 4 of its length
        assert texture.band_width(mask) == pytest.approx(4 * 4 / np.pi)

    def test_band_width_in_all_directions(self) -> None:
        rows, columns = np.indices((301, 301)) - 150
        assert texture.band_width(np.abs(np.hypot(rows, columns) - 100) < 4) == pytest.approx(8, rel=0.03)

    def test_spectral_slope(self) -> None:
        generator = np.random.default_rng(0)
        wavenumber = np.hypot(*np.meshgrid(*[np.fft.fftfreq(256) * 256] * 2))
        wavenumber[0, 0] = 1
        noise = np.fft.fft2(generator.standard_normal((8, 256, 256))) * wavenumber**-1.25
        assert texture.spectral_slope(list(np.fft.ifft2(noise).real), 4, 60) == pytest.approx(-2.5, abs=0.05)

    def test_autocorrelation_of_white_noise(self) -> None:
        noise = np.random.default_rng(0).standard_normal((400, 400))
        assert np.abs(texture.autocorrelation(noise)).max() < 0.03

    def test_texture_correlation(self) -> None:
        one, two = np.random.default_rng(0).standard_normal((2, 200, 200))
        ramp = np.linspace(0, 50, 200)
        assert texture.texture_correlation(one, one + ramp) == pytest.approx(1, abs=0.01)
        assert texture.texture_correlation(one + ramp, two + ramp) == pytest.approx(0, abs=0.03)

    def test_without_counterpart(self) -> None:
        a, b = np.zeros((2, 100, 100), bool)
        for mask, row, column in ((a, 10, 10), (a, 40, 40), (a, 0, 70), (b, 45, 45)):
            mask[row : row + 12, column : column + 12] = True
        a[80:85, 80:85] = True
        assert texture.without_counterpart(a, b) == (1, 2)
