"""Losses against the values and gradients of the reference implementations, and where they differ on purpose.

``oracles/losses.npz`` holds what DeepSim's public code gives for two pairs of images: values within 1e-5 and gradients
within 1e-4, relative, wherever the definitions agree. The finest features are stored in half precision, which keeps
the values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from likeness import losses
from likeness.extractors.base import Extractor
from likeness.losses._correlation import gaussian_mean, moments
from likeness.losses._features import correlation_dissimilarity, cosine_dissimilarity
from likeness.losses.base import Registration

ORACLES = Path(__file__).parents[1] / "oracles" / "losses.npz"
both = pytest.mark.parametrize("dims", ["2d", "3d"])


@cache
def oracle(key: str) -> Tensor:
    with np.load(ORACLES) as file:
        values = torch.from_numpy(file[key])
    return values.float() if values.dtype == torch.float16 else values


def registered(moved: Tensor, fixed: Tensor) -> Registration:
    """A registration whose moved image is given, so that gradients can be taken with respect to it."""
    pair = Registration(moved, fixed, torch.zeros(len(fixed), fixed.dim() - 2, *fixed.shape[2:]))
    pair.__dict__["moved"] = moved
    return pair


def value_and_gradient(loss: Callable[[Tensor, Tensor], Tensor], dims: str) -> tuple[Tensor, Tensor]:
    moved = oracle(f"{dims}.moved").clone().requires_grad_()
    value = loss(moved, oracle(f"{dims}.fixed")).mean()
    value.backward()
    assert moved.grad is not None
    return value.detach(), moved.grad


def assert_agrees(value: Tensor, gradient: Tensor, key: str) -> None:
    expected = oracle(f"{key}.value")
    assert torch.abs(value - expected) < 1e-5 * abs(expected)
    assert_gradient_agrees(gradient, oracle(f"{key}.grad_moved"))


def assert_gradient_agrees(gradient: Tensor, expected: Tensor) -> None:
    assert (gradient - expected).norm() < 1e-4 * expected.norm()
    assert (gradient - expected).abs().max() < 1e-4 * expected.abs().max()


def interior(tensor: Tensor, margin: int) -> Tensor:
    return tensor[(..., *[slice(margin, -margin)] * (tensor.dim() - 2))]


@both
@pytest.mark.parametrize(
    ("name", "key"), [("mse", "mse"), ("nmi", "deepsim_nmi_b64_full"), ("ncc_global", "dgir_global_ncc")]
)
def test_agrees_with_the_reference(name: str, key: str, dims: str) -> None:
    loss = losses.build(name)
    value, gradient = value_and_gradient(lambda moved, fixed: loss(registered(moved, fixed)), dims)
    assert_agrees(value, gradient, f"{dims}.{key}")


@both
@pytest.mark.parametrize(("name", "key"), [("ncc", "deepsim_ncc2_w9"), ("ncc_plain", "deepsim_ncc_w9")])
def test_ncc_agrees_once_its_border_is_padded_with_zeros(name: str, key: str, dims: str) -> None:
    """Around an image that is padded by hand, our windows hold the zeros that DeepSim's always hold."""
    loss = losses.build(name)

    def padded(moved: Tensor, fixed: Tensor) -> Tensor:
        margins = [4] * (2 * (moved.dim() - 2))
        per_voxel = loss.map(registered(F.pad(moved, margins), F.pad(fixed, margins)))
        assert per_voxel is not None
        return interior(per_voxel, 4).mean()

    assert_agrees(*value_and_gradient(padded, dims), f"{dims}.{key}")


