"""Axis order, direction and units; warping, composing, inverting; the Jacobian."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from likeness import geometry
from likeness.datasets.simulate.fields import random_warp

checks = settings(max_examples=20, deadline=None, derandomize=True)
shapes = st.sampled_from([(17, 22), (31, 14), (10, 13, 9), (8, 9, 15)])
seeds = st.integers(0, 2**16)


def smooth_field(shape, seed, amplitude=1.0):
    """A displacement (1, dims, *shape) with small slopes."""
    noise = np.random.default_rng(seed).standard_normal((len(shape), *shape))
    field = ndimage.gaussian_filter(noise, [0, *[3] * len(shape)])
    return torch.from_numpy(amplitude * field / np.abs(field).max()).float()[None]


def smooth_image(shape, seed):
    image = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 2.5)
    return torch.from_numpy((image - image.min()) / np.ptp(image)).float()[None, None]


def affine_field(matrix, shape, dtype=torch.float64):
    """The displacement of x -> matrix @ (x - centre) + centre."""
    grid = geometry.identity_grid(torch.zeros(1, 1, *shape, dtype=dtype))
    centre = ((torch.tensor(shape, dtype=dtype) - 1) / 2).view(1, -1, *[1] * len(shape))
    return torch.einsum("ij,bj...->bi...", torch.as_tensor(matrix, dtype=dtype), grid - centre) + centre - grid


def inner(tensor, margin):
    return tensor[(..., *[slice(margin, -margin)] * (tensor.ndim - 2))]


# --- layout -----------------------------------------------------------------------------------------------------------


@checks
@given(shapes, seeds)
def test_file_layout_and_tensor_are_one_another(shape, seed):
    field = np.random.default_rng(seed).standard_normal((*shape, len(shape))).astype(np.float32)
    tensor = geometry.to_tensor(field)
    assert tensor.shape == (1, len(shape), *shape)
    assert np.array_equal(geometry.to_array(tensor), field)


def test_identity_grid_counts_voxels_along_each_axis():
    grid = geometry.identity_grid(torch.zeros(2, 5, 3, 4))
    assert grid.shape == (1, 2, 3, 4)
    assert grid[0, :, 2, 1].tolist() == [2, 1]


def test_identity_grid_made_in_validation_serves_training():
    like = torch.zeros(1, 1, 6, 7)
    geometry._grid.cache_clear()
    with torch.inference_mode():
        geometry.identity_grid(like)
    scale = torch.ones(1, requires_grad=True)
    (geometry.identity_grid(like) * scale).sum().backward()
    assert scale.grad.item() == geometry.identity_grid(like).sum().item()


# --- warping ----------------------------------------------------------------------------------------------------------


def test_displacement_points_into_the_moving_image():
    moving = torch.zeros(1, 1, 5, 6)
    moving[0, 0, 3, 1] = 1
    displacement = torch.zeros(1, 2, 5, 6)
    displacement[0, :, 1, 4] = torch.tensor([2.0, -3.0])  # fixed (1, 4) is taken to moving (3, 1)
    assert geometry.warp(moving, displacement)[0, 0, 1, 4] == pytest.approx(1, abs=1e-5)


@checks
@given(shapes, seeds, st.sampled_from(["border", "zeros"]))
def test_warp_by_nothing_changes_nothing(shape, seed, padding):
    image = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(seed))
    still = torch.zeros(2, len(shape), *shape)
    torch.testing.assert_close(geometry.warp(image, still, padding=padding), image, atol=1e-5, rtol=0)
    assert torch.equal(geometry.warp(image, still, "nearest", padding), image)


@checks
@given(shapes, seeds, st.lists(st.integers(-4, 4), min_size=3, max_size=3))
def test_warp_by_whole_voxels_is_a_shift(shape, seed, shift):
    shift = shift[: len(shape)]
    image = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(seed))
    displacement = torch.tensor(shift).float().view(1, -1, *[1] * len(shape)).expand(1, -1, *shape)
    source = [np.clip(np.arange(n) + s, 0, n - 1) for n, s in zip(shape, shift, strict=True)]
    expected = image[0, 0].numpy()[np.ix_(*source)]
    assert np.array_equal(geometry.warp(image, displacement, "nearest")[0, 0].numpy(), expected)
    np.testing.assert_allclose(geometry.warp(image, displacement)[0, 0].numpy(), expected, atol=1e-5)


@checks
@given(shapes, seeds, st.data())
def test_warp_does_not_prefer_an_axis_or_a_direction(shape, seed, data):
    image, field = smooth_image(shape, seed), smooth_field(shape, seed + 1, 2)
    dims = len(shape)
    order = data.draw(st.permutations(range(dims)))
    flipped = data.draw(st.lists(st.sampled_from(range(dims)), unique=True))
    axes = [2 + a for a in flipped]
    sign = torch.tensor([-1.0 if a in flipped else 1.0 for a in range(dims)]).view(1, -1, *[1] * dims)

    def turn(tensor, vector=False):
        tensor = (tensor * sign if vector else tensor).flip(axes) if flipped else tensor
        tensor = tensor[:, list(order)] if vector else tensor
        return tensor.permute(0, 1, *[2 + a for a in order])

    warped = geometry.warp(image, field)
    torch.testing.assert_close(geometry.warp(turn(image), turn(field, True)), turn(warped), atol=1e-4, rtol=0)
    jacobian = geometry.jacobian_determinant(field)
    torch.testing.assert_close(geometry.jacobian_determinant(turn(field, True)), turn(jacobian), atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_does_not_move_voxels(dtype):
    """In bfloat16 the coordinate 299 would be 300."""
    image = torch.rand(1, 1, 300, 12, generator=torch.Generator().manual_seed(0)).to(dtype)
    moved = geometry.warp(image, torch.zeros(1, 2, 300, 12, dtype=dtype))
    assert moved.dtype == dtype
    torch.testing.assert_close(moved, image, atol=1e-2, rtol=0)


def test_sample_refuses_points_of_other_dimension():
    with pytest.raises(ValueError, match="points have 3 coordinates but the image has 2"):
        geometry.sample(torch.zeros(1, 1, 4, 4), torch.zeros(1, 3, 4, 4))


# --- labels -----------------------------------------------------------------------------------------------------------


def test_labels_outside_are_told_apart_from_label_0():
    labels = np.zeros((4, 4), np.int16)
    displacement = np.zeros((4, 4, 2), np.float32)
    displacement[..., 1] = 2
    moved = geometry.warp_labels(labels, displacement, outside=-1)
    assert moved.dtype == np.int16
    assert np.array_equal(moved[0], [0, 0, -1, -1])


@checks
@given(shapes, seeds)
def test_labels_warp_as_bool_as_they_do_one_by_one(shape, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, shape).astype(np.int16)
    field = geometry.to_array(smooth_field(shape, seed, 3))
    moved = geometry.warp_labels(labels, field)
    for label in range(1, 4):
        assert np.array_equal(geometry.warp_labels(labels == label, field), moved == label)


# --- composing and inverting ------------------------------------------------------------------------------------------


@checks
@given(shapes, seeds)
def test_composing_with_nothing_changes_nothing(shape, seed):
    field = smooth_field(shape, seed, 2)
    still = torch.zeros_like(field)
    torch.testing.assert_close(geometry.compose(field, still), field, atol=1e-5, rtol=0)
    torch.testing.assert_close(geometry.compose(still, field), field)


@checks
@given(shapes, seeds)
def test_composing_affine_maps_multiplies_their_matrices(shape, seed):
    """In the order of functions: the inner map is applied first."""
    outer, inner_map = np.eye(len(shape)) + 0.1 * np.random.default_rng(seed).uniform(-1, 1, (2, *[len(shape)] * 2))
    composed = geometry.compose(affine_field(outer, shape), affine_field(inner_map, shape))
    expected = affine_field(outer @ inner_map, shape)
    torch.testing.assert_close(inner(composed, 3), inner(expected, 3))


@checks
@given(shapes, seeds)
def test_composing_is_warping_by_the_outer_first(shape, seed):
    image = smooth_image(shape, seed)
    outer, inner_field = smooth_field(shape, seed + 1), smooth_field(shape, seed + 2)
    twice = geometry.warp(geometry.warp(image, outer), inner_field)
    once = geometry.warp(image, geometry.compose(outer, inner_field))
    assert inner(twice - once, 2).abs().mean() < 0.02


def test_integrating_a_constant_velocity_is_a_translation():
    velocity = torch.tensor([1.25, -2.5]).view(1, 2, 1, 1).expand(1, 2, 9, 11)
    torch.testing.assert_close(geometry.integrate(velocity), velocity.contiguous())


@checks
@given(shapes, seeds)
def test_integrating_backwards_inverts(shape, seed):
    velocity = smooth_field(shape, seed, 1.5)
    there_and_back = geometry.compose(geometry.integrate(velocity), geometry.integrate(-velocity))
    assert inner(there_and_back, 3).abs().max() < 0.08


@checks
@given(shapes, seeds)
def test_a_flow_does_not_fold(shape, seed):
    assert geometry.jacobian_determinant(geometry.integrate(smooth_field(shape, seed, 2))).min() > 0


@pytest.mark.parametrize(
    ("shape", "spacing", "amplitudes"),
    [((96, 112), 2.0, (1.5, 3, 5, 7)), ((64, 64), 2.0, (2, 4, 6, 8)), ((40, 48, 36), 4.0, (1.5, 3, 5, 8))],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_multi_scale_warps_are_inverted(shape, spacing, amplitudes, seed):
    """They stretch by more than 1 in places, where fixed-point iteration alone does not settle."""
    warp = random_warp(shape, [spacing] * len(shape), (4, 8, 16, 32), amplitudes, np.random.default_rng(seed))
    field = geometry.to_tensor(warp)
    inverse = geometry.invert(field)
    residual = geometry.compose(field, inverse).norm(dim=1)
    landing = geometry.identity_grid(field) + inverse
    last = torch.tensor(shape).view(1, -1, *[1] * len(shape)) - 1
    inside = ((landing >= 0) & (landing <= last)).all(dim=1)
    assert 0.5 < inside.float().mean() < 1  # points do leave the grid
    assert residual[inside].max() < 0.01
    assert torch.isfinite(inverse).all()


def test_inverse_of_a_stretch_beyond_fixed_point_iteration():
    matrix = np.array([[2.6, 0.4], [-0.3, 2.2]])
    field = affine_field(matrix, (41, 37))
    expected = affine_field(np.linalg.inv(matrix), (41, 37))
    torch.testing.assert_close(geometry.invert(field), expected, atol=1e-3, rtol=0)


def test_a_batch_is_inverted_one_by_one():
    fields = torch.cat([smooth_field((20, 24), seed, 2) for seed in range(3)])
    each = torch.cat([geometry.invert(field[None]) for field in fields])
    torch.testing.assert_close(geometry.invert(fields), each)


# --- Jacobian ---------------------------------------------------------------------------------------------------------


def test_determinant_is_the_determinant():
    for dims in (2, 3):
        matrices = torch.randn(50, dims, dims, dtype=torch.float64, generator=torch.Generator().manual_seed(dims))
        rows = [[matrices[:, i, j] for j in range(dims)] for i in range(dims)]
        torch.testing.assert_close(geometry.determinant(rows), torch.linalg.det(matrices))


@checks
@given(shapes, st.lists(st.floats(-2, 2), min_size=9, max_size=9))
def test_jacobian_of_an_affine_map_is_its_determinant(shape, entries):
    dims = len(shape)
    matrix = np.array(entries)[: dims * dims].reshape(dims, dims)
    jacobian = geometry.jacobian_determinant(affine_field(matrix, shape))
    torch.testing.assert_close(jacobian, torch.full_like(jacobian, np.linalg.det(matrix)), atol=1e-9, rtol=1e-6)


def test_jacobian_of_a_reflection_is_minus_one():
    """Taking absolute values of the differences makes it +1, as if nothing were folded."""
    jacobian = geometry.jacobian_determinant(affine_field(np.diag([-1.0, 1, 1]), (8, 9, 10)))
    torch.testing.assert_close(jacobian, torch.full_like(jacobian, -1))


def test_jacobian_of_a_rotation_is_one():
    """Taking absolute values of the differences makes it -0.5 at 60 degrees, as if all were folded."""
    c, s = np.cos(np.pi / 3), np.sin(np.pi / 3)
    jacobian = geometry.jacobian_determinant(affine_field([[c, -s, 0], [s, c, 0], [0, 0, 1]], (8, 9, 10)))
    torch.testing.assert_close(jacobian, torch.ones_like(jacobian))


# --- resizing and regularising ----------------------------------------------------------------------------------------


@checks
@given(shapes, seeds, st.sampled_from([0.5, 1.5, 2.0]))
def test_resizing_keeps_an_affine_map(shape, seed, factor):
    """Where corner voxels coincide, an affine map on one grid is the rescaled affine map on the other."""
    other = tuple(int(n * factor) for n in shape)
    ratio = np.array([(n - 1) / (m - 1) for n, m in zip(other, shape, strict=True)])
    matrix = np.eye(len(shape)) + 0.1 * np.random.default_rng(seed).standard_normal((len(shape),) * 2)
    there = affine_field(np.diag(ratio) @ matrix @ np.diag(1 / ratio), other)
    torch.testing.assert_close(geometry.resize_displacement(affine_field(matrix, shape), other), there)


@checks
@given(shapes, seeds)
def test_resizing_to_the_same_shape_changes_nothing(shape, seed):
    field = smooth_field(shape, seed)
    torch.testing.assert_close(geometry.resize_displacement(field, shape), field)


def test_energy_of_a_shear():
    field = torch.zeros(1, 2, 5, 7)
    field[0, 0] = 0.5 * torch.arange(7)  # one of the four slopes is .5
    assert geometry.diffusion_energy(field).item() == pytest.approx(0.25 / 4)
    # displacement along axis 0 in units of 3, per step of 2 along axis 1
    assert geometry.diffusion_energy(field, (3, 2)).item() == pytest.approx((0.5 * 3 / 2) ** 2 / 4)


@checks
@given(shapes, seeds, st.floats(0.1, 10))
def test_energy_on_an_isotropic_grid_does_not_depend_on_spacing(shape, seed, spacing):
    field = smooth_field(shape, seed)
    plain = geometry.diffusion_energy(field)
    torch.testing.assert_close(geometry.diffusion_energy(field, [spacing] * len(shape)), plain)


@pytest.mark.parametrize(("energy", "power"), [(geometry.diffusion_energy, 1), (geometry.bending_energy, 2)])
@pytest.mark.parametrize(("component", "axis"), [(0, 0), (0, 2), (2, 0), (2, 2)])
def test_energy_on_a_slab_is_that_of_the_same_field_on_cubes(energy, power, component, axis):
    """The physical field is 0.01 times a power of a coordinate; slices are five times as thick as pixels."""
    found = []
    for shape, spacing in (((6, 5, 20), (1, 1, 1)), ((6, 5, 4), (1, 1, 5))):
        coordinate = geometry.identity_grid(torch.zeros(1, 3, *shape))[0, axis] * spacing[axis]
        field = torch.zeros(1, 3, *shape)
        field[0, component] = 0.01 * coordinate**power / spacing[component]
        found.append(energy(field, spacing))
    assert found[0] > 0
    torch.testing.assert_close(*found)


@checks
@given(shapes, seeds)
def test_energy_of_a_batch_is_that_of_each_displacement(shape, seed):
    fields = [smooth_field(shape, seed + k) * (1 + k) for k in range(3)]
    alone = torch.cat([geometry.diffusion_energy(field) for field in fields])
    torch.testing.assert_close(geometry.diffusion_energy(torch.cat(fields)), alone)


@checks
@given(shapes, seeds)
def test_energy_ignores_translations(shape, seed):
    field = smooth_field(shape, seed)
    torch.testing.assert_close(
        geometry.diffusion_energy(field + 3), geometry.diffusion_energy(field), rtol=1e-4, atol=0
    )
