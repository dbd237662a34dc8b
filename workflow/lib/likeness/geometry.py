"""Axis order, units and direction of everything spatial, and the few operations built on them.

Conventions, stated here and nowhere else:

- Spatial axes are in the order of the image array: ``(row, column)`` for a picture, ``(x, y, z)`` for a NIfTI volume
  in its canonical orientation. Axis ``i`` of an image, entry ``i`` of ``spacing`` and channel ``i`` of a displacement
  belong together.
- A displacement ``u`` is in voxels, lives on the fixed grid and points into the moving image:
  ``moved(x) = moving(x + u(x))``.
- Tensors are ``(batch, channel, *spatial)``, so a displacement is ``(batch, dims, *spatial)``. In a file and in NumPy
  a displacement is ``(*spatial, dims)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Interpolation = Literal["linear", "nearest"]
Padding = Literal["border", "zeros"]


def to_tensor(field: np.ndarray) -> Tensor:
    """Turn a displacement from its file layout ``(*spatial, dims)`` into a tensor ``(1, dims, *spatial)``, float32."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(field, -1, 0), dtype=np.float32))[None]


def to_array(displacement: Tensor) -> np.ndarray:
    """Turn a displacement tensor ``(1, dims, *spatial)`` into its file layout ``(*spatial, dims)``, float32."""
    return np.ascontiguousarray(np.moveaxis(displacement[0].detach().float().cpu().numpy(), 0, -1))


