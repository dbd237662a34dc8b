"""Fields of view of the simulated brain images, and the resulting grid sizes."""

from __future__ import annotations

from collections.abc import Sequence

PLANE = (224, 192)
"""Extent of a slice in mm: rows run from front to back, columns from left to right."""

VOLUME = (160, 192, 160)
"""Extent of a volume in mm."""

PIXEL = 2
"""Default pixel size in mm."""

MULTIPLE = 8
"""Divisor of all shapes, so that networks can halve them."""


def shape(extent: Sequence[int], spacing: int) -> tuple[int, ...]:
    """Return the grid shape, in voxels of a spacing, closest to an extent; both in mm."""
    return tuple(MULTIPLE * round(n / (spacing * MULTIPLE)) for n in extent)
