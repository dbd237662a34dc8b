"""Losses on intensities against their definitions, written out with NumPy and SciPy, and against MONAI."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.interpolate import BSpline
from scipy.ndimage import gaussian_filter
from scipy.special import rel_entr
from torch import Tensor

from likeness import losses
from likeness.extractors.base import Extractor
from likeness.losses._correlation import gaussian_mean
from likeness.losses._features import correlation_dissimilarity
from likeness.losses._parzen import padded, windows
from likeness.losses.base import Registration
from likeness.losses.filters import Bank, Loss
from likeness.losses.lncc_multiscale import in_voxels

SHAPES = {"2d": (44, 37), "3d": (19, 24, 21)}
both = pytest.mark.parametrize("dims", SHAPES)


def smooth(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """A smooth random image in [0, 1]."""
    image = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5)
    return (image - image.min()) / np.ptp(image)


def images(dims: str) -> tuple[np.ndarray, np.ndarray]:
    """Moved and fixed images that are related."""
    fixed = smooth(SHAPES[dims], 0)
    return 0.6 * fixed + 0.4 * smooth(SHAPES[dims], 1), fixed


def registered(moved: np.ndarray, fixed: np.ndarray, spacing: tuple[float, ...] | None = None) -> Registration:
    """A registration of one pair at the identity, so that the moving image is the moved one."""
    tensors = [torch.from_numpy(image.copy())[None, None] for image in (moved, fixed)]
    return Registration(*tensors, torch.zeros(1, fixed.ndim, *fixed.shape, dtype=torch.float64), spacing=spacing)


def value(name: str, moved: np.ndarray, fixed: np.ndarray, **options: object) -> float:
    return float(losses.build(name, **options)(registered(moved, fixed)))


def mapped(name: str, pair: Registration, **options: object) -> np.ndarray:
    found = losses.build(name, **options).map(pair)
    assert found is not None
    return found[0, 0].numpy()


Moments = tuple[list[np.ndarray], list[np.ndarray], np.ndarray]


def moments(moved: np.ndarray, fixed: np.ndarray, sigmas: Sequence[float], reach: float) -> Moments:
    """Means, variances and covariance under a Gaussian that ends at a distance and at the border."""
    window = {"sigma": sigmas, "radius": [math.ceil(reach * s) for s in sigmas], "mode": "constant"}
    inside = gaussian_filter(np.ones_like(fixed), **window)

    def mean(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, **window) / inside

    means = [mean(image) for image in (moved, fixed)]
    variances = [mean(image**2) - m**2 for image, m in zip((moved, fixed), means, strict=True)]
    return means, variances, mean(moved * fixed) - means[0] * means[1]


def local_correlation(moved: np.ndarray, fixed: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    _, variances, covariance = moments(moved, fixed, sigmas, 2)
    return covariance / np.sqrt(np.maximum(variances[0], 1e-6) * np.maximum(variances[1], 1e-6))


@both
@pytest.mark.parametrize("spacing", [None, (0.5, 1.0, 0.5)])
def test_multiscale_lncc_is_the_mean_over_windows_of_one_physical_size(
    dims: str, spacing: tuple[float, ...] | None
) -> None:
    moved, fixed = images(dims)
    shares = [1.0] * fixed.ndim if spacing is None else [0.5 / side for side in spacing[: fixed.ndim]]
    expected = [1 - local_correlation(moved, fixed, [s * share for share in shares]) for s in (1.5, 2.0, 5.0)]
    pair = registered(moved, fixed, None if spacing is None else spacing[: fixed.ndim])
    found = mapped("lncc_multiscale", pair, sigmas=[1.5, 2.0, 5.0])
    np.testing.assert_allclose(found, np.mean(expected, 0), rtol=1e-6, atol=1e-9)


def test_multiscale_lncc_of_one_window_is_lncc() -> None:
    pair = registered(*images("2d"))
    alone = mapped("lncc_multiscale", pair, sigmas=[3.0])
    np.testing.assert_allclose(alone, mapped("lncc", pair, sigma=3.0), rtol=1e-12)


@pytest.mark.parametrize("spacing", [None, (1.0, 3.0)])
def test_windows_of_multiscale_lncc_keep_their_physical_size_on_coarser_images(
    spacing: tuple[float, float] | None,
) -> None:
    pair = registered(np.zeros((41, 31)), np.zeros((41, 31)), spacing)
    across = 1 if spacing is None else 3
    assert in_voxels(6.0, pair) == pytest.approx([6, 6 / across])
    assert in_voxels(6.0, pair.coarser((21, 31))) == pytest.approx([3, 6 / across])
    assert in_voxels(6.0, pair.coarser((5, 4))) == pytest.approx([0.6, max(0.6 / across, 0.5)])


@both
def test_ssim_is_the_formula_of_its_paper_up_to_the_border(dims: str) -> None:
    moved, fixed = images(dims)
    (a, b), variances, covariance = moments(moved, fixed, [1.5] * fixed.ndim, 3)
    luminance = (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4)
    expected = luminance * (2 * covariance + 9e-4) / (sum(variances) + 9e-4)
    np.testing.assert_allclose(1 - mapped("ssim", registered(moved, fixed)), expected, rtol=1e-9, atol=1e-12)


@both
def test_ssim_is_that_of_monai_where_windows_lie_inside(dims: str) -> None:
    """Theirs is in single precision, in which a variance is a small difference of large numbers."""
    from monai.metrics.regression import compute_ssim_and_cs

    pair = registered(*images(dims))
    axes = len(SHAPES[dims])
    expected = compute_ssim_and_cs(pair.moving, pair.fixed, axes, kernel_size=[11] * axes, kernel_sigma=[1.5] * axes)
    within: tuple[slice, ...] = (slice(5, -5),) * axes
    np.testing.assert_allclose(1 - mapped("ssim", pair)[within], expected[0][0, 0], rtol=0, atol=5e-4)


@pytest.mark.parametrize(("levels", "expected"), [((0.3, 0.3), 0.0), ((0.2, 0.8), 1 - 0.3201 / 0.6801)])
def test_ssim_of_constant_images_compares_their_levels_up_to_the_border(
    levels: tuple[float, float], expected: float
) -> None:
    pair = registered(*(np.full((20, 24), level) for level in levels))
    np.testing.assert_allclose(mapped("ssim", pair), expected, rtol=1e-9, atol=1e-12)


def parzen(image: np.ndarray, bins: int) -> np.ndarray:
    """Weights of every voxel in bins whose centres span [0, 1], and in one more on either side."""
    bell = BSpline.basis_element(np.arange(-2, 3), extrapolate=False)
    return np.nan_to_num(bell(image.reshape(-1, 1) * (bins - 1) - np.arange(-1, bins + 1)))


@pytest.mark.parametrize("bins", [3, 17])
def test_parzen_windows_are_cubic_splines_that_sum_to_one(bins: int) -> None:
    image = np.linspace(0, 1, 200)
    found = windows(torch.from_numpy(image)[None], bins)
    dense = torch.zeros(1, padded(bins), 200, dtype=torch.float64).scatter(1, *found)[0].T.numpy()
    np.testing.assert_allclose(dense, parzen(image, bins), atol=1e-12)
    np.testing.assert_allclose(dense.sum(1), 1, rtol=1e-12)


def explained(values: np.ndarray, given: np.ndarray, bins: int) -> float:
    """Variance of the mean of an image's values in every bin of the other, as a share of their variance."""
    joint = parzen(given, bins)
    counts = joint.sum(0)
    means = joint.T @ values.ravel() / np.maximum(counts, 1e-12)
    return float(np.average((means - values.mean()) ** 2, weights=counts) / values.var())