@lru_cache(maxsize=8)
def _grid(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    axes = [torch.arange(n, device=device, dtype=dtype) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def identity_grid(like: Tensor) -> Tensor:
    """Give the voxel coordinates of the grid of ``like`` (batch, channel, *spatial) as ``(1, dims, *spatial)``."""
    return _grid(tuple(like.shape[2:]), like.device, like.dtype)


def sample(image: Tensor, points: Tensor, mode: Interpolation = "linear", padding: Padding = "border") -> Tensor:
    """Read an image at voxel coordinates.

    Args:
        image: ``(batch, channel, *spatial)``.
        points: ``(batch, dims, *other)``, in voxels of ``image``; ``other`` may differ from ``spatial``.
        mode: ``"linear"`` or ``"nearest"``; linear is differentiable in both arguments.
        padding: what lies outside: the nearest voxel (``"border"``) or ``"zeros"``.

    Returns:
        ``(batch, channel, *other)``.

    Raises:
        ValueError: if the number of coordinates is not the number of the image's spatial axes.
    """
    shape = image.shape[2:]
    if points.shape[1] != len(shape):
        msg = f"sample: points have {points.shape[1]} coordinates but the image has {len(shape)} spatial axes"
        raise ValueError(msg)
    size = torch.tensor([max(n - 1, 1) for n in shape], device=points.device, dtype=points.dtype)
    grid = 2 * points.movedim(1, -1) / size - 1
    # grid_sample counts coordinates from the last axis to the first
    return F.grid_sample(
        image,
        grid.flip(-1).to(image.dtype),
        mode="bilinear" if mode == "linear" else "nearest",
        padding_mode=padding,
        align_corners=True,
    )


def warp(image: Tensor, displacement: Tensor, mode: Interpolation = "linear", padding: Padding = "border") -> Tensor:
    """Warp the moving image onto the fixed grid: ``moved(x) = moving(x + u(x))``.

    Args:
        image: the moving image, ``(batch, channel, *spatial)``.
        displacement: ``(batch, dims, *spatial)`` in voxels, on the fixed grid.
        mode: interpolation, see :func:`sample`.
        padding: what lies outside the moving image, see :func:`sample`.

    Returns:
        The moved image, ``(batch, channel, *spatial)``.
    """
    return sample(image, identity_grid(displacement) + displacement, mode, padding)


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """Compose two displacements: the result moves ``x`` as ``outer`` moves what ``inner`` made of it.

    With phi(x) = x + u(x), the result belongs to ``phi_outer(phi_inner(x))``: warping an image by the result equals
    warping it by ``outer`` first and the outcome by ``inner`` second. Shapes ``(batch, dims, *spatial)``, voxels.
    """
    return inner + warp(outer, inner)


def integrate(velocity: Tensor, steps: int = 7) -> Tensor:
    """Integrate a stationary velocity field over unit time by scaling and squaring.

    Arsigny et al., A Log-Euclidean Framework for Statistics on Diffeomorphisms, MICCAI 2006,
    doi:10.1007/11866565_113. Shapes ``(batch, dims, *spatial)``, voxels; ``integrate(-v)`` inverts ``integrate(v)``.
    """
    displacement = velocity / 2**steps
    for _ in range(steps):
        displacement = compose(displacement, displacement)
    return displacement


def invert(displacement: Tensor, iterations: int = 60) -> Tensor:
    """Invert a diffeomorphic displacement by fixed-point iteration.

    Chen et al., A simple fixed-point approach to invert a deformation field, Med. Phys. 2008, doi:10.1118/1.2816107.
    ``compose(displacement, invert(displacement))`` is zero wherever the inverse stays inside the grid.
    """
    inverse = -displacement
    for _ in range(iterations):
        inverse = -warp(displacement, inverse)
    return inverse


def jacobian_determinant(displacement: Tensor) -> Tensor:
    """Jacobian determinant of ``x + u(x)`` by central differences, one-sided at the border.

    Args:
        displacement: ``(batch, dims, *spatial)`` in voxels.

    Returns:
        ``(batch, 1, *spatial)``; 1 for the identity, negative where space is turned inside out.
    """
    dims = displacement.shape[1]
    axes = tuple(range(2, 2 + dims))
    rows = torch.stack(torch.gradient(displacement, dim=axes), dim=2)  # (batch, component, axis, *spatial)
    identity = torch.eye(dims, dtype=displacement.dtype, device=displacement.device)
    jacobian = rows.movedim((1, 2), (-2, -1)) + identity
    return torch.linalg.det(jacobian)[:, None]


def diffusion_energy(displacement: Tensor, spacing: Sequence[float] | None = None) -> Tensor:
    """Mean squared forward difference of the displacement, the regulariser of every training.

    With ``spacing`` the differences are those of the physical displacement along physical axes, so that an anisotropic
    grid is regularised alike in all directions; on an isotropic grid the value does not depend on it.

    Args:
        displacement: ``(batch, dims, *spatial)`` in voxels.
        spacing: size of a voxel along each axis, any unit.

    Returns:
        A scalar, the mean over components, axes and voxels (as in voxelmorph and DeepSim).
    """
    dims = displacement.shape[1]
    weight = torch.ones(dims) if spacing is None else torch.tensor([float(s) for s in spacing])
    weight = weight.to(displacement).view(1, dims, *[1] * dims)
    physical = displacement * weight
    terms = [
        (physical.diff(dim=2 + axis) / weight.flatten()[axis]).square().mean()
        for axis in range(dims)
        if displacement.shape[2 + axis] > 1
    ]
    return torch.stack(terms).mean()


def resize_displacement(displacement: Tensor, shape: Sequence[int]) -> Tensor:
    """Resample a displacement to another grid over the same field of view and rescale it per axis.

    Args:
        displacement: ``(batch, dims, *spatial)`` in voxels of its own grid.
        shape: the spatial shape of the other grid.

    Returns:
        ``(batch, dims, *shape)`` in voxels of the other grid. Corner voxels of both grids coincide.
    """
    old = displacement.shape[2:]
    scale = [(new - 1) / max(n - 1, 1) for n, new in zip(old, shape, strict=True)]
    mode = "bilinear" if len(old) == 2 else "trilinear"
    resized = F.interpolate(displacement, tuple(shape), mode=mode, align_corners=True)
    return resized * torch.tensor(scale).to(resized).view(1, -1, *[1] * len(old))
