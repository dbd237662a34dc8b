"""Parametric transformations: vectors on a coarse grid of control points instead of a displacement per voxel.

Control points extend from the first to the last voxel of the image along every axis. Their vectors are in voxels of the
image, regardless of their distance. There are three kinds of transformation:

- ``velocity``: a stationary velocity field, integrated over unit time on the control grid by scaling and squaring, and
  interpolated linearly: a diffeomorphism;
- ``displacement``: interpolated linearly;
- ``bspline``: coefficients of uniform cubic B-splines, the free-form deformation of Rueckert et al., IEEE Trans. Med.
  Imaging 1999, doi:10.1109/42.796284, with coefficients replicated at the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import torch
from torch import Tensor

from likeness.geometry import integrate
from likeness.interpolation import along, cubic, linear, pitch

Kind = Literal["velocity", "displacement", "bspline"]
SQUARINGS = 4
"""Number of squarings; more would move the points of a rough field by at most a tenth of a voxel."""


@dataclass(frozen=True)
class Transformation:
    """A parametric transformation of an image grid.

    Attributes:
        kind: kind of transformation, see the module.
        shape: spatial shape of the image.
        squarings: number of squarings for a velocity.
    """

    kind: Kind
    shape: tuple[int, ...]
    squarings: int = SQUARINGS

    def displacement(self, parameters: Tensor, grid: Sequence[int] | None = None) -> Tensor:
        """Return the displacement for parameters ``(batch, dims, *control)`` in voxels of the image.

        Differentiable with respect to the parameters. NaN for pairs with a non-finite parameter.

        Args:
            parameters: vectors of the control points.
            grid: shape of another grid over the image, from its first to its last voxel.

        Returns:
            ``(batch, dims, *grid)`` in voxels of that grid; by default ``(batch, dims, *shape)`` in voxels of the
            image.
        """
        broken = ~parameters.detach().flatten(1).isfinite().all(1)
        if broken.any():
            # interpolation at non-finite positions would read invalid memory
            found = self.displacement(torch.where(broken.view(-1, *[1] * (parameters.dim() - 1)), 0, parameters), grid)
            return torch.where(broken.view(-1, *[1] * (found.dim() - 1)), torch.nan, found)
        control = tuple(parameters.shape[2:])
        if self.kind == "velocity":
            cell = torch.tensor(pitch(self.shape, control)).to(parameters).view(1, -1, *[1] * len(control))
            parameters = integrate(parameters / cell, self.squarings) * cell
        weights = cubic if self.kind == "bspline" else linear
        if grid is None:
            grid = self.shape
        elif tuple(grid) != self.shape:
            parameters = parameters / torch.tensor(pitch(self.shape, grid)).to(parameters).view(1, -1, *[1] * len(grid))
        return along(parameters, [weights(n, size) for n, size in zip(control, grid, strict=True)])


def control_shape(shape: Sequence[int], spacing: Sequence[float], distance: float) -> tuple[int, ...]:
    """Return the shape of a grid of control points at most ``distance`` apart, in the unit of ``spacing``."""
    return tuple(
        min(size, max(2, ceil((size - 1) * step / distance - 1e-6) + 1))
        for size, step in zip(shape, spacing, strict=True)
    )


def refine(parameters: Tensor, control: Sequence[int]) -> Tensor:
    """Interpolate parameters linearly to another control grid over the same image."""
    return along(parameters, [linear(old, new) for old, new in zip(parameters.shape[2:], control, strict=True)])
