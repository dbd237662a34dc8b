"""Normalised gradient fields: compares the orientation of edges, independently of their intensities.

Haber and Modersitzki, Intensity gradient based registration and fusion of multi-modal images, Methods Inf. Med. 2007,
doi:10.1160/ME9046.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from likeness.losses._arithmetic import check_images, full_precision
from likeness.losses.base import Registration, SimilarityLoss, mean_per_pair

CARD = {
    "title": "NGF",
    "order": 140,
    "colour": "#994F00",
    "marker": (8, 1, 0),
    "formula": (
        r"1-\frac{1}{|\Omega|}\sum_x\frac{\langle\nabla m,\nabla f\rangle^2}"
        r"{\left(\|\nabla m\|^2+\eta_m^2\right)\left(\|\nabla f\|^2+\eta_f^2\right)}"
    ),
    "range": [0, 1],
    "doi": "10.1160/ME9046",
    "supervision": "none",
    "invariances": ["offset", "scale", "inversion"],
    "options": {
        "eta": {"default": 1.0, "exclusiveMinimum": 0, "maximum": 1000, "tune": [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]}
    },
}

SMALLEST_EDGE = 1e-4
"""Lower bound on the edge parameter, in intensities per voxel, so that the loss is defined for constant images."""


def gradients(image: Tensor, spacing: tuple[float, ...] | None) -> Tensor:
    """Central differences per step of the first axis, ``(batch, channel, axis, *spatial)``; one-sided at the border."""
    steps = spacing or (1.0,) * (image.dim() - 2)
    found = []
    for axis, step in enumerate(steps, start=2):
        ratio = steps[0] / step
        found.append(torch.gradient(image, dim=axis)[0] * ratio if image.shape[axis] > 1 else torch.zeros_like(image))
    return torch.stack(found, dim=2)


class Edges(NamedTuple):
    """Gradients of an image and their norms."""

    gradients: Tensor
    """``(batch, channel, axis, *spatial)``."""
    squared_norms: Tensor
    """Squared norms of the gradients plus the squared edge parameter, ``(batch, channel, *spatial)``."""


def edge_parameter(image: Tensor, spacing: tuple[float, ...] | None, eta: float) -> Tensor:
    """Edge parameter of an image, ``(batch, channel, 1, …)``: ``eta`` times the mean gradient magnitude."""
    length = gradients(image, spacing).square().sum(2).sqrt()
    return (eta * length.mean(tuple(range(2, image.dim())), keepdim=True)).clamp(min=SMALLEST_EDGE)


@full_precision
def edges(image: Tensor, edge: Tensor, spacing: tuple[float, ...] | None = None) -> Edges:
    """Compute gradients and their norms.

    Args:
        image: ``(batch, channel, *spatial)``.
        edge: edge parameter, ``(batch, channel, 1, …)``; gradients well below it count as noise.
        spacing: voxel size along each axis; isotropic if ``None``.
    """
    found = gradients(image, spacing)
    return Edges(found, found.square().sum(2) + edge.square())


def normalised_gradient_difference(moved: Edges, fixed: Edges) -> Tensor:
    """One minus the squared cosine of the angle between the gradients of two images.

    Haber and Modersitzki, Methods Inf. Med. 2007, doi:10.1160/ME9046.

    Args:
        moved: gradients of images ``(batch, channel, *spatial)``.
        fixed: gradients of images of the same shape.

    Returns:
        ``(batch, channel, *spatial)`` in [0, 1]; 1 where an image has no edge.

    Raises:
        ValueError: if the shapes differ.
    """
    check_images("normalised_gradient_difference", moved.squared_norms, fixed.squared_norms)
    product = (moved.gradients * fixed.gradients).sum(2)
    return 1 - product.square() / (moved.squared_norms * fixed.squared_norms)


class Loss(SimilarityLoss):
    """One minus the squared cosine of the angle between the images' gradients.

    Args:
        eta: edge parameter, as a multiple of the mean gradient magnitude of each image before registration.
    """

    def __init__(self, *, eta: float) -> None:
        super().__init__()
        self.eta = eta

    def forward(self, pair: Registration) -> Tensor:
        """Return the mean over the voxels of each pair, ``(batch,)``."""
        return mean_per_pair(self.map(pair))

    def map(self, pair: Registration) -> Tensor:
        """Return one minus the squared cosine per voxel, ``(batch, 1, *spatial)``."""
        before = pair.kept((self, "moving"), lambda: edge_parameter(pair.moving, pair.spacing, self.eta))
        moved = edges(pair.moved, before, pair.spacing)
        return normalised_gradient_difference(moved, pair.kept((self, "fixed"), lambda: self._edges(pair)))

    def _edges(self, pair: Registration) -> Edges:
        return edges(pair.fixed, edge_parameter(pair.fixed, pair.spacing, self.eta), pair.spacing)

    def extra_repr(self) -> str:
        """Show the edge parameter in ``repr``."""
        return f"eta={self.eta}"