@both
def test_gaussian_lncc_agrees_but_for_its_border_and_its_floor(dims: str) -> None:
    """DGIR pads with zeros and adds 1e-5 to both variances; ours ends its window at the border and has a floor."""
    reach = 6

    def padded(moved: Tensor, fixed: Tensor) -> Tensor:
        margins = [reach] * (2 * (moved.dim() - 2))
        images = F.pad(moved, margins), F.pad(fixed, margins)
        covariance, *variances = moments(*images, gaussian_mean(3.0, images[0]))
        return 1 - interior(covariance * torch.rsqrt((variances[0] + 1e-5) * (variances[1] + 1e-5)), reach).mean()

    assert_agrees(*value_and_gradient(padded, dims), f"{dims}.dgir_lncc_sigma3")
    loss = losses.build("lncc", sigma=3.0)
    value, gradient = value_and_gradient(lambda moved, fixed: loss(registered(moved, fixed)), dims)
    expected = oracle(f"{dims}.dgir_lncc_sigma3.grad_moved")
    assert abs(value - oracle(f"{dims}.dgir_lncc_sigma3.value")) > 1e-3
    inside = interior(gradient, 11), interior(expected, 11)
    assert (inside[0] - inside[1]).norm() < 0.02 * inside[1].norm()


@pytest.mark.parametrize("spacing", [None, (1.0, 2.0)])
def test_ngf_is_one_minus_the_squared_cosine_of_the_gradients(spacing: tuple[float, float] | None) -> None:
    images = [oracle(f"2d.{side}").double()[:1] for side in ("moved", "fixed")]
    gradients = [np.stack(np.gradient(image[0, 0].numpy(), *(spacing or (1, 1)))) for image in images]
    lengths = [np.linalg.norm(g, axis=0) for g in gradients]
    squares = [(g**2).sum(0) + (0.5 * length.mean()) ** 2 for g, length in zip(gradients, lengths, strict=True)]
    expected = 1 - (gradients[0] * gradients[1]).sum(0) ** 2 / (squares[0] * squares[1])
    pair = registered(*images)
    pair.spacing = spacing
    np.testing.assert_allclose(losses.build("ngf", eta=0.5).map(pair)[0, 0], expected, rtol=1e-9, atol=1e-12)


@both
def test_ncc_differs_from_the_reference_in_border_windows_only(dims: str) -> None:
    loss = losses.build("ncc")
    value, gradient = value_and_gradient(lambda moved, fixed: loss(registered(moved, fixed)), dims)
    assert abs(value - oracle(f"{dims}.deepsim_ncc2_w9.value")) > 1e-2
    # a window reaches 4 voxels, a voxel is in windows up to 4 away
    assert_gradient_agrees(interior(gradient, 8), interior(oracle(f"{dims}.deepsim_ncc2_w9.grad_moved"), 8))


