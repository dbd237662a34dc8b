"""Losses that compare features: before and after warping, shared noise, sections of volumes, networks cut short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from likeness import extractors, losses
from likeness.extractors.base import Extractor, pad, padded_to
from likeness.extractors.sections import random_axis_and_sections, sections
from likeness.losses._features import correlation_dissimilarity, resampled
from likeness.losses.base import Registration

DIFFUSION = [name for name in losses.names() if "timestep" in losses.options(name)]
PICTURES = [name for name in losses.names() if "slices" in losses.options(name)]
FEATURES = [name for name in losses.names() if "comparator" in losses.options(name)]
BEFORE = [name for name in losses.names() if "extract" in losses.options(name)]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(seed))


def smooth(*shape: int, seed: int = 0) -> Tensor:
    mode = "bicubic" if len(shape) == 2 else "trilinear"
    return F.interpolate(noise(*(max(2, n // 4) for n in shape), seed=seed), shape, mode=mode, align_corners=True)


def pair_of(moving: Tensor, fixed: Tensor, displacement: Tensor | None = None, seed: int = 3) -> Registration:
    if displacement is None:
        displacement = torch.zeros(1, moving.dim() - 2, *moving.shape[2:])
    return Registration(moving, fixed, displacement, generator=torch.Generator().manual_seed(seed))


def build(name: str, dims: int, **options: Any) -> Any:
    needed = losses.card(name)["extractor"]
    found = {"extractor": extractors.tiny(needed, dims)} if needed else {}
    return losses.build(name, **found, **options)


def dimensions(names: Sequence[str]) -> list[tuple[str, int]]:
    return [(name, dims) for name in names for dims in losses.card(name)["dimensions"]]


class Averages(Extractor):
    """Means over cells of a fixed size, so that what a feature covers is known."""

    def __init__(self, cell: tuple[int, ...]) -> None:
        super().__init__()
        self.cell = cell

    def extent(self, shape: Sequence[int]) -> tuple[int, ...]:
        return padded_to(self.cell, shape)

    def forward(self, image: Tensor) -> list[Tensor]:
        mean = (F.avg_pool2d if image.dim() == 4 else F.avg_pool3d)(pad(image, self.extent(image.shape[2:])), self.cell)
        return [torch.cat([mean, mean.square(), 1 - mean], 1)]


@pytest.mark.parametrize(("name", "dims"), dimensions(BEFORE))
def test_without_displacement_it_does_not_matter_when_features_are_extracted(name: str, dims: int) -> None:
    shape = (33, 38) if dims == 2 else (17, 18, 14)
    pair = pair_of(smooth(*shape), smooth(*shape, seed=1))
    values = [build(name, dims, extract=order)(pair) for order in ("after", "before")]
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("cell", "shape"), [((2, 4), (23, 32)), ((2, 4, 2), (12, 15, 8))])
def test_features_extracted_before_warping_move_like_the_image(cell: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """By whole cells, so that after and before agree exactly, also where the image does not fill the last cell."""
    image, fixed = noise(*shape), noise(*shape, seed=1)
    for axis, length in enumerate(cell):
        displacement = torch.zeros(1, len(shape), *shape)
        displacement[:, axis] = -length
        pair = pair_of(image, fixed, displacement)
        after, before = (
            losses.build("deepsim_ae", extractor=Averages(cell), extract=order).map(pair)
            for order in ("after", "before")
        )
        # the last cell is not full, and at the other end of the axis the border is repeated by the voxel or by the cell
        inside = tuple(slice(2 * c, n - 2 * c) for c, n in zip(cell, shape, strict=True))
        torch.testing.assert_close(after[(..., *inside)], before[(..., *inside)], rtol=1e-4, atol=1e-5)


def test_what_is_repeated_beyond_the_border_does_not_count() -> None:
    """A cell of which a quarter lies inside the image counts a quarter; the map puts it where it belongs."""
    image = torch.full((1, 1, 18, 16), 0.2)
    other = image.clone()
    other[:, :, 16:] = 0.9
    loss = losses.build("deepsim_ae", extractor=Averages((8, 8)))
    found = loss.map(pair_of(other, image))
    differs = found[0, 0, 16, 0]
    assert differs > 0.1
    expected = torch.zeros(18, 16)
    expected[16:] = differs
    torch.testing.assert_close(found[0, 0], expected)
    torch.testing.assert_close(loss(pair_of(other, image)), expected.mean()[None])


def masked_pair(moving: Tensor, fixed: Tensor, mask: Tensor) -> Registration:
    return replace(pair_of(moving, fixed), moving_mask=mask, fixed_mask=torch.ones_like(mask))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(17, 16), (9, 8, 12)])
def test_squared_distance_is_relative_to_the_variance_of_the_fixed_features(shape: tuple, masked: bool) -> None:
    """By the definition; the last cells along the first axis are half inside, and a mask does not fill its cells."""
    cell = (2,) * len(shape)
    moving, fixed, mask = noise(*shape), noise(*shape, seed=1), (noise(*shape, seed=2) > 0.3).float()
    own, other = (Averages(cell)(image)[0].double()[0].flatten(1).numpy() for image in (moving, fixed))
    inside = np.pad((mask if masked else torch.ones_like(mask))[0, 0].numpy(), [(0, 1), *[(0, 0)] * (len(shape) - 1)])
    blocks = inside.reshape([n for size in inside.shape for n in (size // 2, 2)])
    weights = blocks.mean(tuple(range(1, blocks.ndim, 2))).ravel()
    expected = np.average(((own - other) ** 2).sum(0) / other.var(1).sum(), weights=weights)
    found = losses.build("deepsim_ae", extractor=Averages(cell), comparator="l2", masked=masked)
    assert float(found(masked_pair(moving, fixed, mask))) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("comparator", ["cosine", "lncc", "l2"])
@pytest.mark.parametrize("shape", [(24, 20), (12, 8, 16)])
def test_what_a_mask_excludes_does_not_count(comparator: str, shape: tuple[int, ...]) -> None:
    """Neither for the value nor in the windows of what it keeps; the map is zero there."""
    cell = (2,) * len(shape)
    moving, fixed, mask = noise(*shape), noise(*shape, seed=1), torch.ones(1, 1, *shape)
    mask[:, :, 8:] = 0
    changed = moving.clone()
    changed[:, :, 8:] = noise(*shape, seed=2)[:, :, 8:]
    loss = losses.build("deepsim_ae", extractor=Averages(cell), comparator=comparator, sigma=1.5, masked=True)
    first, second = (masked_pair(image, fixed, mask) for image in (moving, changed))
    torch.testing.assert_close(loss(first), loss(second), rtol=1e-5, atol=1e-6)
    assert not loss.map(second)[:, :, 8:].any()
    torch.testing.assert_close(loss.map(second).mean()[None], loss(second), rtol=1e-5, atol=1e-6)
    cropped = losses.build("deepsim_ae", extractor=Averages(cell), comparator=comparator, sigma=1.5)
    expected = cropped(pair_of(moving[:, :, :8], fixed[:, :, :8]))
    if comparator == "l2":
        # relative to the variance of the whole fixed image, one number for a pair
        variances = [
            Averages(cell)(image)[0].flatten(2).var(2, correction=0).sum() for image in (fixed[:, :, :8], fixed)
        ]
        expected = expected * variances[0] / variances[1]
    torch.testing.assert_close(loss(first), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [2, 3])
def test_windows_do_not_see_the_padding(axis: int) -> None:
    moved, fixed = smooth(14, 11), smooth(14, 11, seed=1)
    sides = [torch.ones(14), torch.ones(11)]
    sides[axis - 2][-4:] = 0
    kept = [image.narrow(axis, 0, image.shape[axis] - 4) for image in (moved, fixed)]
    padded = correlation_dissimilarity(moved, fixed, 1.5, sides).narrow(axis, 0, kept[0].shape[axis])
    torch.testing.assert_close(padded, correlation_dissimilarity(*kept, 1.5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 30, 1000])
def test_correlation_keeps_its_range_however_large_the_features(scale: float) -> None:
    """Large activations beside none at all, as rectified ones are: single precision leaves impossible covariances."""
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(40.0), indexing="ij")
    disc = ((rows - 22).square() + (columns - 19).square() < 150).float()
    features = torch.cat([disc * (1 + noise(48, 40, seed=seed)) for seed in range(4)], 1) * scale
    assert correlation_dissimilarity(features, features, 4.0).max() < 1e-5
    shifted = features.roll(2, 3).requires_grad_()
    found = correlation_dissimilarity(shifted, features, 4.0)
    assert found.min() >= -1e-5
    assert found.max() <= 2 + 1e-5
    assert torch.autograd.grad(found.sum(), shifted)[0].isfinite().all()


@pytest.mark.parametrize("name", ["deepsim_ae", "deepsim_vgg", "diffusion_indomain", "dinov2"])
def test_the_map_shows_a_difference_where_it_is(name: str) -> None:
    """On a picture that these networks need padded; others attend to the whole picture, and so does their map."""
    fixed = smooth(66, 70)
    moved = fixed.clone()
    moved[:, :, 46:60, 46:60] = smooth(14, 14, seed=1)
    loss = build(name, 2)
    # what the noise of a network of random weights makes of the rest is seen without a difference, too
    seen = loss.map(pair_of(moved, fixed)) - loss.map(pair_of(fixed, fixed))
    weight = seen[0, 0].abs()
    centre = [float((weight.sum(1 - k) * torch.arange(n)).sum() / weight.sum()) for k, n in enumerate((66, 70))]
    assert all(abs(at - 53) < 5 for at in centre), centre


def test_a_displacement_is_rescaled_for_every_axis_and_goes_on_beyond_the_image() -> None:
    displacement = torch.stack([torch.full((6, 7), 4.0), torch.full((6, 7), 8.0)])[None]
    coarse = resampled(displacement, (6, 8), (3, 2))
    assert coarse.shape == (1, 2, 3, 2)
    torch.testing.assert_close(coarse[0, 0], torch.full((3, 2), 2.0))
    torch.testing.assert_close(coarse[0, 1], torch.full((3, 2), 2.0))


@pytest.mark.parametrize(("name", "dims"), dimensions(BEFORE))
def test_before_warping_only_the_displacement_gets_a_gradient(name: str, dims: int) -> None:
    shape = (32, 40) if dims == 2 else (16, 20, 12)
    moving = smooth(*shape).requires_grad_()
    displacement = torch.full((1, dims, *shape), 0.4, requires_grad=True)
    build(name, dims, extract="before")(pair_of(moving, smooth(*shape, seed=1), displacement)).backward()
    assert moving.grad is None
    assert displacement.grad is not None
    assert displacement.grad.abs().max() > 0


@pytest.mark.parametrize(("name", "dims"), dimensions(DIFFUSION))
def test_identical_images_have_no_loss_because_they_share_the_noise(name: str, dims: int) -> None:
    """DGIR draws noise for either image, so that identical ones differ."""
    image = smooth(*((32, 40) if dims == 2 else (16, 20, 12)))
    for comparator in ("lncc", "cosine"):
        for timestep in (0, 60, 900):
            loss = build(name, dims, comparator=comparator, timestep=timestep)
            assert loss(pair_of(image, image)).abs() < 1e-5


@pytest.mark.parametrize("comparator", ["cosine", "lncc", "l2"])
@pytest.mark.parametrize(("name", "dims"), dimensions(FEATURES))
def test_identical_images_have_no_loss(name: str, dims: int, comparator: str) -> None:
    image = smooth(*((33, 42) if dims == 2 else (17, 22, 13)))
    assert build(name, dims, comparator=comparator)(pair_of(image, image)).abs() < 1e-5


@pytest.mark.parametrize(("name", "dims"), dimensions(DIFFUSION))
def test_noise_is_a_function_of_seed_and_step(name: str, dims: int) -> None:
    shape = (32, 40) if dims == 2 else (16, 20, 12)
    loss, images = build(name, dims, slices=512, timestep=300), (smooth(*shape), smooth(*shape, seed=1))
    first, again, other = (loss(pair_of(*images, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("name", "dims"), dimensions(DIFFUSION))
def test_timestep_and_comparator_change_the_value(name: str, dims: int) -> None:
    shape = (32, 40) if dims == 2 else (16, 20, 12)
    pair = pair_of(smooth(*shape), smooth(*shape, seed=1))
    options: list[dict[str, Any]] = [{}, {"timestep": 500}, {"sigma": 1.0}]
    options = [{"comparator": "lncc", **chosen} for chosen in options] + [{"comparator": "cosine"}]
    assert len({float(build(name, dims, **chosen)(pair)) for chosen in options}) == len(options)


@pytest.mark.parametrize("name", DIFFUSION)
def test_an_unknown_tap_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=r"taps: \['side'\] requested, but the extractor has "):
        build(name, 2, taps=["side"])(pair_of(smooth(32, 32), smooth(32, 32)))


@pytest.mark.parametrize("name", [name for name in PICTURES if 3 in losses.card(name)["dimensions"]])
def test_sections_of_a_volume_are_other_ones_in_every_step(name: str) -> None:
    volume = smooth(16, 20, 12), smooth(16, 20, 12, seed=1)
    loss = build(name, 3, slices=1)
    values = [float(loss(pair_of(*volume, seed=seed))) for seed in (1, 1, 2, 3, 4)]
    assert values[0] == values[1]
    assert len(set(values)) > 2
    assert loss.map(pair_of(*volume)) is None


def test_sections_are_planes_of_the_volume_in_order() -> None:
    volume = torch.arange(2 * 3 * 4 * 5).view(2, 1, 3, 4, 5)
    for axis in range(3):
        taken = sections(volume, axis, [0, 2])
        expected = torch.stack([volume.select(2 + axis, k) for k in (0, 2)], 1).flatten(0, 1)
        assert torch.equal(taken, expected)
    axis, positions = random_axis_and_sections((3, 4, 5), 512, torch.Generator().manual_seed(0))
    assert positions == list(range((3, 4, 5)[axis]))


def test_randomness_is_the_same_at_every_call_and_other_for_every_key() -> None:
    pair = pair_of(smooth(8, 8), smooth(8, 8))
    draws = [float(torch.rand(1, generator=pair.randomness(key))) for key in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    bare = replace(pair, generator=None)
    assert torch.rand(1, generator=bare.randomness(1)) == torch.rand(1, generator=bare.randomness(1))


def test_vgg_is_normalised_like_imagenet_only_where_asked() -> None:
    pair = pair_of(smooth(20, 24), smooth(20, 24, seed=1))
    plain, normalised = (build("deepsim_vgg", 2, imagenet=chosen)(pair) for chosen in (False, True))
    assert not torch.equal(plain, normalised)