@both
def test_correlation_ratio_is_the_share_of_variance_that_the_other_image_explains(dims: str) -> None:
    moved, fixed = images(dims)
    ratios = explained(moved, fixed, 12), explained(fixed, moved, 12)
    for direction, expected in zip(("moved_from_fixed", "fixed_from_moved"), ratios, strict=True):
        assert value("correlation_ratio", moved, fixed, bins=12, direction=direction) == pytest.approx(1 - expected)
    assert value("correlation_ratio", moved, fixed, bins=12) == pytest.approx(1 - np.mean(ratios))


def test_correlation_ratio_sees_any_function_of_intensities_in_its_direction_only() -> None:
    """Bright and dark parts that look alike in the other image can be predicted, but not told apart."""
    fixed = smooth((64, 64), 0)
    moved = 4 * (fixed - 0.5) ** 2
    assert np.corrcoef(moved.ravel(), fixed.ravel())[0, 1] ** 2 < 0.3
    assert value("correlation_ratio", moved, fixed, bins=32, direction="moved_from_fixed") < 0.04
    assert value("correlation_ratio", moved, fixed, bins=32, direction="fixed_from_moved") > 0.5


@both
@pytest.mark.parametrize("window", [8, 16])
def test_local_mutual_information_is_the_mean_over_patches_half_a_patch_apart(dims: str, window: int) -> None:
    moved, fixed = images(dims)
    half, found = window // 2, []
    starts = [range(0, max(math.ceil(n / half) - 1, 1) * half, half) for n in fixed.shape]
    for corner in product(*starts):
        patch = tuple(slice(start, start + window) for start in corner)
        joint = parzen(moved[patch], 10).T @ parzen(fixed[patch], 10)
        joint /= joint.sum()
        found.append(rel_entr(joint, np.outer(joint.sum(1), joint.sum(0))).sum())
    assert len(found) > 4
    assert value("lmi", moved, fixed, window=window, bins=10) == pytest.approx(-np.mean(found), rel=1e-6)


