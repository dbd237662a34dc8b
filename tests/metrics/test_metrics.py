"""Metrics against the values of public evaluators, and by what must hold of any of them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from likeness.geometry import bending_energy, invert, to_array, to_tensor, warp_labels
from likeness.metrics import endpoint, overlap, regularity, scorer, surface, tre
from likeness.metrics.base import Pair
from likeness.metrics.inverse_consistency import inconsistency

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "metrics.npz")
FIELDS = ["identity", "smooth", "folding", "reflection", "rotation60", "spike"]

checks = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**16)
shapes = st.sampled_from([(24, 19), (12, 17, 14)])


def blob(shape, seed, share=0.3):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 2)
    return noise > np.quantile(noise, 1 - share)


def field(shape, seed, amplitude):
    noise = np.random.default_rng(seed).standard_normal((*shape, len(shape)))
    smooth = ndimage.gaussian_filter(noise, [*[3] * len(shape), 0])
    return (amplitude * smooth / np.abs(smooth).max()).astype(np.float32)


# --- the public evaluators --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIELDS)
class TestOracle:
    def test_warped_labels(self, name):
        warped = warp_labels(ORACLE["moving_labels"], ORACLE[f"{name}.displacement"])
        assert np.array_equal(warped, ORACLE[f"{name}.warped_labels"])

    def test_dice(self, name):
        fixed, moving, labels = ORACLE["fixed_labels"], ORACLE["moving_labels"], ORACLE["labels"]
        values = overlap.dice(fixed, ORACLE[f"{name}.warped_labels"], labels)
        values[~overlap.common(fixed, moving, labels)] = np.nan
        np.testing.assert_allclose(values, ORACLE[f"{name}.l2r_dice"], rtol=1e-12)

    def test_hd95(self, name):
        fixed, moved = ORACLE["fixed_labels"], ORACLE[f"{name}.warped_labels"]
        values = [surface.hd95(fixed == label, moved == label, (1, 1, 1)) for label in ORACLE["labels"][:4]]
        np.testing.assert_allclose(values, ORACLE[f"{name}.l2r_hd95_voxel"][:4], rtol=1e-8)

    def test_tre(self, name):
        fixed, moving, spacing = ORACLE["landmarks_fixed"], ORACLE["landmarks_moving"], ORACLE["spacing_moving"]
        error = tre.target_registration_error(ORACLE[f"{name}.displacement"], fixed, moving, spacing)
        np.testing.assert_allclose(error, ORACLE[f"{name}.l2r_tre"], atol=1e-6)

    def test_jacobian(self, name):
        jacobian = regularity.jacobian(ORACLE[f"{name}.displacement"])
        np.testing.assert_allclose(jacobian[2:-2, 2:-2, 2:-2], ORACLE[f"{name}.central_jacobian"], atol=1e-6)
        assert regularity.l2r_sdlogj(jacobian) == pytest.approx(float(ORACLE[f"{name}.l2r_sdlogj"]), abs=1e-7)

    def test_non_diffeomorphic_volume(self, name):
        displacement = ORACLE[f"{name}.displacement"]
        volume, percent = ORACLE[f"{name}.ndv"][:2]
        assert regularity.non_diffeomorphic(displacement).sum() == pytest.approx(volume, rel=1e-5)
        assert regularity.non_diffeomorphic_share(displacement) == pytest.approx(percent, rel=1e-5)


@pytest.mark.parametrize("name", ["2d_smooth", "2d_folding"])
def test_non_diffeomorphic_area_oracle(name):
    area, percent = ORACLE[f"{name}.nda"][:2]
    assert regularity.non_diffeomorphic(ORACLE[f"{name}.displacement"]).sum() == pytest.approx(area, rel=1e-5)
    assert regularity.non_diffeomorphic_share(ORACLE[f"{name}.displacement"]) == pytest.approx(percent, rel=1e-5)


def test_a_single_voxels_move_is_seen_by_ndv_and_not_by_central_differences():
    spike = ORACLE["spike.displacement"]
    place = np.unravel_index(np.linalg.norm(spike, axis=-1).argmax(), spike.shape[:-1])
    assert np.linalg.norm(spike[place]) == pytest.approx(5)
    assert regularity.jacobian(spike)[place] == 1
    assert regularity.non_diffeomorphic(spike)[place] > 1.5


def test_learn2reg_smoothness_hides_a_reflection():
    """The shift by 3 makes J = -1 look as smooth as J = +1; ours and the share of folding do not."""
    jacobian = regularity.jacobian(ORACLE["reflection.displacement"])
    assert regularity.l2r_sdlogj(jacobian) == 0
    assert regularity.folding(jacobian) == 100


# --- overlap ----------------------------------------------------------------------------------------------------------


@checks
@given(shapes, seeds)
def test_dice_is_symmetric_and_in_range(shape, seed):
    a, b = np.random.default_rng(seed).integers(-1, 4, (2, *shape))
    values = overlap.dice(a, b, range(5))
    np.testing.assert_array_equal(values, overlap.dice(b, a, range(5)))
    assert np.isnan(values[4])
    assert ((values[:4] >= 0) & (values[:4] <= 1)).all()
    np.testing.assert_array_equal(overlap.dice(a, a, range(4)), 1)
    for label in range(4):
        x, y = a == label, b == label
        assert values[label] == 2 * (x & y).sum() / (x.sum() + y.sum())


@checks
@given(seeds)
def test_dice_does_not_depend_on_the_order_of_labels(seed):
    a, b = np.random.default_rng(seed).integers(0, 5, (2, 9, 8))
    np.testing.assert_array_equal(overlap.dice(a, b, [3, 1]), overlap.dice(a, b, range(5))[[3, 1]])


def test_dice_of_an_absent_label_is_undefined_and_of_a_lost_one_zero():
    a, b = np.array([[0, 1], [1, 2]]), np.array([[0, 1], [1, 1]])
    np.testing.assert_array_equal(overlap.dice(a, b, [1, 2, 7]), [0.8, 0, np.nan])
    np.testing.assert_array_equal(overlap.common(a, b, [0, 1, 2, 7]), [True, True, False, False])


def test_dice_refuses_what_it_cannot_score():
    with pytest.raises(ValueError, match="different shape"):
        overlap.dice(np.zeros((2, 3), int), np.zeros((3, 2), int), [0])
    with pytest.raises(ValueError, match=r"\[-1\] are negative"):
        overlap.dice(np.zeros((2, 2), int), np.zeros((2, 2), int), [-1, 0])


def test_dice_of_instances_pairs_the_same_cell():
    moving = np.array([[1, 1, 2, 2], [0, 2_000_000_000, 5, 5]])
    fixed = np.array([[2, 2, 2, 2], [0, 2_000_000_000, 4, 4]])
    # cell 2 covers 2 of 4 voxels, cell 2e9 agrees, cells 1, 4 and 5 have no partner
    assert overlap.dice_instance(fixed, moving, moving) == pytest.approx((4 / 6 + 1) / 2)
    lost = np.where(moving == 2, 0, moving)
    assert overlap.dice_instance(fixed, lost, moving) == pytest.approx(0.5)
    assert np.isnan(overlap.dice_instance(fixed, np.zeros_like(fixed), np.zeros_like(fixed)))


# --- surfaces ---------------------------------------------------------------------------------------------------------


@checks
@given(shapes, seeds, st.floats(0.1, 9))
def test_hd95_is_symmetric_and_scales_with_spacing(shape, seed, scale):
    a, b = blob(shape, seed), blob(shape, seed + 1)
    spacing = np.array([1.0, 1.5, 0.7])[: len(shape)]
    distance = surface.hd95(a, b, spacing)
    assert distance == surface.hd95(b, a, spacing)
    assert surface.hd95(a, b, spacing * scale) == pytest.approx(scale * distance, rel=1e-9)
    assert surface.hd95(a, a, spacing) == 0


@checks
@given(shapes, seeds, st.data())
def test_hd95_does_not_prefer_an_axis_or_a_direction(shape, seed, data):
    a, b = blob(shape, seed), blob(shape, seed + 1)
    spacing = [1.0, 1.5, 0.7][: len(shape)]
    order = data.draw(st.permutations(range(len(shape))))
    flipped = data.draw(st.lists(st.sampled_from(range(len(shape))), unique=True))
    turned = [np.flip(x, flipped).transpose(order) for x in (a, b)]
    distance = surface.hd95(*turned, [spacing[axis] for axis in order])
    assert distance == pytest.approx(surface.hd95(a, b, spacing), rel=1e-9)


@checks
@given(shapes, seeds, st.lists(st.integers(0, 5), min_size=3, max_size=3))
def test_hd95_of_a_shift_is_at_most_its_length(shape, seed, shift):
    shift = shift[: len(shape)]
    spacing = np.array([1.0, 1.5, 0.7])[: len(shape)]
    a = np.pad(blob(shape, seed), 6)
    b = np.roll(a, shift, tuple(range(a.ndim)))
    assert surface.hd95(a, b, spacing) <= np.linalg.norm(np.array(shift) * spacing) + 1e-9


def test_hd95_keeps_infinity_and_tells_it_from_undefined():
    a, empty = blob((12, 12), 0), np.zeros((12, 12), bool)
    assert surface.hd95(a, empty, (1, 1)) == np.inf
    assert surface.hd95(empty, a, (1, 1)) == np.inf
    assert np.isnan(surface.hd95(empty, empty, (1, 1)))


def test_hd95_of_parallel_planes():
    a, b = np.zeros((2, 20, 20, 20), bool)
    a[:, :, :5] = b[:, :, :9] = True
    assert surface.hd95(a, b, (1, 1, 2.5)) == pytest.approx(4 * 2.5)


def average(a, b, spacing):
    return surface.Distances.between(surface.surface(a, spacing), surface.surface(b, spacing)).average()


@pytest.mark.parametrize("shape", [(24, 19), (12, 17, 14)])
def test_average_surface_distance_is_that_of_distance_maps_with_the_areas_of_monai(shape):
    """Another way to the same points: distance maps on the grid of corners, as the reference implementation has it."""
    from monai.metrics.utils import get_edge_surface_distance

    a, b, spacing = blob(shape, 3), blob(shape, 4), [1.0, 1.5, 0.7][: len(shape)]
    tensors = [torch.from_numpy(region) for region in (a, b)]
    edges, distances, maps = get_edge_surface_distance(*tensors, spacing=spacing, use_subvoxels=True, symmetric=True)
    areas = torch.cat([areas[edge] for areas, edge in zip(maps, edges, strict=True)]).double()
    distances = torch.cat(distances).double()
    assert average(a, b, spacing) == pytest.approx(float((distances * areas).sum() / areas.sum()), rel=1e-5)


@checks
@given(shapes, seeds, st.floats(0.1, 9))
def test_average_surface_distance_is_symmetric_scales_and_is_at_most_the_largest(shape, seed, scale):
    a, b, spacing = blob(shape, seed), blob(shape, seed + 1), np.array([1.0, 1.5, 0.7])[: len(shape)]
    distance = average(a, b, spacing)
    assert average(b, a, spacing) == pytest.approx(distance, rel=1e-12)
    # areas come in single precision
    assert average(a, b, spacing * scale) == pytest.approx(scale * distance, rel=1e-6)
    assert average(a, a, spacing) == 0
    both = surface.surface(a, spacing), surface.surface(b, spacing)
    assert 0 < distance <= surface.hausdorff(*both, percent=100)


def test_average_surface_distance_keeps_infinity_and_tells_it_from_undefined():
    a, empty = blob((12, 12), 0), np.zeros((12, 12), bool)
    assert average(a, empty, (1, 1)) == average(empty, a, (1, 1)) == np.inf
    assert np.isnan(average(empty, empty, (1, 1)))


@checks
@given(shapes, seeds)
def test_a_cropped_region_has_the_same_surface(shape, seed):
    region = np.pad(blob(shape, seed), 2)
    spacing = [1.0, 1.5, 0.7][: len(shape)]
    box = ndimage.find_objects(region.astype(int))[0]
    cropped = surface.surface(region[box], spacing, [s.start for s in box])
    whole = surface.surface(region, spacing)
    np.testing.assert_allclose(cropped.points, whole.points)
    np.testing.assert_array_equal(cropped.areas, whole.areas)


def test_area_of_a_box():
    """The patches cut the edges, so the area is a little below that of the box."""
    region = np.zeros((30, 34, 40), bool)
    region[4:24, 4:28, 4:34] = True
    exact = 2 * (20 * 24 * 2 * 3 + 20 * 30 * 2 * 0.5 + 24 * 30 * 3 * 0.5)
    area = surface.surface(region, (2, 3, 0.5)).areas.sum()
    assert 0.9 * exact < area < exact


def test_length_of_a_rectangle():
    region = np.zeros((40, 60), bool)
    region[5:35, 5:55] = True
    length = surface.surface(region, (2, 0.5)).areas.sum()
    corners = 4 * (0.5 * np.hypot(2, 0.5) - (2 + 0.5) / 2)
    assert length == pytest.approx(2 * (30 * 2 + 50 * 0.5) + corners)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 2.0)])
def test_lengths_are_those_of_monai(spacing):
    """Written out here only because importing MONAI takes longer than scoring."""
    from monai.metrics.utils import get_code_to_measure_table

    np.testing.assert_allclose(surface._areas(spacing), get_code_to_measure_table(spacing)[0].numpy())


def test_surface_refuses_other_dimensions():
    with pytest.raises(ValueError, match="2 axes with a spacing of 3"):
        surface.surface(np.ones((3, 3), bool), (1, 1, 1))


# --- landmarks --------------------------------------------------------------------------------------------------------


def test_tre_is_physical_and_zero_for_the_right_displacement():
    points = np.random.default_rng(0).uniform(2, 12, (20, 3))
    shift = np.array([1.0, -2.0, 0.5])
    still, right = np.zeros((16, 16, 16, 3)), np.broadcast_to(shift, (16, 16, 16, 3))
    spacing = (1, 2, 3)
    before = tre.target_registration_error(still, points, points + shift, spacing)
    after = tre.target_registration_error(right, points, points + shift, spacing)
    np.testing.assert_allclose(before, np.linalg.norm(shift * spacing))
    np.testing.assert_allclose(after, 0, atol=1e-9)


def test_tre_of_unknown_and_border_points():
    points = np.array([[np.nan, 3.0], [-0.4, 9.3], [4.0, 4.0]])
    shift = np.broadcast_to([1.0, 0.0], (10, 10, 2))
    error = tre.target_registration_error(shift, points, points + shift[0, 0], (1, 1))
    assert np.isnan(error[0])
    np.testing.assert_allclose(error[1:], 0, atol=1e-9)


def test_tre_refuses_points_without_partner():
    with pytest.raises(ValueError, match="2 fixed but 3 moving"):
        tre.target_registration_error(np.zeros((4, 4, 2)), np.zeros((2, 2)), np.zeros((3, 2)), (1, 1))


def test_tre_of_most_landmarks():
    """Of eleven errors 0 … 10 the median is 5 and nine tenths are at most 9; an unknown one does not count."""
    points = np.full((12, 2), 4.0)
    there = points + np.stack([np.arange(12.0), np.zeros(12)], axis=1)
    there[11] = np.nan
    still = np.zeros((10, 10, 2))
    images = (SimpleNamespace(landmarks=one) for one in (there, points))
    pair = Pair(*images, spacing=(2.0, 1.0), unit="mm", labels=[], held_out=[], related=True)
    found = [scorer(name)(pair.at(still)) for name in ("tre", "tre_median", "tre_p90")]
    assert found == pytest.approx([10, 10, 18])


# --- end points -------------------------------------------------------------------------------------------------------


@checks
@given(shapes, seeds)
def test_the_truth_of_an_image_with_itself_is_nothing(shape, seed):
    one = field(shape, seed, 1.5)
    truth, known = endpoint.true_displacement(one, one)
    assert known[(slice(3, -3),) * len(shape)].all()
    assert np.abs(truth[known]).max() < 0.01


@checks
@given(shapes, seeds)
def test_the_truth_joins_both_images_in_the_common_space(shape, seed):
    """phi_moving(x + truth(x)) = phi_fixed(x)."""
    moving, fixed = field(shape, seed, 2), field(shape, seed + 1, 2)
    truth, known = endpoint.true_displacement(moving, fixed)
    landing = np.indices(shape) + np.moveaxis(truth, -1, 0)
    carried = [ndimage.map_coordinates(m, landing, order=1, mode="nearest") for m in np.moveaxis(moving, -1, 0)]
    off = np.linalg.norm(np.stack(carried, -1) + truth - fixed, axis=-1)
    assert known.mean() > 0.4
    assert off[known].max() < 0.011


def test_the_truth_is_unknown_where_it_leaves_the_moving_image():
    moving, fixed = np.zeros((2, 12, 12, 2), np.float32)
    fixed[..., 0] = 5
    truth, known = endpoint.true_displacement(moving, fixed)
    np.testing.assert_allclose(truth, fixed)
    assert known[1:6, 1:-1].all()
    assert not known[6:].any()  # row 6 lands on the last row: within the margin


@checks
@given(seeds)
def test_end_point_error_is_a_distance(seed):
    a, b, c = np.random.default_rng(seed).standard_normal((3, 5, 6, 2))
    spacing = (2.0, 0.5)

    def distance(x, y):
        return endpoint.end_point_error(x, y, spacing)

    assert (distance(a, a) == 0).all()
    np.testing.assert_array_equal(distance(a, b), distance(b, a))
    assert (distance(a, c) <= distance(a, b) + distance(b, c) + 1e-12).all()


def local_deviation(image, place):
    """Standard deviation of the window around a voxel of a mirrored image, by the definition."""
    padded = np.pad(image, 2, mode="symmetric")
    return padded[tuple(slice(i, i + 5) for i in place)].std()


@checks
@given(shapes, seeds)
def test_texture_is_what_varies_more_than_the_median(shape, seed):
    image = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1) * blob(shape, seed, 0.8)
    mask = blob(shape, seed + 1, 0.5)
    found = endpoint.textured(image.astype(np.float32), mask)
    deviation = np.array([local_deviation(image, place) for place in np.argwhere(mask)])
    clear = np.abs(deviation - np.median(deviation)) > 1e-6
    np.testing.assert_array_equal(found[mask][clear], (deviation > np.median(deviation))[clear])
    assert not found[~mask].any()
    # neither contrast nor brightness matters
    np.testing.assert_array_equal(endpoint.textured(0.25 + 0.5 * image, mask), endpoint.textured(image, mask))


def test_nothing_of_a_constant_image_is_textured():
    everywhere = np.ones((9, 9), bool)
    assert not endpoint.textured(np.full((9, 9), 0.7, np.float32), everywhere).any()
    assert not endpoint.textured(np.zeros((9, 9), np.float32), ~everywhere).any()


# --- there and back ---------------------------------------------------------------------------------------------------


@checks
@given(shapes, seeds)
def test_inverse_consistency_is_that_of_two_interpolations(shape, seed):
    there, back, spacing = field(shape, seed, 2), field(shape, seed + 1, 2), [1.0, 1.5, 0.7][: len(shape)]
    error, inside = inconsistency(there, back, spacing)
    landing = np.indices(shape) + np.moveaxis(there, -1, 0)
    returned = [ndimage.map_coordinates(v, landing, order=1, mode="nearest") for v in np.moveaxis(back, -1, 0)]
    wanted = np.linalg.norm((there + np.stack(returned, axis=-1)) * spacing, axis=-1)
    np.testing.assert_allclose(error, wanted, atol=1e-4)
    last = np.array(shape).reshape(-1, *[1] * len(shape)) - 1
    np.testing.assert_array_equal(inside, ((landing >= 0) & (landing <= last)).all(axis=0))


@checks
@given(shapes, seeds)
def test_a_field_and_its_inverse_are_consistent(shape, seed):
    there = field(shape, seed, 1)
    error, inside = inconsistency(there, to_array(invert(to_tensor(there))), (1.0,) * len(shape))
    assert error[inside].mean() < 0.1
    alone, _ = inconsistency(there, np.zeros_like(there), (1.0,) * len(shape))
    np.testing.assert_allclose(alone, np.linalg.norm(there, axis=-1), atol=1e-6)


# --- regularity -------------------------------------------------------------------------------------------------------


@checks
@given(shapes, seeds)
def test_small_smooth_displacements_are_diffeomorphic(shape, seed):
    displacement = field(shape, seed, 0.4)
    assert regularity.non_diffeomorphic_share(displacement) == 0
    assert regularity.folding(regularity.jacobian(displacement)) == 0


@checks
@given(shapes, seeds, st.data())
def test_non_diffeomorphic_share_does_not_prefer_a_direction_or_in_2d_an_axis(shape, seed, data):
    displacement = np.random.default_rng(seed).standard_normal((*shape, len(shape))).astype(np.float32)
    dims = len(shape)
    order = data.draw(st.permutations(range(dims)))
    turned = displacement.transpose(*order, dims)[..., list(order)]
    assert regularity.non_diffeomorphic_share(turned) == pytest.approx(
        regularity.non_diffeomorphic_share(displacement), rel=1e-5
    )
    # all axes at once: the two additional simplices in 3D lie along one diagonal and change places
    flipped = -np.flip(displacement, tuple(range(dims)))
    assert regularity.non_diffeomorphic_share(flipped) == pytest.approx(
        regularity.non_diffeomorphic_share(displacement), rel=1e-5
    )


@checks
@given(shapes, seeds)
def test_scores_over_a_partition_add_up(shape, seed):
    displacement = field(shape, seed, 9)
    mask = blob(shape, seed)
    whole = regularity.non_diffeomorphic_share(displacement)
    parts = [regularity.non_diffeomorphic_share(displacement, m) * m.mean() for m in (mask, ~mask)]
    assert sum(parts) == pytest.approx(whole)
    jacobian = regularity.jacobian(displacement)
    parts = [regularity.folding(jacobian, m) * m.mean() for m in (mask, ~mask)]
    assert sum(parts) == pytest.approx(regularity.folding(jacobian))


def test_smoothness_goes_on_rising_with_folding():
    """Over J > 0 alone it would not: the floor counts folds as strong compression."""
    values = [regularity.sdlogj(regularity.jacobian(field((40, 40), 0, a))) for a in (0, 2, 5, 10, 20)]
    assert values[0] == 0
    assert np.all(np.diff(values) > 0)


def test_log_jacobian_of_a_scaling():
    displacement = (0.5 * np.moveaxis(np.indices((9, 9)), 0, -1)).astype(np.float32)
    jacobian = regularity.jacobian(displacement)
    assert regularity.abslogj(jacobian) == pytest.approx(2 * np.log(1.5))
    assert regularity.sdlogj(jacobian) == pytest.approx(0, abs=1e-6)


def test_nothing_can_be_said_of_an_empty_mask():
    none = np.zeros((9, 9), bool)
    jacobian = np.ones((9, 9))
    scores = [f(jacobian, none) for f in (regularity.folding, regularity.sdlogj, regularity.abslogj)]
    assert np.isnan([*scores, regularity.l2r_sdlogj(np.ones((4, 9)))]).all()


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 0.5)])
def test_the_bending_energy_of_a_quadratic_is_its_second_derivatives(spacing):
    """u = a x² + b x y + c y in physical units has the second derivatives 2a, b and 0."""
    x, y = np.meshgrid(*(np.arange(n) * s for n, s in zip((12, 9), spacing, strict=True)), indexing="ij")
    physical = np.stack([0.3 * x**2 + 0.2 * x * y + 5 * y, 0 * x], -1)
    found = regularity.bending(physical / np.array(spacing), spacing)
    assert found == pytest.approx((0.6**2 + 2 * 0.2**2) / 2)


def test_the_bending_energy_is_of_the_mask_and_not_of_affine_displacements():
    affine = np.stack(np.meshgrid(*map(np.arange, (6, 7, 8)), indexing="ij"), -1) @ np.array([[0.1, 0, 0.2]] * 3)
    assert regularity.bending(affine, (1, 2, 3)) == pytest.approx(0, abs=1e-20)
    bent = affine.copy()
    bent[:3, ..., 0] = 0
    mask = np.zeros((6, 7, 8), bool)
    mask[4:] = True
    assert regularity.bending(bent, (1, 2, 3), mask) == pytest.approx(0, abs=1e-20)
    assert regularity.bending(bent, (1, 2, 3), ~mask) > 0
    assert np.isnan(regularity.bending(bent, (1, 2, 3), np.zeros_like(mask)))


def test_the_bending_energy_is_near_that_of_the_regulariser():
    random = np.random.default_rng(3)
    smooth = ndimage.gaussian_filter(random.normal(size=(40, 30, 20, 3)), (4, 4, 4, 0)).astype(np.float32)
    spacing = (1.0, 1.5, 2.0)
    expected = float(bending_energy(to_tensor(smooth), spacing))
    assert regularity.bending(smooth, spacing) == pytest.approx(expected, rel=0.1)
