"""Transformations: what control points stand for, and that velocities neither fold nor lose their inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from likeness.geometry import compose, jacobian_determinant
from likeness.interpolation import along, gaussian, linear, pitch
from likeness.transformations import Kind, Transformation, control_shape, refine

SHAPES = [(33, 20), (17, 12, 9)]
KINDS = ("velocity", "displacement", "bspline")


def parameters(control: tuple[int, ...], size: float, seed: int = 0) -> torch.Tensor:
    return size * torch.randn(1, len(control), *control, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_vector_everywhere_is_a_shift(kind: str, shape: tuple[int, ...]) -> None:
    control = tuple(n // 2 for n in shape)
    vector = torch.arange(1.0, len(shape) + 1).view(1, -1, *[1] * len(shape)).expand(1, -1, *control)
    found = Transformation(kind, shape).displacement(vector)
    assert found.shape == (1, len(shape), *shape)
    # a velocity ends at the border, where the grid is left
    torch.testing.assert_close(found, vector[..., :1, :1].mean((2, 3), keepdim=True).expand_as(found)) if len(
        shape
    ) == 2 else torch.testing.assert_close(found.amax((2, 3, 4)), vector.amax((2, 3, 4)))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_displacement_at_control_points_is_theirs(shape: tuple[int, ...]) -> None:
    control = tuple((n + 1) // 2 if n % 2 else n for n in shape)
    given_ = parameters(control, 1.0)
    found = Transformation("displacement", shape).displacement(given_)
    at = tuple(slice(None, None, 2) if n % 2 else slice(None) for n in shape)
    torch.testing.assert_close(found[(slice(None), slice(None), *at)], given_)


def test_cubic_splines_reproduce_lines_between_the_borders() -> None:
    line = torch.arange(12.0).view(1, 1, 12, 1).expand(1, 2, 12, 9)
    found = Transformation("bspline", (34, 9)).displacement(line)
    expected = torch.linspace(0, 11, 34)
    torch.testing.assert_close(found[0, 0, 4:-4, 4], expected[4:-4])


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=st.integers(0, 20))
def test_a_smooth_velocity_does_not_fold_and_its_opposite_undoes_it(shape: tuple[int, ...], seed: int) -> None:
    control = control_shape(shape, (1.0,) * len(shape), 2.0)
    velocity = parameters(control, 4.0, seed)
    for axis, points in enumerate(control, start=2):
        velocity = torch.tensordot(velocity, gaussian(points, 1.5), dims=([axis], [1])).movedim(-1, axis)
    made = Transformation("velocity", shape)
    there, back = made.displacement(velocity), made.displacement(-velocity)
    assert jacobian_determinant(there).min() > 0
    inner = (slice(None), slice(None), *[slice(4, -4)] * len(shape))
    assert compose(there, back)[inner].abs().max() < 0.25


@given(points=st.integers(1, 40), sigma=st.floats(0.1, 6))
def test_the_kernel_is_symmetric_and_keeps_constants(points: int, sigma: float) -> None:
    kernel = gaussian(points, sigma)
    torch.testing.assert_close(kernel, kernel.mT)
    torch.testing.assert_close(kernel.sum(1), torch.ones(points))


@given(points=st.integers(1, 20), size=st.integers(1, 50))
def test_interpolation_keeps_constants_and_corners(points: int, size: int) -> None:
    matrix = linear(points, size)
    torch.testing.assert_close(matrix.sum(1), torch.ones(size))
    assert matrix[0, 0] == 1
    if size > 1:
        assert matrix[-1, -1] == pytest.approx(1)


def test_control_points_are_as_close_as_asked_and_never_closer_than_voxels() -> None:
    control = control_shape((33, 20, 5), (1.0, 1.0, 5.0), 2.0)
    assert control == (17, 11, 5)
    assert np.allclose(pitch((33, 20, 5), control), [2, 1.9, 1])


def test_a_finer_control_grid_has_the_same_displacement() -> None:
    given_ = parameters((5, 4), 1.0)
    made = Transformation("displacement", (17, 13))
    torch.testing.assert_close(made.displacement(refine(given_, (17, 13))), made.displacement(given_))


@pytest.mark.parametrize("kind", KINDS)
def test_a_displacement_on_another_grid_is_that_of_the_same_points(kind: Kind) -> None:
    parameters = torch.randn(2, 2, 5, 4, generator=torch.Generator().manual_seed(1))
    made = Transformation(kind, (17, 13))
    whole, coarse = made.displacement(parameters), made.displacement(parameters, (9, 7))
    torch.testing.assert_close(2 * coarse, whole[:, :, ::2, ::2])
    assert torch.equal(made.displacement(parameters, (17, 13)), whole)


@pytest.mark.parametrize("shape", [(300, 7), (150, 9, 131), (200, 40)])
def test_a_large_matrix_is_applied_and_its_gradient_taken_as_a_small_one_is(shape: tuple[int, ...]) -> None:
    control = tuple(max(2, n // 3) for n in shape)
    matrices = [linear(old, new) @ gaussian(old, 0.8) for old, new in zip(control, shape, strict=True)]
    values = torch.randn(2, 3, *control, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    values.requires_grad_()
    expected = values
    for axis, matrix in enumerate(matrices, start=2):
        expected = torch.tensordot(expected, matrix.double(), dims=([axis], [1])).movedim(-1, axis)
    found = along(values, matrices)
    torch.testing.assert_close(found, expected)
    weights = torch.linspace(0, 1, found.numel(), dtype=torch.float64).view_as(found)
    pulls = [torch.autograd.grad((weights * made).sum(), values)[0] for made in (found, expected)]
    torch.testing.assert_close(*pulls)
