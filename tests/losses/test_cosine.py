"""The cosine of features, whose gradient is written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from likeness.losses._features import SMALLEST_NORM, cosine_dissimilarity


def features(seed: int, shape: tuple[int, ...] = (2, 5, 4, 3)) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def written_plainly(moved: Tensor, fixed: Tensor) -> Tensor:
    norms = [f.square().sum(1, keepdim=True).clamp(min=SMALLEST_NORM**2) for f in (moved, fixed)]
    return 1 - (moved * fixed).sum(1, keepdim=True) * torch.rsqrt(norms[0] * norms[1])


@pytest.mark.parametrize("scale", [1.0, 0.1 * SMALLEST_NORM])
@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (1, 3, 2, 3, 4)])
def test_value_and_gradients_are_those_of_the_definition(shape: tuple[int, ...], scale: float) -> None:
    """Also where one image's features are shorter than the smallest norm, and the other's not."""
    pairs = [[(scale * features(0, shape)).requires_grad_(), features(1, shape).requires_grad_()] for _ in range(2)]
    values = [
        function(*pair)
        for function, pair in zip([lambda a, b: cosine_dissimilarity(a, b, False), written_plainly], pairs, strict=True)
    ]
    torch.testing.assert_close(*values)
    for value in values:
        (value * torch.arange(value.numel(), dtype=value.dtype).view_as(value)).sum().backward()
    for ours, plain in zip(*pairs, strict=True):
        torch.testing.assert_close(ours.grad, plain.grad)


def test_the_gradient_is_that_of_the_value() -> None:
    pair = [features(seed, (1, 3, 2, 2)).requires_grad_() for seed in (0, 1)]
    assert torch.autograd.gradcheck(lambda a, b: cosine_dissimilarity(a, b, True), pair)


def test_zeros_have_no_gradient_that_is_not_finite() -> None:
    pair = [torch.zeros(1, 3, 2, 2).requires_grad_(), features(0, (1, 3, 2, 2)).float()]
    value = cosine_dissimilarity(*pair, False)
    assert torch.equal(value, torch.ones_like(value))
    value.sum().backward()
    assert pair[0].grad is not None
    assert pair[0].grad.isfinite().all()
