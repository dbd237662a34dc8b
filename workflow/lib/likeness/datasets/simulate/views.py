"""What the images of a brain show, and how many voxels that makes."""

from __future__ import annotations

from collections.abc import Sequence

PLANE = (224, 192)
"""Millimetres of a slice: rows run from the front to the back, columns from left to right."""

VOLUME = (160, 192, 160)
"""Millimetres of a volume."""

PIXEL = 2
"""Millimetres of a pixel by default."""

MULTIPLE = 8
"""Of which all shapes are multiples, so that networks can halve them."""


def shape(extent: Sequence[int], spacing: int) -> tuple[int, ...]:
    """Give the shape of a grid of a spacing that comes closest to an extent, both in mm."""
    return tuple(MULTIPLE * round(n / (spacing * MULTIPLE)) for n in extent)
