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
