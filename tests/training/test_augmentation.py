"""Augmentation: affine maps about the centre, the same for all images of a pair, rotations on anisotropic grids too."""

import math

import pytest
import torch

from likeness.geometry import identity_grid
from likeness.training.augmentation import Augmentation, protocol, random_affine, resample
from likeness.training.randomness import generator


def jacobian(points: torch.Tensor) -> torch.Tensor:
    dims = points.shape[1]
    rows = torch.stack(torch.gradient(points, dim=tuple(range(2, 2 + dims))), 2)
    return rows.flatten(3)[..., 0]


def test_nothing_asked_for_is_the_identity() -> None:
    image = torch.rand(2, 1, 9, 12)
    assert Augmentation().idle
    points = random_affine(image, Augmentation(), (1, 1), generator("cpu", 0))
    torch.testing.assert_close(points, identity_grid(image).expand_as(points))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 3.0)])
def test_rotation_keeps_physical_lengths(spacing: tuple[float, float]) -> None:
    image = torch.rand(8, 1, 16, 20)
    points = random_affine(image, Augmentation(rotation=180), spacing, generator("cpu", 1))
    scale = torch.tensor(spacing)
    physical = jacobian(points) * scale[:, None] / scale
    torch.testing.assert_close(physical @ physical.mT, torch.eye(2).expand(8, 2, 2), atol=1e-4, rtol=0)


def test_ranges_of_scale_and_flips() -> None:
    image = torch.rand(64, 1, 8, 8)
    spec = Augmentation(scale=(0.8, 1.2), flip=True)
    determinants = torch.linalg.det(jacobian(random_affine(image, spec, (1, 1), generator("cpu", 2))))
    assert determinants.abs().min() >= 1 / 1.2**2 - 1e-3
    assert determinants.abs().max() <= 1 / 0.8**2 + 1e-3
    assert (determinants < 0).any()
    assert (determinants > 0).any()


def test_the_centre_moves_by_the_translation_alone() -> None:
    image = torch.rand(32, 1, 9, 9)
    points = random_affine(image, Augmentation(rotation=90, translation=0.1), (1, 1), generator("cpu", 3))
    shift = points[:, :, 4, 4] - 4
    assert shift.abs().max() <= 0.9 + 1e-4
    assert shift.abs().max() > 0.3


def test_labels_stay_whole_numbers_and_protocol_differs_by_dimension() -> None:
    labels = torch.randint(0, 200, (1, 1, 12, 12), dtype=torch.uint8)
    points = random_affine(labels.float(), protocol(2), (1, 1), generator("cpu", 4))
    moved = resample(points, labels)
    assert moved is not None
    assert moved.dtype == torch.uint8
    assert set(moved.unique().tolist()) <= set(labels.unique().tolist())
    assert math.isclose(protocol(2).rotation, 180)
    assert math.isclose(protocol(3).rotation, 5)
