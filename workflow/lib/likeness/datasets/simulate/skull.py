"""Simulated skull and scalp, brain extraction, and lesions: content that only one image of a pair has.

All functions are two-dimensional and work on a finer grid than the image's, because the bone layers of a skull are
thinner than a pixel of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from likeness.datasets.simulate.fields import block_mean, pull, random_warp, smooth_noise

LAYERS = {
    "cerebrospinal fluid": ((1.0, 6.0), (0.06, 0.16)),
    "inner table": ((1.0, 3.0), (0.02, 0.08)),
    "marrow": ((2.0, 5.0), (0.45, 0.85)),
    "outer table": ((1.0, 3.0), (0.02, 0.08)),
    "muscle": ((0.0, 0.0), (0.28, 0.48)),
    "scalp": ((3.0, 10.0), (0.6, 0.9)),
}
"""Layers from inside to outside: range of the thickness in mm, which varies along the layer, and of the intensity.

The thickness of muscle follows from :data:`MUSCLES`.
"""

CLOSING = 20.0
"""Closing radius in mm: the skull bridges clefts of the brain up to twice as wide."""

MUSCLES = ((60.0, 22.0, 9.0, 20.0), (300.0, 22.0, 9.0, 20.0), (155.0, 18.0, 10.0, -5.0), (205.0, 18.0, 10.0, -5.0))
"""Temporal and neck muscles: direction and angular width in degrees from the front, maximum thickness in mm, and the z
in mm of their upper end."""

SMOOTHING = 5.0
"""Standard deviation in mm of the smoothing of the brain's outline that the skull follows."""

EYES = ((-31.0, 50.0, -29.0), (31.0, 50.0, -29.0))
"""Centres of the eyes in mm in the template's space."""

EYE_RADIUS = 12.0
SMALLEST_EYE = 3.0
ORBIT, LID = 4.0, 3.0
"""Thickness in mm of the fat around an eye and of the skin around that."""


@dataclass(frozen=True)
class Plane:
    """Location of the fine grid in the template's space.

    Attributes:
        points: x and y in mm, ``(*fine, 2)``.
        z: height in mm.
        step: size of a fine pixel in mm.
    """

    points: np.ndarray
    z: float
    step: float


@dataclass(frozen=True)
class Shell:
    """The surroundings of a brain on the fine grid: ``image`` in [0, 1], and the mask ``content``."""

    image: np.ndarray
    content: np.ndarray


def refine(image: np.ndarray, fine: int) -> np.ndarray:
    """Resample an image ``(*spatial)`` linearly to a grid ``fine`` times finer."""
    return ndimage.zoom(image, fine, order=1, mode="nearest", grid_mode=True)


def coarsen(image: np.ndarray, fine: int) -> np.ndarray:
    """Average an image on a grid ``fine`` times finer over the pixels of the coarse grid."""
    return block_mean(image.astype(float), fine)


def outside_distance(region: np.ndarray, step: float) -> np.ndarray:
    """Return the signed distance in mm from the edge of a region, negative inside."""
    outside, inside = ndimage.distance_transform_edt(~region), ndimage.distance_transform_edt(region)
    # the edge lies half-way between neighbouring pixels
    return (np.where(region, 0.5 - inside, outside - 0.5)) * step


def directions(brain: np.ndarray) -> np.ndarray:
    """Return each pixel's direction from the brain's centre in degrees, [0, 360): 0 is the front (up), 90 the right."""
    row, column = ndimage.center_of_mass(brain)
    rows, columns = np.indices(brain.shape)
    return np.degrees(np.arctan2(columns - column, row - rows)) % 360.0


def surround(brain: np.ndarray, plane: Plane, generator: np.random.Generator) -> Shell:
    """Draw fluid, skull, muscle, eyes and scalp around a brain.

    Args:
        brain: bool, on the fine grid.
        plane: location of the grid.
        generator: random generator.
    """
    hull = _own_hull(brain, plane.step, generator)
    distance = ndimage.gaussian_filter(outside_distance(hull, plane.step), 0.7 / plane.step)
    edges = np.cumsum(_thickness(directions(brain), plane, generator), axis=0)
    layer = (distance >= edges).sum(axis=0)
    brightness = [generator.uniform(*intensities) for _, intensities in LAYERS.values()]
    image = np.array([*brightness, 0.0])[layer]
    content = layer < len(LAYERS)
    for eye in EYES:
        _add_eye(image, content, distance >= edges[0], plane, eye, generator)
    texture = 1.0 + 0.06 * smooth_noise(brain.shape, (1.5 / plane.step,) * 2, generator)
    content &= ~brain
    return Shell(np.clip(image * texture, 0.0, 1.0) * content, content)


def arc(brain: np.ndarray, dose: float, generator: np.random.Generator) -> np.ndarray:
    """Draw a sector around the brain's centre; for the same random state, larger doses contain smaller ones.

    Args:
        brain: bool.
        dose: fraction of the circumference, in [0, 1].
        generator: random generator.

    Returns:
        Bool, the shape of ``brain``.
    """
    return (directions(brain) - generator.uniform(0.0, 360.0)) % 360.0 < 360.0 * dose