def test_local_mutual_information_sees_a_relation_that_differs_from_place_to_place() -> None:
    """Half of the image is inverted: within a patch one image still predicts the other."""
    fixed = smooth((64, 64), 0)
    moved = np.where(np.arange(64) < 32, fixed, 1 - fixed)
    local = [value("lmi", other, fixed) for other in (moved, fixed, smooth((64, 64), 1))]
    whole = [value("nmi", other, fixed) for other in (moved, fixed, smooth((64, 64), 1))]
    assert (local[0] - local[2]) / (local[1] - local[2]) > 0.8
    assert (whole[0] - whole[2]) / (whole[1] - whole[2]) < 0.7


def derivatives(image: np.ndarray, stride: int) -> np.ndarray:
    """Gaussian derivatives of first and second order, averaged over positions of ``stride`` voxels a side."""
    image = np.pad(image, [(0, -n % 8) for n in image.shape], mode="edge")
    axes = np.eye(image.ndim, dtype=int)
    orders = [*axes, *2 * axes, *(a + b for a, b in combinations(axes, 2))]
    found = []
    for order in orders:
        smoothed = gaussian_filter(image, stride / 2, order=tuple(order), mode="nearest", truncate=6.0)
        cut = smoothed.reshape([n for size in image.shape for n in (size // stride, stride)])
        mixed = math.sqrt(2) if order.max() == 1 and order.sum() == 2 else 1
        found.append(mixed * (stride / 2) ** order.sum() * cut.mean(tuple(range(1, 2 * image.ndim, 2))))
    return np.stack(found)


@both
def test_filters_are_gaussian_derivatives_at_the_positions_of_deepsim(dims: str) -> None:
    image = images(dims)[0]
    found = Bank()(torch.from_numpy(image)[None, None])
    axes = image.ndim
    for level, stride in zip(found, (2, 4, 8), strict=True):
        expected = derivatives(image, stride)
        mixed = list(combinations(range(axes), 2))
        # along every axis, then along every two in the order of pairs with repetition
        order = [*range(axes)]
        for a in range(axes):
            order += [axes + a, *(2 * axes + mixed.index((a, b)) for b in range(a + 1, axes))]
        np.testing.assert_allclose(level[0], expected[order], rtol=1e-6, atol=1e-7)


@both
def test_filters_are_compared_by_the_cosine_as_deepsim_is(dims: str) -> None:
    moved, fixed = (image[tuple(slice(0, n // 8 * 8) for n in image.shape)] for image in images(dims))
    expected = []
    for stride in (2, 4, 8):
        a, b = derivatives(moved, stride), derivatives(fixed, stride)
        norms = [np.maximum(np.sqrt((f**2).sum(0)), 1e-3) for f in (a, b)]
        expected.append(1 - ((a * b).sum(0) / (norms[0] * norms[1])).mean())
    assert value("filters", moved, fixed) == pytest.approx(np.mean(expected), rel=1e-5)
    assert value("filters", moved, fixed, levels=[1]) == pytest.approx(expected[1], rel=1e-5)


@pytest.mark.parametrize("comparator", ["cosine", "lncc"])
@pytest.mark.parametrize("extract", ["after", "before"])
def test_filters_have_the_options_of_other_features_and_nothing_learned(comparator: str, extract: str) -> None:
    """A network that gives the same features has the same value."""

    class Network(Extractor):
        def __init__(self) -> None:
            super().__init__()
            self.bank = Bank()

        def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
            return self.bank.extent(shape)

        def forward(self, image: Tensor) -> list[Tensor]:
            return self.bank(image)

    pair = registered(*images("2d"))
    pair = replace(pair, displacement=torch.full_like(pair.displacement, 0.7))
    options = {"comparator": comparator, "extract": extract}
    ours = losses.build("filters", **options)
    assert isinstance(ours, Loss)
    assert not list(ours.parameters())
    assert not list(ours.buffers())
    other = losses.build("deepsim_random", extractor=Network(), **options)
    torch.testing.assert_close(ours(pair), other(pair), rtol=0, atol=0)


def spread(sigma: float, positions: int, stride: int) -> float:
    """Standard deviation in voxels of the window at the middle position, each position being as wide as its stride."""
    places = stride * torch.arange(positions, dtype=torch.float64).view(1, 1, -1, 1)
    mean = gaussian_mean(sigma, places)
    variance = mean(places.square()) - mean(places).square()
    return float((variance[0, 0, positions // 2, 0] + (stride**2 - 1) / 12).sqrt())


@pytest.mark.parametrize(("sigma", "stride"), [(4.0, 2), (4.0, 4), (5.0, 8)])
def test_a_variant_of_lncc_has_the_window_of_features_on_a_coarser_grid(sigma: float, stride: int) -> None:
    """DGIR's features see 16 pixels at a quarter of the resolution, and 40 voxels at an eighth."""
    wide = stride * sigma
    assert spread(wide, 1024, 1) == pytest.approx(spread(sigma, 1024 // stride, stride), rel=0.03)
    limits = losses.limits("lncc")["sigma"]
    assert limits["minimum"] <= wide <= limits["maximum"]
    # the comparison is the same too, of features that are intensities
    features = [torch.from_numpy(smooth((40, 32), seed))[None, None] for seed in (0, 1)]
    expected = correlation_dissimilarity(*features, sigma)
    pictures = [np.kron(feature[0, 0], np.ones((stride, stride))) for feature in features]
    found = torch.from_numpy(mapped("lncc", registered(*pictures), sigma=wide))[None, None]
    np.testing.assert_allclose(F.avg_pool2d(found, stride), expected, rtol=0, atol=0.03)
    narrow = torch.from_numpy(mapped("lncc", registered(*pictures), sigma=wide / 2))[None, None]
    assert (F.avg_pool2d(narrow, stride) - expected).abs().max() > 0.1