@pytest.mark.parametrize("given", [("moving",), ("fixed",), ("moving", "fixed")], ids=str)
def test_extracted_ncc_is_ncc_of_images_without_what_the_other_lacks(given: tuple[str, ...]) -> None:
    """Whatever that content looks like, with a map of it for either image or for both."""
    images = {side: oracle(f"2d.{key}")[:1] for side, key in (("moving", "moved"), ("fixed", "fixed"))}
    without, other = dict(images), dict(images)
    maps = {}
    for side in given:
        unmatched = torch.zeros_like(images[side])
        unmatched[:, :, : unmatched.shape[2] // 4] = 1
        maps[f"{side}_unmatched"] = unmatched
        # an intensity inside the range, so that the lowest one stays
        other[side] = torch.where(unmatched > 0, images[side].mean(), images[side])
        lowest = min(images[side].min(), other[side].min())
        for made in (images, other):
            made[side] = made[side].clone()
            made[side][0, 0, -1, -1] = lowest
        without[side] = torch.where(unmatched > 0, lowest, images[side])
    values = []
    for loss, pair in (("ncc", without), ("ncc_extracted", images), ("ncc_extracted", other)):
        still = torch.zeros(1, 2, *pair["fixed"].shape[2:])
        more = maps if loss == "ncc_extracted" else {}
        values.append(losses.build(loss)(Registration(pair["moving"], pair["fixed"], still, **more)))
    torch.testing.assert_close(values[1], values[0])
    torch.testing.assert_close(values[2], values[0])


def reference_mind(image: Tensor, extend_image: bool) -> Tensor:
    """MIND-SSC of radius and dilation 2, pair by pair, as slow as its definition.

    Patches that reach over the border hold repeated squared differences (DeepSim), or differences of the repeated image
    (``extend_image``, ours).
    """
    dims = image.dim() - 2
    margins = [2] * (2 * dims)
    box = F.avg_pool2d if dims == 2 else F.avg_pool3d
    start = F.pad(image, margins, mode="replicate") if extend_image else image
    around = F.pad(start, margins, mode="replicate")
    neighbours = []
    for axis in range(dims):
        for side in (0, 4):
            middle = [slice(2, -2)] * dims
            middle[axis] = slice(side, around.shape[2 + axis] - 4 + side)
            neighbours.append((axis, around[(..., *middle)]))
    distances = []
    for (axis, a), (other, b) in combinations(neighbours, 2):
        if axis != other:
            squared = (a - b).square()
            squared = squared if extend_image else F.pad(squared, margins, mode="replicate")
            distances.append(box(squared, 5, stride=1))
    stacked = torch.cat(distances, dim=1)
    stacked = stacked - stacked.amin(1, keepdim=True)
    return torch.exp(-stacked / stacked.mean(1, keepdim=True))


@both
def test_mind_differs_from_the_reference_in_what_lies_beyond_the_border(dims: str) -> None:
    """The definition written out gives DeepSim's values with its border, and ours with ours."""

    def written_out(extend_image: bool) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda *images: (
            (reference_mind(images[0], extend_image) - reference_mind(images[1], extend_image)).square().mean()
        )

    theirs = value_and_gradient(written_out(extend_image=False), dims)
    assert_agrees(*theirs, f"{dims}.deepsim_mindssc_r2_d2")
    expected, expected_gradient = value_and_gradient(written_out(extend_image=True), dims)
    loss = losses.build("mind")
    value, gradient = value_and_gradient(lambda moved, fixed: loss(registered(moved, fixed)), dims)
    assert torch.abs(value - expected) < 1e-5 * expected
    assert_gradient_agrees(gradient, expected_gradient)
    assert torch.abs(value - theirs[0]) < 1e-2 * theirs[0]
    # a descriptor reads 4 voxels far, so a voxel matters to descriptors up to 4 away
    assert_gradient_agrees(interior(gradient, 8), interior(theirs[1], 8))


class Looked(Extractor):
    """An extractor that looks the oracle's features up."""

    def __init__(self, dims: str, moved: Tensor) -> None:
        super().__init__()
        self.dims, self.moved = dims, moved

    def forward(self, image: Tensor) -> list[Tensor]:
        which = "moved" if image is self.moved else "fixed"
        return [oracle(f"{self.dims}.features_{which}{level}") for level in range(3)]


@both
@pytest.mark.parametrize("name", ["deepsim_ae", "deepsim_seg"])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("", {}),
        ("_zeromean", {"zero_mean": True}),
        *[(f"_levels{levels}", {"levels": [int(k) for k in levels]}) for levels in ("0", "1", "2", "01", "02", "12")],
    ],
)
def test_deepsim_agrees_with_the_reference(name: str, suffix: str, options: dict, dims: str) -> None:
    moved, fixed = oracle(f"{dims}.moved"), oracle(f"{dims}.fixed")
    loss = losses.build(name, extractor=Looked(dims, moved), **options)
    expected = oracle(f"{dims}.deepsim_cosine{suffix}.value")
    assert torch.abs(loss(registered(moved, fixed)).mean() - expected) < 1e-5 * expected


def test_features_compared_by_correlation_agree_with_dgir() -> None:
    """Its windows see zeros beyond the border; with zeros put there by hand, ours see the same."""
    moved, fixed = oracle("2d.features_moved0"), oracle("2d.features_fixed0")
    expected = oracle("2d.dgir_feature_lncc_sigma4.value")
    reach = 8
    extended = (F.pad(image, [reach] * 4) for image in (moved, fixed))
    theirs = interior(correlation_dissimilarity(*extended, 4.0), reach).mean()
    assert torch.abs(theirs - expected) < 1e-4 * expected
    constant = torch.full((1, 4, 16, 20), 0.5)
    assert correlation_dissimilarity(constant, constant, 4.0).abs().max() < 1e-6


def test_features_compared_by_the_cosine_agree_with_dgir() -> None:
    moved, fixed = oracle("2d.features_moved0"), oracle("2d.features_fixed0")
    expected = 1 - oracle("2d.dgir_feature_cosine.value")
    assert torch.abs(cosine_dissimilarity(moved, fixed, False).mean() - expected) < 1e-5 * expected


