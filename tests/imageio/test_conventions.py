"""Fields as others keep them: read back as they were, and resampled with by ITK and ANTs to the same moved image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

from likeness.geometry import to_tensor, warp, warp_labels
from likeness.imageio import conventions, itk, learn2reg, stored
from likeness.imageio.conventions import CONVENTIONS
from likeness.imageio.images import Grid, read
from likeness.imageio.placement import Placement
from likeness.userinput.refusals import DatasetError

SHAPE = (14, 12, 10)
TOLERANCE = 2e-4
"""Of voxels: files have single precision, and places lie far from the origin."""


def rotation(*degrees: float) -> np.ndarray:
    """Give the rotation about x, y and z, one after another, ``(3, 3)``."""
    made = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        made = turn @ made
    return made


def affine(spacing: tuple[float, ...], origin: tuple[float, ...], turn: np.ndarray) -> np.ndarray:
    """Give an affine ``(4, 4)``."""
    made = np.eye(4)
    made[:3, :3] = turn * np.array(spacing)
    made[:3, 3] = origin
    return made


FLIPPED = np.diag([-1.0, 1.0, -1.0])
SWAPPED = np.eye(3)[[2, 0, 1]]
PLACES = {
    "plain": (affine((1, 1, 1), (0, 0, 0), np.eye(3)),) * 2,
    "anisotropic": (affine((0.8, 2.5, 1.3), (-30, 12, 7), np.eye(3)),) * 2,
    "flipped": (affine((1, 2, 3), (10, -20, 30), FLIPPED),) * 2,
    "swapped": (affine((1, 2, 3), (10, -20, 30), SWAPPED),) * 2,
    "oblique": (affine((1, 2, 3), (-80, 40, 5), rotation(8, -14, 21)),) * 2,
    "apart": (
        affine((1.1, 1.9, 2.8), (-79, 41.5, 5.5), rotation(6, -11, 25) @ FLIPPED),
        affine((1, 2, 3), (-80, 40, 5), rotation(8, -14, 21)),
    ),
}
"""Affines of a moving and a fixed image."""
IN_PLANE = {
    "oblique": (affine((1, 2, 1), (-80, 40, 0), rotation(0, 0, 21)),) * 2,
    "apart": (
        affine((1.1, 1.9, 1), (-79, 41.5, 0), rotation(0, 0, 25)),
        affine((1, 2, 1), (-80, 40, 0), rotation(0, 0, 21)),
    ),
}
"""Such affines of files with two axes, which ITK knows nothing else of."""
ONE_PLANE = (
    affine((1.1, 1.9, 3), tuple(rotation(8, -14, 21) @ (0.4, 0.6, 0)), rotation(8, -14, 21) @ rotation(0, 0, 5)),
    affine((1, 2, 3), (0, 0, 0), rotation(8, -14, 21)),
)
"""Such affines of two slices that do not lie across each other."""


@dataclass(frozen=True)
class Case:
    """A pair with a field of ours."""

    moving: np.ndarray
    label: np.ndarray
    places: tuple[Placement, Placement]
    grids: tuple[Grid, Grid]
    files: tuple[Path, Path, Path]
    """Of the moving image, its labels and the fixed image."""
    field: np.ndarray

    def moved(self) -> np.ndarray:
        return warp(to_tensor(self.moving[..., None]), to_tensor(self.field))[0, 0].numpy()

    def moved_labels(self) -> np.ndarray:
        return warp_labels(self.label, self.field)

    def inside(self, margin: float = 0.01) -> np.ndarray:
        """Tell where the moved image is not made of what lies outside."""
        points = np.moveaxis(np.indices(self.field.shape[:-1]), 0, -1) + self.field
        return ((points > margin) & (points < np.array(self.moving.shape) - 1 - margin)).all(-1)

    def decided(self) -> np.ndarray:
        """Tell where the nearest voxel is no tie."""
        points = np.moveaxis(np.indices(self.field.shape[:-1]), 0, -1) + self.field
        return self.inside() & (np.abs(points - np.floor(points) - 0.5) > 0.01).all(-1)


def smooth(random: np.random.Generator, shape: tuple[int, ...], amplitude: float = 1.5) -> np.ndarray:
    """Give a smooth field ``(*shape, dims)``."""
    noise = random.standard_normal((*shape, len(shape)))
    field = np.stack([gaussian_filter(noise[..., i], 2) for i in range(len(shape))], -1)
    return (amplitude * field / np.abs(field).max()).astype(np.float32)


def case(folder: Path, kind: str, affines: tuple[np.ndarray, np.ndarray], seed: int = 0) -> Case:
    """Write a pair and read it as preparing does.

    Args:
        folder: for its files.
        kind: ``3D``, ``slice``, a volume of one, ``2D`` or ``picture``.
        affines: of the moving and the fixed image.
        seed: of all that is random.
    """
    random, dims = np.random.default_rng(seed), 3 if kind == "3D" else 2
    shape = {"3D": SHAPE, "slice": (*SHAPE[:2], 1)}.get(kind, SHAPE[:2])
    found, files, grids = [], [], []
    for name, place in (("moving", affines[0]), ("label", affines[0]), ("fixed", affines[1])):
        values = gaussian_filter(random.uniform(0, 200, shape), 1).astype(np.uint8)
        values = values // 40 if name == "label" else values
        path = folder / f"{name}.{'png' if kind == 'picture' else 'nii.gz'}"
        if kind == "picture":
            Image.fromarray(values).save(path)
        else:
            image = nib.Nifti1Image(values, place)
            image.header.set_xyzt_units("mm")
            nib.save(image, path)
        array, grid = read(path, dims)
        found.append(array)
        files.append(path)
        grids.append(grid)
    field = smooth(random, found[2].shape)
    moving, label, fixed = files
    return Case(
        found[0].astype(np.float32),
        found[1],
        (grids[0].placement, grids[2].placement),
        (grids[0], grids[2]),
        (moving, label, fixed),
        field,
    )


@pytest.fixture(params=["3D", "slice", "2D", "picture"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=PLACES)
def pair(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Case:
    affines = PLACES[request.param]
    if kind == "2D" and request.param == "swapped":
        pytest.skip("to ITK such an image has no area")
    if kind == "2D" and request.param in IN_PLANE:
        affines = IN_PLANE[request.param]
    if kind == "slice" and request.param == "apart":
        affines = ONE_PLANE
    return case(tmp_path, kind, affines)


def exported(folder: Path, convention: str, pair: Case) -> Path:
    """Write the field of a pair and give its path."""
    out = folder / convention
    out.mkdir()
    conventions.write(out, convention, "m+f", pair.field, *pair.places)
    return next(out.iterdir())


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_what_is_written_is_read(pair: Case, convention: str, tmp_path: Path) -> None:
    path = exported(tmp_path, convention, pair)
    found = CONVENTIONS[convention].read(path, *pair.places)
    assert found.dtype == np.float32
    assert np.abs(found - pair.field).max() < TOLERANCE


def resampled(pair: Case, path: Path, file: Path, interpolator: int) -> np.ndarray:
    """Resample with SimpleITK, and turn the result as preparing does."""
    field = sitk.ReadImage(str(path), sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(field)
    moving, fixed = sitk.ReadImage(str(file)), sitk.ReadImage(str(pair.files[2]))
    moved = sitk.Resample(sitk.Cast(moving, sitk.sitkFloat64), fixed, transform, interpolator, 0.0)
    array = sitk.GetArrayFromImage(moved)
    array = array if file.suffix == ".png" else array.T
    return pair.grids[1].turn(array.reshape(pair.grids[1].shape))


def test_itk_resamples_to_the_same_moved_image(pair: Case, tmp_path: Path) -> None:
    path = exported(tmp_path, "itk", pair)
    moved = resampled(pair, path, pair.files[0], sitk.sitkLinear)
    assert pair.inside().mean() > 0.5
    assert np.abs(moved - pair.moved())[pair.inside()].max() < 0.02
    labels = resampled(pair, path, pair.files[1], sitk.sitkNearestNeighbor)
    assert (labels == pair.moved_labels())[pair.decided()].all()


def test_ants_resamples_to_the_same_moved_image(pair: Case, kind: str, tmp_path: Path) -> None:
    ants = pytest.importorskip("ants")
    path = exported(tmp_path, "itk", pair)
    fixed = ants.image_read(str(pair.files[2]), dimension=2 if kind in ("2D", "picture") else 3)
    inside = {"linear": pair.inside(), "nearestNeighbor": pair.decided()}
    for file, mode, ours in (
        (pair.files[0], "linear", pair.moved()),
        (pair.files[1], "nearestNeighbor", pair.moved_labels()),
    ):
        moving = ants.image_read(str(file), dimension=fixed.dimension)
        moved = ants.apply_transforms(fixed, moving, [str(path)], interpolator=mode).numpy()
        array = moved.T if kind == "picture" else moved
        array = pair.grids[1].turn(array.reshape(pair.grids[1].shape))
        assert np.abs(array - ours)[inside[mode]].max() < (0.02 if mode == "linear" else 0.5)
