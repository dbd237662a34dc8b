"""Random affine augmentation of the DeepSim protocol, doi:10.1016/j.media.2023.102830, jointly for both images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from likeness.geometry import identity_grid, sample


@dataclass(frozen=True)
class Augmentation:
    """Ranges of random affine maps, drawn uniformly.

    Attributes:
        rotation: maximum angle in degrees, about every axis in 3D.
        scale: minimum and maximum magnification.
        shear: maximum shear.
        translation: maximum shift as a fraction of each axis.
        flip: mirror each axis with probability one half.
    """

    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shear: float = 0.0
    translation: float = 0.0
    flip: bool = False

    @property
    def idle(self) -> bool:
        """Whether it is the identity."""
        return self == Augmentation()


def protocol(dims: int) -> Augmentation:
    """Return the ranges of the DeepSim protocol for 2D or 3D images."""
    if dims == 2:
        return Augmentation(rotation=180.0, scale=(0.8, 1.2), shear=0.03, translation=0.05, flip=True)
    return Augmentation(rotation=5.0, flip=True)


def _rotation(angles: Tensor, dims: int) -> Tensor:
    """Rotation matrices ``(batch, dims, dims)`` of angles in radians, ``(batch, 1)`` in 2D and ``(batch, 3)`` in 3D."""
    total = torch.eye(dims).expand(len(angles), dims, dims).clone()
    planes = [(0, 1)] if dims == 2 else [(0, 1), (0, 2), (1, 2)]
    for k, (i, j) in enumerate(planes):
        turn = torch.eye(dims).repeat(len(angles), 1, 1)
        cos, sin = angles[:, k].cos(), angles[:, k].sin()
        turn[:, i, i], turn[:, i, j], turn[:, j, i], turn[:, j, j] = cos, -sin, sin, cos
        total = turn @ total
    return total


def random_affine(
    like: Tensor, augmentation: Augmentation, spacing: Sequence[float], generator: torch.Generator
) -> Tensor:
    """Draw one random affine map per image of a batch.

    Args:
        like: ``(batch, channel, *spatial)``; determines batch size, shape and device.
        augmentation: ranges.
        spacing: voxel size along each axis, so that rotations are rigid on anisotropic grids.
        generator: random generator on the CPU.

    Returns:
        Sampling points ``(batch, dims, *spatial)`` in voxels.
    """
    batch, dims = like.shape[0], like.ndim - 2

    def uniform(low: float, high: float, *size: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *size, generator=generator)

    angle = math.radians(augmentation.rotation)
    matrix = _rotation(uniform(-angle, angle, 1 if dims == 2 else 3), dims)
    shear = uniform(-augmentation.shear, augmentation.shear, dims, dims) * (1 - torch.eye(dims))
    matrix = matrix @ (torch.eye(dims) + shear) / uniform(*augmentation.scale, 1, 1)
    mirrored = (torch.rand(batch, dims, generator=generator) < 0.5) & augmentation.flip
    matrix = matrix * torch.where(mirrored, -1.0, 1.0)[:, None, :]
    physical = torch.tensor([float(s) for s in spacing])
    matrix = matrix * physical / physical[:, None]
    size = torch.tensor([float(n) for n in like.shape[2:]])
    shift = uniform(-augmentation.translation, augmentation.translation, dims) * size
    centre = ((size - 1) / 2).to(like)
    grid = identity_grid(like).flatten(2) - centre[:, None]
    points = matrix.to(like) @ grid + (centre + shift.to(like))[..., None]
    return points.view(batch, dims, *like.shape[2:])


def resample(points: Tensor, image: Tensor) -> Tensor:
    """Sample images linearly, or integer label maps by nearest neighbour, at the points of a random map."""
    if image.is_floating_point():
        return sample(image, points)
    return sample(image.to(points.dtype), points, "nearest").to(image.dtype)
