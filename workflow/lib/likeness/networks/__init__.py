"""Registration networks, found by name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

REGISTRATION = {"voxelmorph": "VoxelMorph"}
"""Module and class of every registration network."""


def build(name: str, shape: Sequence[int], **options: Any) -> nn.Module:
    """Build a registration network for images of spatial ``shape``; it maps (moving, fixed) to a displacement.

    Raises:
        ValueError: if there is no network of that name.
    """
    if name not in REGISTRATION:
        msg = f"there is no network '{name}'; use one of {', '.join(REGISTRATION)}"
        raise ValueError(msg)
    return getattr(import_module(f"likeness.networks.{name}"), REGISTRATION[name])(shape, **options)
