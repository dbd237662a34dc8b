"""Conventions for axes, units and directions, and basic spatial operations.

All code follows these conventions:

- Spatial axes are in the order of the image array: ``(row, column)`` for a picture, ``(x, y, z)`` for a NIfTI volume
  in canonical orientation. Axis ``i`` of an image, entry ``i`` of ``spacing`` and channel ``i`` of a displacement
  correspond.
- A displacement ``u`` is in voxels, defined on the fixed grid, and points into the moving image:
  ``moved(x) = moving(x + u(x))``.
- Tensors are ``(batch, channel, *spatial)``, so a displacement is ``(batch, dims, *spatial)``. In files and in NumPy, a
  displacement is ``(*spatial, dims)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor
from torch.autograd.function import once_differentiable

Interpolation = Literal["linear", "nearest"]
Padding = Literal["border", "zeros"]
MODES: dict[Interpolation, int] = {"linear": 0, "nearest": 1}
PADDINGS: dict[Padding, int] = {"zeros": 0, "border": 1}
"""PyTorch's numeric codes of interpolation and padding modes."""

TOLERANCE = 1e-4
"""Maximum residual of an inverse, in voxels."""
CONTRACTIONS = 12
"""Number of fixed-point iterations before Newton's method, whose steps are ten times as expensive."""