def extract(brain: np.ndarray, shell: Shell, step: float, generator: np.random.Generator) -> np.ndarray:
    """Simulate an imperfect brain extraction: its edge errs by 1 to 2 mm, and remnants of the surroundings remain.

    Args:
        brain: bool, on the fine grid.
        shell: complete surroundings.
        step: size of a fine pixel in mm.
        generator: random generator.

    Returns:
        Bool, on the fine grid.
    """
    distance = outside_distance(brain, step)
    error = np.clip(1.2 * smooth_noise(brain.shape, (10.0 / step,) * 2, generator), -2.0, 2.0)
    kept = distance < error
    rim = np.argwhere((distance > 1.0) & (distance < 9.0) & shell.content)
    rows, columns = np.indices(brain.shape)
    for _ in range(generator.integers(1, 5) if len(rim) else 0):
        row, column = rim[generator.integers(len(rim))]
        away = np.hypot(rows - row, columns - column) * step
        kept |= (away < generator.uniform(2.0, 6.0)) & shell.content
    return kept


def lesion(brain: np.ndarray, step: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a lesion or a resection of 10 to 30 mm.

    Args:
        brain: bool, on the fine grid.
        step: size of a fine pixel in mm.
        generator: random generator.

    Returns:
        Its mask, bool, and the intensity inside it, both on the fine grid.
    """
    radius = generator.uniform(6.25, 12.5)
    resected = generator.random() < 0.5
    depth = -outside_distance(brain, step)
    # a resection cavity reaches the surface, a lesion lies inside
    low, high = (0.2 * radius, 0.7 * radius) if resected else (min(radius, 0.8 * depth.max()), np.inf)
    centres = np.argwhere((depth > low) & (depth < high))
    row, column = centres[generator.integers(len(centres))]
    rows, columns = np.indices(brain.shape)
    away = np.hypot(rows - row, columns - column) * step
    roughness = np.clip(smooth_noise(brain.shape, (4.0 / step,) * 2, generator), -1.0, 1.0)
    share = away / (radius * (1.0 + 0.2 * roughness))
    core, rim = (0.1, 0.1) if resected else generator.uniform((0.15, 0.6), (0.45, 0.9))
    texture = 0.05 * smooth_noise(brain.shape, (1.5 / step,) * 2, generator) * (not resected)
    return (share < 1.0) & brain, np.clip(np.where(share < 0.7, core, rim) + texture, 0.0, 1.0)


def _own_hull(brain: np.ndarray, step: float, generator: np.random.Generator) -> np.ndarray:
    """Close the brain's outline over its clefts and deform it by a warp independent of the brain's."""
    grown = outside_distance(brain, step) < CLOSING
    closed = -outside_distance(grown, step) > CLOSING
    warp = random_warp(brain.shape, (step, step), (32.0, 16.0), (1.5, 0.8), generator)
    smooth = ndimage.gaussian_filter(closed.astype(float), SMOOTHING / step)
    return (pull(smooth[None], warp)[0] > 0.5) | brain


def _thickness(angle: np.ndarray, plane: Plane, generator: np.random.Generator) -> np.ndarray:
    """Draw the thickness of each layer in mm, ``(layers, *fine)``."""
    thickness = []
    for name, ((low, high), _) in LAYERS.items():
        if name == "muscle":
            thickness.append(_muscle(angle, plane.z, generator))
        else:
            share = special.ndtr(smooth_noise(angle.shape, (25.0 / plane.step,) * 2, generator))
            thickness.append(low + (high - low) * share)
    return np.stack(thickness)


def _muscle(angle: np.ndarray, z: float, generator: np.random.Generator) -> np.ndarray:
    """Draw the thickness of muscle in mm in each direction; it increases over 30 mm below the upper end."""
    total = np.zeros(angle.shape)
    for centre, width, thickest, top in MUSCLES:
        off = (angle - centre + 180.0) % 360.0 - 180.0
        here = thickest * generator.uniform(0.6, 1.1) * np.clip((top - z) / 30.0, 0.0, 1.0)
        total += here * np.exp(-0.5 * (off / width) ** 2)
    return total


def _add_eye(
    image: np.ndarray,
    content: np.ndarray,
    free: np.ndarray,
    plane: Plane,
    centre: tuple[float, float, float],
    generator: np.random.Generator,
) -> None:
    """Draw an eye, the fat around it and the lid in place if the slice intersects it; ``free`` is the allowed area."""
    x, y, z = np.array(centre) + generator.uniform(-2.0, 2.0, 3)
    radius = np.sqrt(max(EYE_RADIUS**2 - (plane.z - z) ** 2, 0.0))
    if radius < SMALLEST_EYE:
        return
    away = np.hypot(plane.points[..., 0] - x, plane.points[..., 1] - y)
    lens = np.hypot(plane.points[..., 0] - x, 1.5 * (plane.points[..., 1] - y - 0.75 * radius))
    brightness = generator.uniform((0.35, 0.65, 0.12, 0.4), (0.5, 0.85, 0.2, 0.55))
    regions = (
        (away < radius + ORBIT + LID) & ~content,
        (away < radius + ORBIT) & free,
        (away < radius) & free,
        (lens < 0.35 * radius) & free,
    )
    for region, value in zip(regions, brightness, strict=True):
        image[region] = value
        content |= region
