"""What a search varies instead of a displacement on every voxel: vectors on a coarser grid of control points.

Control points span the image from its first voxel to its last along every axis. Their vectors are in voxels of the
image, whatever the distance between them. Three kinds of transformation make a displacement of them:

- ``velocity``: a stationary velocity, integrated over unit time on the control grid by scaling and squaring and then
  interpolated linearly: a diffeomorphism;
- ``displacement``: interpolated linearly;
- ``bspline``: coefficients of uniform cubic B-splines, the free-form deformation of Rueckert et al., IEEE Trans. Med.
  Imaging 1999, doi:10.1109/42.796284, whose coefficients at the border are repeated beyond it.
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
"""Steps of scaling and squaring: more of them move the points of a rough field by a tenth of a voxel at most."""


@dataclass(frozen=True)
class Transformation:
    """A kind of transformation of an image grid.

    Attributes:
        kind: see the module.
        shape: spatial shape of the image.
        squarings: of a velocity.
    """

    kind: Kind
    shape: tuple[int, ...]
    squarings: int = SQUARINGS

    def displacement(self, parameters: Tensor, grid: Sequence[int] | None = None) -> Tensor:
        """Give the displacement of parameters ``(batch, dims, *control)``, which are in voxels of the image.

        Differentiable with respect to the parameters. Where one of a pair's is not finite, its displacement is NaN.

        Args:
            parameters: whose displacement it is.
            grid: shape of another grid over the same image, from its first voxel to its last.

        Returns:
            ``(batch, dims, *grid)`` in its voxels; without one ``(batch, dims, *shape)`` in those of the image
        """
        broken = ~parameters.detach().flatten(1).isfinite().all(1)
        if broken.any():
            # interpolation at such places reads memory that is not the image's
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
    """Give the shape of a grid whose control points are at most ``distance`` apart, in the unit of ``spacing``."""
    return tuple(
        min(size, max(2, ceil((size - 1) * step / distance - 1e-6) + 1))
        for size, step in zip(shape, spacing, strict=True)
    )


def refine(parameters: Tensor, control: Sequence[int]) -> Tensor:
    """Interpolate parameters linearly on another control grid over the same image."""
    return along(parameters, [linear(old, new) for old, new in zip(parameters.shape[2:], control, strict=True)])