def to_tensor(field: np.ndarray) -> Tensor:
    """Convert a displacement from file layout ``(*spatial, dims)`` to a tensor ``(1, dims, *spatial)``, float32."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(field, -1, 0), dtype=np.float32))[None]


def to_array(displacement: Tensor) -> np.ndarray:
    """Convert a displacement tensor ``(1, dims, *spatial)`` to file layout ``(*spatial, dims)``, float32."""
    return np.ascontiguousarray(np.moveaxis(displacement[0].detach().float().cpu().numpy(), 0, -1))


@lru_cache(maxsize=8)
def _grid(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    # a grid created in inference mode (validation) must remain usable with autograd (training)
    with torch.inference_mode(False):
        axes = [torch.arange(n, device=device, dtype=dtype) for n in shape]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def identity_grid(like: Tensor) -> Tensor:
    """Return the voxel coordinates of the grid of ``like`` (batch, channel, *spatial) as ``(1, dims, *spatial)``.

    At least float32, because bfloat16 cannot distinguish neighbouring voxels from index 256 on. The tensor is cached
    and must not be modified.
    """
    return _grid(tuple(like.shape[2:]), like.device, torch.promote_types(like.dtype, torch.float32))


def sample(image: Tensor, points: Tensor, mode: Interpolation = "linear", padding: Padding = "border") -> Tensor:
    """Sample an image at voxel coordinates.

    Coordinates keep the precision of ``points`` regardless of that of ``image``, for example under autocast.

    Args:
        image: ``(batch, channel, *spatial)``, floating point.
        points: ``(batch, dims, *other)``, in voxels of ``image``; ``other`` has as many axes as ``spatial`` but may
            differ in size.
        mode: ``"linear"`` or ``"nearest"``; linear is differentiable in both arguments.
        padding: values outside: the nearest voxel (``"border"``) or ``"zeros"``.

    Returns:
        ``(batch, channel, *other)`` in the precision of ``image``.

    Raises:
        ValueError: if the number of coordinates differs from the number of the image's spatial axes.
    """
    shape = image.shape[2:]
    if points.shape[1] != len(shape):
        msg = f"sample: points have {points.shape[1]} coordinates but the image has {len(shape)} spatial axes"
        raise ValueError(msg)
    precision = torch.promote_types(torch.promote_types(image.dtype, points.dtype), torch.float32)
    return _Sample.apply(image.to(precision), points.to(precision), mode, padding).to(image.dtype)


class _Sample(torch.autograd.Function):
    """``grid_sample`` at voxel coordinates.

    ``grid_sample`` takes coordinates from -1 to 1, on the last axis of the grid and in reverse order of axes. Autograd
    through this conversion would take as long as the sampling itself.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, points: Tensor, mode: Interpolation, padding: Padding) -> Tensor:
        grid = torch.empty_like(points, memory_format=torch.contiguous_format)
        for axis in range(points.shape[1]):
            torch.mul(points[:, axis], 2, out=grid[:, -1 - axis])
        grid = grid.div_(_extent(image, points).flip(1)).sub_(1).movedim(1, -1)
        ctx.save_for_backward(image, grid)
        ctx.mode, ctx.padding = MODES[mode], PADDINGS[padding]
        sampler = torch.grid_sampler_2d if points.shape[1] == 2 else torch.grid_sampler_3d
        return sampler(image, grid, ctx.mode, ctx.padding, align_corners=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, grid = ctx.saved_tensors
        sampler = "grid_sampler_2d_backward" if grid.shape[-1] == 2 else "grid_sampler_3d_backward"
        wanted = list(ctx.needs_input_grad[:2])
        towards_image, pull = getattr(torch.ops.aten, sampler)(
            gradient.contiguous(), image, grid, ctx.mode, ctx.padding, True, wanted
        )
        if not wanted[1]:
            return towards_image, None, None, None
        towards_points = grid.new_empty(len(grid), grid.shape[-1], *grid.shape[1:-1])
        for axis in range(grid.shape[-1]):
            torch.mul(pull[..., -1 - axis], 2, out=towards_points[:, axis])
        return towards_image if wanted[0] else None, towards_points.div_(_extent(image, towards_points)), None, None


def _extent(image: Tensor, points: Tensor) -> Tensor:
    """Return the distance in voxels between the first and the last voxel of each axis, broadcastable to ``points``."""
    size = [max(n - 1, 1) for n in image.shape[2:]]
    return torch.tensor(size).to(points).view(1, -1, *[1] * (points.dim() - 2))


def warp(image: Tensor, displacement: Tensor, mode: Interpolation = "linear", padding: Padding = "border") -> Tensor:
    """Warp the moving image to the fixed grid: ``moved(x) = moving(x + u(x))``.

    Args:
        image: moving image, ``(batch, channel, *spatial)``.
        displacement: ``(batch, dims, *spatial)`` in voxels, on the fixed grid.
        mode: interpolation, see :func:`sample`.
        padding: values outside the moving image, see :func:`sample`.

    Returns:
        The moved image, ``(batch, channel, *spatial)``.
    """
    return sample(image, identity_grid(displacement) + displacement, mode, padding)


def warp_labels(labels: np.ndarray, displacement: np.ndarray, outside: int = 0) -> np.ndarray:
    """Warp a label map by nearest-neighbour interpolation.

    Coordinates are rounded in float64, as in Learn2Reg; :func:`warp` normalises them in float32, whose rounding errors
    would decide ties.

    Args:
        labels: label map of the moving image, ``(*spatial)``, any integers or bool.
        displacement: ``(*spatial, dims)`` in voxels, on the fixed grid, finite.
        outside: label of positions beyond the centres of the moving image's outermost voxels.

    Returns:
        ``(*spatial)`` on the fixed grid, in the type of ``labels``.
    """
    points = np.indices(displacement.shape[:-1], dtype=np.float64)
    points += np.moveaxis(displacement, -1, 0)
    return ndimage.map_coordinates(labels, points, order=0, mode="constant", cval=outside)


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """Compose two displacements ``(batch, dims, *spatial)`` in voxels; ``inner`` is applied first.

    With phi(x) = x + u(x), the result corresponds to ``phi_outer(phi_inner(x))``: warping an image by the result equals
    warping it by ``outer`` first and the outcome by ``inner`` second.
    """
    return inner + warp(outer, inner)


def integrate(velocity: Tensor, steps: int = 7) -> Tensor:
    """Integrate a stationary velocity field over unit time by scaling and squaring.

    Arsigny et al., A Log-Euclidean Framework for Statistics on Diffeomorphisms, MICCAI 2006,
    doi:10.1007/11866565_113. ``integrate(-v)`` is the inverse of ``integrate(v)``.

    Args:
        velocity: ``(batch, dims, *spatial)`` in voxels per unit time.
        steps: number of squarings.

    Returns:
        The displacement ``(batch, dims, *spatial)`` in voxels.
    """
    displacement = velocity / 2**steps
    for _ in range(steps):
        displacement = compose(displacement, displacement)
    return displacement


@torch.no_grad()
def preimage(displacement: Tensor, points: Tensor, iterations: int = 40) -> Tensor:
    """Find the preimages of points under a diffeomorphic displacement: y with ``y + u(y) = points``.

    Fixed-point iteration (Chen et al., A simple fixed-point approach to invert a deformation field, Med. Phys. 2008,
    doi:10.1118/1.2816107) converges where the displacement is a contraction; damped Newton steps are used for the
    remaining points. Outside the grid the border value of the displacement is used.

    Args:
        displacement: ``(1, dims, *spatial)`` in voxels.
        points: ``(1, dims, *other)``, in voxels.
        iterations: maximum number of Newton steps.

    Returns:
        ``(1, dims, *other)``, in voxels. Where folding prevents convergence, the point with the smallest residual;
        compare ``y + u(y)`` with ``points`` if this matters.
    """
    start = found = points - sample(displacement, points)
    for _ in range(CONTRACTIONS):
        previous, found = found, points - sample(displacement, found)
        if (found - previous).abs().amax() < TOLERANCE:
            return found
    open_ = (points - found - sample(displacement, found)).norm(dim=1)[0] > TOLERANCE
    if open_.any():
        column = (1, len(points[0]), -1, *[1] * (points.ndim - 3))
        target, guess = points[:, :, open_].view(column), start[:, :, open_].view(column)
        found[:, :, open_] = _newton(displacement, target, guess, iterations).view(*column[:3])
    return found


def _newton(displacement: Tensor, points: Tensor, found: Tensor, iterations: int) -> Tensor:
    """Solve ``y + u(y) = points`` by Newton steps from the guess ``found``; steps that do not help are halved."""
    dims = displacement.shape[1]
    last = torch.tensor(displacement.shape[2:]).to(points).view(1, dims, *[1] * dims) - 1
    gradient = torch.cat(torch.gradient(displacement, dim=tuple(range(2, 2 + dims))), dim=1)
    identity = torch.eye(dims).to(points)
    residual = points - found - sample(displacement, found)
    scale = torch.ones_like(residual[:, :1])
    for _ in range(iterations):
        if residual.abs().amax() < TOLERANCE:
            break
        inside = ((found >= 0) & (found <= last)).repeat_interleave(dims, dim=1)  # u is constant outside the grid
        slopes = (sample(gradient, found) * inside).flatten(2).unflatten(1, (dims, dims))  # (1, axis, component, n)
        step = torch.linalg.solve_ex(slopes.permute(0, 3, 2, 1) + identity, residual.flatten(2).mT[..., None]).result
        trial = found + scale * step[..., 0].mT.view_as(found)
        rest = points - trial - sample(displacement, trial)
        better = rest.norm(dim=1, keepdim=True) < residual.norm(dim=1, keepdim=True)
        found, residual = torch.where(better, trial, found), torch.where(better, rest, residual)
        scale = torch.where(better, (2 * scale).clamp(max=1), scale / 2)
    return found


def invert(displacement: Tensor, iterations: int = 40) -> Tensor:
    """Invert a diffeomorphic displacement ``(batch, dims, *spatial)`` in voxels, see :func:`preimage`.

    ``displacement(x + inverse(x)) = -inverse(x)``: ``compose(displacement, invert(displacement))`` is zero wherever
    the inverse stays inside the grid. Not differentiable.
    """
    grid = identity_grid(displacement)
    return torch.cat([preimage(one[None], grid, iterations) for one in displacement]) - grid


def determinant(matrix: Sequence[Sequence[Tensor]]) -> Tensor:
    """Determinant of a 2×2 or 3×3 matrix whose entries are tensors of equal shape.

    The explicit formula is ten times faster than batched LU on small matrices.
    """
    if len(matrix) == 2:
        (a, b), (c, d) = matrix
        return a * d - b * c
    (a, b, c), (d, e, f), (g, h, i) = matrix
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def jacobian_determinant(displacement: Tensor) -> Tensor:
    """Jacobian determinant of ``x + u(x)`` by central differences, one-sided at the border.

    Args:
        displacement: ``(batch, dims, *spatial)`` in voxels.

    Returns:
        ``(batch, 1, *spatial)``; 1 for the identity, negative where space is inverted.
    """
    dims = displacement.shape[1]
    slopes = torch.gradient(displacement, dim=tuple(range(2, 2 + dims)))
    return determinant(
        [[slopes[axis][:, i] + float(i == axis) for axis in range(dims)] for i in range(dims)],
    )[:, None]


def diffusion_energy(displacement: Tensor, spacing: Sequence[float] | None = None) -> Tensor:
    """Mean squared forward difference of each displacement, the regulariser of trainings and default of optimisations.

    With ``spacing``, the differences are those of the physical displacement along physical axes, so that anisotropic
    grids are regularised equally in all directions; for isotropic grids the value does not depend on it.

    Args:
        displacement: ``(batch, dims, *spatial)`` in voxels.
        spacing: voxel size along each axis, any unit.

    Returns:
        ``(batch,)``, the mean over components, axes and voxels (as in VoxelMorph and DeepSim).
    """
    dims = displacement.shape[1]
    weight = torch.ones(dims) if spacing is None else torch.tensor([float(s) for s in spacing])
    weight = weight.to(displacement).view(1, dims, *[1] * dims)
    physical = displacement * weight
    terms = [
        (physical.diff(dim=2 + axis) / weight.flatten()[axis]).square().mean(tuple(range(1, displacement.dim())))
        for axis in range(dims)
        if displacement.shape[2 + axis] > 1
    ]
    return torch.stack(terms).mean(0)


def bending_energy(displacement: Tensor, spacing: Sequence[float] | None = None) -> Tensor:
    """Mean squared second difference of each displacement; mixed differences count twice.

    Rueckert et al., IEEE Trans. Med. Imaging 1999, doi:10.1109/42.796284. The energy of affine displacements is 0.

    Args:
        displacement: ``(batch, dims, *spatial)`` in voxels.
        spacing: voxel size along each axis, any unit; the energy is proportional to its inverse square.

    Returns:
        ``(batch,)``, the mean over components and voxels.
    """
    dims = displacement.shape[1]
    weight = [1.0] * dims if spacing is None else [float(s) for s in spacing]
    physical = displacement * torch.tensor(weight).to(displacement).view(1, dims, *[1] * dims)
    total = torch.zeros(len(displacement)).to(displacement)
    for a in range(dims):
        for b in range(a, dims):
            second = physical.diff(dim=2 + a).diff(dim=2 + b) / (weight[a] * weight[b])
            if second.numel():
                total = total + (1 if a == b else 2) * second.square().mean(tuple(range(1, second.dim())))
    return total


def resize_displacement(displacement: Tensor, shape: Sequence[int]) -> Tensor:
    """Resample a displacement to another grid with the same field of view, and rescale it per axis.

    Args:
        displacement: ``(batch, dims, *spatial)`` in voxels of its own grid.
        shape: spatial shape of the other grid.

    Returns:
        ``(batch, dims, *shape)`` in voxels of the other grid. Corner voxels of both grids coincide.
    """
    old = displacement.shape[2:]
    scale = [(new - 1) / max(n - 1, 1) for n, new in zip(old, shape, strict=True)]
    mode = "bilinear" if len(old) == 2 else "trilinear"
    resized = F.interpolate(displacement, tuple(shape), mode=mode, align_corners=True)
    return resized * torch.tensor(scale, dtype=torch.float64).to(resized).view(1, -1, *[1] * len(old))