# What the reference codes get wrong, and we must not.


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_ncc_of_an_image_with_itself_is_zero_at_any_offset(offset: float) -> None:
    """DeepSim's is 3.6e6 at an offset of 1000, MONAI's -8.6e10, both by cancellation."""
    image = oracle("2d.fixed") + offset
    assert losses.build("ncc")(registered(image, image)).abs().max() < 1e-3


@pytest.mark.parametrize("name", ["ncc", "mind"])
def test_constant_images_have_one_value_up_to_the_border(name: str) -> None:
    """DeepSim's NCC of two identical constant images is .56 through zero padding; its MIND is not a number."""
    image = torch.full((1, 1, 20, 24), 0.4)
    per_voxel = losses.build(name).map(registered(image, image))
    assert per_voxel is not None
    assert torch.equal(per_voxel, torch.full_like(per_voxel, {"ncc": 1.0, "mind": 0.0}[name]))


def test_mind_of_a_pair_does_not_depend_on_its_batch() -> None:
    """DeepSim bounds the noise estimate by the mean over the batch."""
    loss, images = losses.build("mind"), oracle("2d.fixed")
    faint = torch.cat([images[:1] * 1e-3, images[1:]])
    moved = faint.roll(1, -1)
    together = loss.map(registered(moved, faint))
    alone = loss.map(registered(moved[:1], faint[:1]))
    assert together is not None
    torch.testing.assert_close(together[:1], alone)


def test_nmi_counts_all_voxels_and_clamps_what_lies_outside() -> None:
    """DeepSim samples a tenth of the voxels, and values above 1 fall off its histogram."""
    loss, moved, fixed = losses.build("nmi"), oracle("2d.moved").clone(), oracle("2d.fixed")
    before = loss(registered(moved, fixed))
    assert torch.equal(before, loss(registered(moved, fixed)))
    moved[0, 0, 30, 30] = 1.0
    at_the_end = loss(registered(moved, fixed))
    moved[0, 0, 30, 30] = 7.0
    assert torch.equal(loss(registered(moved, fixed)), at_the_end)
    assert not torch.equal(at_the_end, before)


# Shapes are checked, and the message names the function.


@pytest.mark.parametrize("name", ["mse", "ncc", "nmi", "mind"])
def test_refuses_images_of_different_shape(name: str) -> None:
    with pytest.raises(ValueError, match=r"^[a-z_]+: moved has shape \(1, 1, 8, 8\) but fixed has \(1, 1, 8, 9\)"):
        losses.build(name)(registered(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 9)))


def test_refuses_an_even_window() -> None:
    image = oracle("2d.fixed")
    with pytest.raises(ValueError, match=r"^box_mean: the window is 8, but must be odd"):
        losses.build("ncc", window=8)(registered(image, image))


def test_refuses_levels_that_the_extractor_lacks() -> None:
    image = oracle("2d.fixed")
    loss = losses.build("deepsim_seg", extractor=Looked("2d", image), levels=[0, 3])
    with pytest.raises(ValueError, match=r"levels: \[0, 3\] requested, but the extractor has levels 0 to 2"):
        loss(registered(image, image))
    with pytest.raises(ValueError, match="levels: the list is empty"):
        losses.build("deepsim_seg", extractor=Looked("2d", image), levels=[])


@pytest.mark.parametrize("window", [1, 3, 4, 5, 9, 11])
@pytest.mark.parametrize("padding", [0, 2])
def test_box_sum_is_a_convolution_with_ones_and_so_is_its_gradient(window: int, padding: int) -> None:
    from likeness.losses._arithmetic import box_sum

    image = torch.rand(2, 1, 13, 17, dtype=torch.float64, requires_grad=True)
    ones = torch.ones(1, 1, window, window, dtype=torch.float64)
    torch.testing.assert_close(box_sum(image, window, padding), F.conv2d(image, ones, padding=padding))
    torch.autograd.gradcheck(lambda values: box_sum(values, window, min(padding, window - 1)), image)
