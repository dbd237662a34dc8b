"""What registrations of the same pairs at several displacements share."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from likeness import losses
from likeness.losses.base import Registration


@pytest.fixture
def pair() -> Registration:
    source = torch.Generator().manual_seed(0)
    moving, fixed = torch.rand(2, 2, 1, 12, 10, generator=source)
    labels = [(3 * image).long() for image in (moving, fixed)]
    masks = [(image > 0.2).float() for image in (moving, fixed)]
    return Registration(moving, fixed, torch.zeros(2, 2, 12, 10), *labels, *masks, classes=3)


def test_another_displacement_warps_anew_and_shares_the_rest(pair: Registration) -> None:
    warped = pair.moved, pair.moved_labels, pair.mask
    displacement = torch.ones_like(pair.displacement)
    moved, again = pair.at(displacement), pair.at(displacement).at(2 * displacement)
    fresh = replace(pair, displacement=displacement)
    for part, before in zip(("moved", "moved_labels", "mask"), warped, strict=True):
        assert torch.equal(getattr(moved, part), getattr(fresh, part))
        assert not torch.equal(getattr(moved, part), before)
    for part in ("moving", "fixed", "moving_labels", "fixed_labels"):
        assert getattr(moved, part) is getattr(again, part)


def test_keeps_what_is_computed_from_the_first_other_displacement_on(pair: Registration) -> None:
    """What no other displacement asks for would only take memory."""
    calls = []

    def compute() -> Tensor:
        calls.append(torch.is_grad_enabled() or torch.is_inference_mode_enabled())
        return pair.fixed + 1

    for _ in range(2):
        pair.kept("sum", compute)
    assert not pair.keeps
    assert len(calls) == 2
    moved = pair.at(pair.displacement)
    with torch.inference_mode():
        kept = moved.kept("sum", compute)
    assert all(each.kept("sum", compute) is kept for each in (pair, moved, moved.at(pair.displacement)))
    assert len(calls) == 3
    assert not any(calls)
    assert moved.kept("other", compute) is not kept


def test_changed_images_share_nothing(pair: Registration) -> None:
    moved = pair.at(pair.displacement)
    moved.kept("fixed", lambda: pair.fixed)
    changed = replace(moved, fixed=1 - pair.fixed)
    assert not changed.keeps
    assert torch.equal(changed.kept("fixed", lambda: changed.fixed), 1 - pair.fixed)


@pytest.mark.parametrize(
    ("name", "options"),
    [("ncc", [{"window": 5}, {"window": 9}]), ("lncc", [{"sigma": 1.0}, {"sigma": 2.0}]), ("nmi", [{"bins": 8}, {}])],
)
def test_several_losses_may_look_at_the_same_pairs(
    name: str, options: list[dict[str, float]], pair: Registration
) -> None:
    found = [losses.build(name, **each)(pair.at(pair.displacement)) for each in options]
    expected = [losses.build(name, **each)(replace(pair)) for each in options]
    assert all(map(torch.equal, found, expected))
    assert not torch.equal(*found)


def test_a_coarser_form_covers_the_same_image(pair: Registration) -> None:
    ramp = torch.linspace(0, 1, 12).view(1, 1, 12, 1) + torch.linspace(0, 0.5, 10)
    pair = replace(pair, fixed=ramp.expand(2, -1, -1, -1), spacing=(1.0, 2.0))
    coarse = pair.coarser((6, 10))
    assert coarse.finer is pair
    assert pair.coarser((12, 10)) is pair
    assert coarse.spacing == pytest.approx((11 / 5, 2.0))
    assert coarse.displacement.shape == (2, 2, 6, 10)
    # what is as fine as before is not smoothed, what is linear stays so but at the border
    expected = torch.linspace(0, 1, 6).view(1, 1, 6, 1) + torch.linspace(0, 0.5, 10)
    torch.testing.assert_close(
        coarse.fixed[..., 1:-1, :], expected.expand(2, -1, -1, -1)[..., 1:-1, :], atol=1e-3, rtol=0
    )
    assert coarse.moving.var() < pair.moving.var()
    places = torch.linspace(0, 11, 6).round().long()
    for labels, whole in (
        (coarse.moving_label_map, pair.moving_label_map),
        (coarse.fixed_label_map, pair.fixed_label_map),
    ):
        assert labels is not None
        assert whole is not None
        assert torch.equal(labels, whole[:, :, places])
    assert coarse.mask is not None
    assert coarse.mask.shape == (2, 1, 6, 10)
    bare = replace(pair, moving_label_map=None, fixed_label_map=None, moving_mask=None, fixed_mask=None, spacing=None)
    assert bare.coarser((6, 5)).mask is None
