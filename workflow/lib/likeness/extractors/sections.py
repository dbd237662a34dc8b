"""Sections of volumes, for 2D networks."""

from __future__ import annotations

import torch
from torch import Tensor


def random_axis_and_sections(
    shape: tuple[int, ...], count: int, generator: torch.Generator | None
) -> tuple[int, list[int]]:
    """Draw an axis of a volume and up to ``count`` different positions along it, in ascending order."""
    device = generator.device if generator is not None else "cpu"
    axis = int(torch.randint(len(shape), (1,), generator=generator, device=device))
    order = torch.randperm(shape[axis], generator=generator, device=device)
    return axis, sorted(order[:count].tolist())


def sections(volume: Tensor, axis: int, positions: list[int]) -> Tensor:
    """Extract sections from volumes.

    Args:
        volume: ``(batch, channel, *spatial)`` in 3D.
        axis: index of the spatial axis perpendicular to the sections.
        positions: positions along that axis.

    Returns:
        ``(batch * sections, channel, *others)``, with the sections of each volume in succession.
    """
    index = torch.tensor(positions, device=volume.device)
    return volume.index_select(2 + axis, index).movedim(2 + axis, 1).flatten(0, 1)


def random_sections(volume: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """Extract random sections along one random axis, the same for all volumes; see :func:`sections`."""
    axis, positions = random_axis_and_sections(tuple(volume.shape[2:]), count, generator)
    return sections(volume, axis, positions)
