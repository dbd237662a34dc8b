"""``cells``: sections of simulated nerve tissue, as in electron microscopy: organelles appear and vanish by anatomy.

A phantom is a function of space. Cells of very different sizes fill it as additively weighted Voronoi regions with wavy
walls, thin sheets of glia run between them, and mitochondria, vesicles and synapses lie at plausible places. A stack
consists of a few neighbouring planes of one phantom. Each plane is sampled through its own warp, the true field, so
cell walls shift and organelles appear and vanish between sections as a result of the anatomy. Structures smaller than
the section thickness (vesicles, cytoplasm texture, noise) are drawn independently for every section.

The constants are calibrated to the training tiles of real data: Gerhard et al., Segmented anisotropic ssTEM dataset of
neural tissue, doi:10.6084/m9.figshare.856713; ``tests/support/texture.py`` measures the statistics used.

Lengths are in pixels of 4.6 nm. Depth is divided by the elongation of the cells across the sections, so that all
structures are isotropic in the phantom's coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from likeness.datasets.simulate.fields import block_mean, random_warp, smooth_noise
from likeness.datasets.writing import write_sample, write_tables
from likeness.runtime.atomic import atomic_write

CARD = {
    "parts": ["image", "label", "field"],
    "labels": 5,
    "extent": ["size", "size"],
    "step": "binning",
    "multiple": 1,
    "images_per_subject": 2,
    "pairs_per_subject": 2,
    "limits": {
        "train": {"minimum": 1, "maximum": 100_000},
        "val": {"minimum": 1, "maximum": 100_000},
        "test": {"minimum": 1, "maximum": 100_000},
        "size": {"minimum": 64, "maximum": 8192, "multipleOf": 8},
        "binning": {"enum": [1, 2, 4]},
        "sections": {"minimum": 2, "maximum": 100_000},
    },
}

LABELS = {0: "membrane", 1: "intracellular", 2: "mitochondria", 3: "synapse", 4: "glia"}
MEMBRANE, INTRACELLULAR, MITOCHONDRIA, SYNAPSE, GLIA = LABELS
SPACING = 4.6
"""Nanometres per pixel before binning."""
STEP = 5.2
"""Distance of neighbouring sections in compressed depth: 46 nm for cells 1.9 times as long as wide."""
MARGIN = 72.0
"""Margin of tissue around the sections, so that large cells with centres outside them are included."""

CELL_RADII = ((66.0, 0.7), (38.0, 0.35), (23.0, 0.3), (15.0, 0.15))
"""Radius of a class of cells, and number of spheres tried, as a fraction of the block's volume over radius³."""
PACKING = 0.9
"""Minimum distance of two cell centres, as a fraction of the sum of their radii."""
WAVINESS = ((13.0, 60.0), (2.2, 11.0))
"""Amplitude and length scale of the functions that bend the walls."""

GLIA_SCALE = 50.0
GLIA_THRESHOLD = 1.2
"""Glia is placed around large cells where a random function of this scale and variance 1 exceeds the threshold."""
SMALLEST_IN_GLIA = 18.0
"""Radius above which cells are kept inside glia."""
GLIA_CLEARANCE = 3.0
GLIA_TAPER = 25.0
"""Distance of glia from the cells' spheres, and its increase where the random function is 1 below the threshold."""

MEMBRANE_HALF_WIDTH = 2.95
WIDEST_MEMBRANE = 4.65
"""Half the width of a membrane cut perpendicularly, and the maximum when cut obliquely."""
SMALLEST_HOST = 34.0
MITOCHONDRIA_PER_CELL = 0.55
"""Minimum radius of a cell that can contain a mitochondrion, and the probability that it does."""
MITOCHONDRION_LENGTH = (38.0, 80.0)
MITOCHONDRION_ASPECT = 0.66
CRISTA_PERIOD = 11.0
SYNAPSES_TRIED = 1.5e-6
"""Points tried per unit of volume; those close to a wall become synapses."""
SYNAPSE_EXTENT = (25.0, 25.0, 40.0)
SYNAPSE_THICKNESS = 17.0
VESICLES = 0.002
FILAMENTS = 0.003
"""Density per pixel of cytoplasm; for vesicles in the average cell."""

BRIGHTNESS = {"cytoplasm": 0.655, "mitochondria": 0.365, "glia": 0.31, "synapse": 0.10, "membrane": 0.12}
CELL_CONTRAST = 0.04
"""Standard deviation of the brightness between cells."""
GRAIN = ((0.7, 0.1), (1.8, 0.054), (14.0, 0.062))
"""Length scale and strength of the texture drawn for every section."""
POINT_SPREAD = 0.8
"""Standard deviation of the blur of everything except grain."""
GAIN = 0.05
"""Standard deviation of the contrast between sections."""

WARP_SCALES = (110.0, 45.0, 18.0)
WARP_AMPLITUDES = (3.6, 2.1, 0.9)
WARP_STRIDE = 4
"""Warps are drawn on every fourth pixel, enough for their smallest scale, and interpolated by cubic splines."""
WARP_EXTENT = 512
"""Minimum width of a drawn warp, which is then cropped: warps are periodic, and no period may end within a section."""

BLOCK = 8
"""Edge length, in pixels, of the blocks for which candidates for the nearest cell are selected."""
SPLITS = ("train", "val", "test")
NOTE = (
    "Simulated tissue, calibrated to real sections at 4.6 nm before binning. Each stack is a separate phantom and "
    "counts as one subject, because its sections share cells. field is the true warp of a section into the plane of "
    "its phantom, shared by a group; it does not describe the step in depth: cell walls run obliquely and shift "
    "between sections, and organelles end, so that even the true displacement gives a mean Dice (membrane, "
    "intracellular, mitochondria, glia) of only about .7, and a registration that follows every wall differs from it "
    "by a pixel or two. Label 0 is membrane, a structure, not background."
)


@dataclass(frozen=True)
class Waves:
    """A smooth random function of space with mean 0 and variance 1, as a sum of plane waves.

    Its covariance is approximately a Gaussian of standard deviation ``scale`` (Rahimi and Recht, Random features for
    large-scale kernel machines, NIPS 2007).

    Attributes:
        vectors: wave vectors, ``(waves, 3)``.
        phases: ``(waves,)``.
    """

    vectors: np.ndarray
    phases: np.ndarray

    @classmethod
    def draw(cls, scale: float, generator: np.random.Generator, waves: int = 20) -> Waves:
        """Draw a random function with length scale ``scale``."""
        vectors = generator.standard_normal((waves, 3)) / scale
        return cls(vectors.astype(np.float32), generator.uniform(0, 2 * np.pi, waves).astype(np.float32))

    def __call__(self, points: np.ndarray, depth: float | np.ndarray) -> np.ndarray:
        """Evaluate at ``points`` ``(2, *spatial)`` of the plane ``depth``; returns ``(*spatial)``, float32."""
        total = np.zeros(points.shape[1:], np.float32)
        for vector, phase in zip(self.vectors, self.phases, strict=True):
            total += np.cos(vector[0] * points[0] + vector[1] * points[1] + (vector[2] * depth + phase))
        return total * np.float32(np.sqrt(2 / len(self.phases)))


@dataclass(frozen=True)
class Cells:
    """Additively weighted Voronoi cells: a point belongs to the cell whose sphere is closest."""

    centres: np.ndarray
    """``(cells, 3)``: row, column, depth."""
    radii: np.ndarray
    """``(cells,)``."""
    brightness: np.ndarray
    """Offset of the cytoplasm's brightness from the average, ``(cells,)``."""
    vesicles: np.ndarray
    """Vesicles per pixel, ``(cells,)``."""


@dataclass(frozen=True)
class Mitochondria:
    """Ellipsoids: ``shape`` ``(n, 3, 3)`` maps offsets from ``centre`` ``(n, 3)`` to the unit ball."""

    centre: np.ndarray
    shape: np.ndarray
    host: np.ndarray
    """Index of the cell that contains each, ``(n,)``."""


@dataclass(frozen=True)
class Phantom:
    """A block of tissue."""

    cells: Cells
    mitochondria: Mitochondria
    synapses: np.ndarray
    """Centres, ``(synapses, 3)``."""
    waviness: tuple[tuple[float, Waves, Waves], ...]
    """Amplitude and the two components of each function that bends the walls."""
    glia: Waves
    """Random function that places glia."""


@dataclass(frozen=True)
class Plane:
    """Properties of the phantom at every pixel of a section; arrays are ``(*spatial)``."""

    points: np.ndarray
    """Position of each pixel after bending, ``(3, *spatial)``."""
    cell: np.ndarray
    wall: np.ndarray
    """In-plane distance to the nearest membrane, negative inside glia."""
    glia: np.ndarray
    """Depth inside glia, negative outside."""
    membrane: np.ndarray
    """Apparent half-width of membranes, larger where the section cuts them obliquely."""


def draw_phantom(size: int, sections: int, generator: np.random.Generator) -> Phantom:
    """Draw a block of tissue for ``sections`` planes of ``size`` by ``size`` pixels."""
    low = np.full(3, -MARGIN)
    high = np.array([size, size, (sections - 1) * STEP]) + MARGIN
    glia = Waves.draw(GLIA_SCALE, generator, waves=40)
    cells = draw_cells(low, high, glia, generator)
    return Phantom(
        cells=cells,
        mitochondria=draw_mitochondria(cells, generator),
        synapses=draw_synapses(cells, low, high, generator),
        waviness=tuple((a, Waves.draw(scale, generator), Waves.draw(scale, generator)) for a, scale in WAVINESS),
        glia=glia,
    )


def draw_cells(low: np.ndarray, high: np.ndarray, glia: Waves, generator: np.random.Generator) -> Cells:
    """Pack spheres of very different sizes at random, the largest first; the smallest are left out inside glia."""
    volume = float(np.prod(high - low))
    radii = np.concatenate([np.full(round(share * volume / radius**3), radius) for radius, share in CELL_RADII])
    radii = np.sort(radii * generator.uniform(0.8, 1.25, len(radii)))[::-1]
    trial = generator.uniform(low, high, (len(radii), 3))
    kept = np.zeros(len(radii), bool)
    for i, (centre, radius) in enumerate(zip(trial, radii, strict=True)):
        near, others = trial[:i][kept[:i]], radii[:i][kept[:i]]
        kept[i] = (np.square(near - centre).sum(1) > np.square(PACKING * (radius + others))).all()
    kept &= (radii > SMALLEST_IN_GLIA) | (glia(trial.T[:2], trial.T[2]) < GLIA_THRESHOLD)
    count = int(kept.sum())
    richness = generator.gamma(0.7, 1 / 0.7, count)
    return Cells(trial[kept], radii[kept], generator.normal(0, CELL_CONTRAST, count), VESICLES * richness)


def draw_mitochondria(cells: Cells, generator: np.random.Generator) -> Mitochondria:
    """Draw elongated, off-centre mitochondria of random orientation in large cells."""
    large = np.flatnonzero(cells.radii > SMALLEST_HOST)
    host = large[generator.random(len(large)) < MITOCHONDRIA_PER_CELL]
    count, radius = len(host), cells.radii[host, None]
    axes = generator.uniform(*MITOCHONDRION_LENGTH, (count, 1)) * [1, MITOCHONDRION_ASPECT, MITOCHONDRION_ASPECT]
    axes = np.minimum(axes, [1.0, 0.7, 0.7] * radius)
    rotation = np.linalg.qr(generator.standard_normal((count, 3, 3)))[0]
    offset = generator.standard_normal((count, 3))
    offset *= 0.3 * radius / np.linalg.norm(offset, axis=1, keepdims=True)
    return Mitochondria(cells.centres[host] + offset, rotation / axes[:, :, None], host)


def draw_synapses(cells: Cells, low: np.ndarray, high: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw random points close to cell walls, ``(synapses, 3)``."""
    points = generator.uniform(low, high, (round(SYNAPSES_TRIED * float(np.prod(high - low))), 3))
    distance = np.linalg.norm(points[:, None] - cells.centres, axis=2) - cells.radii
    first, second = np.partition(distance, 1, axis=1)[:, :2].T
    return points[second - first < 4]


def cut(phantom: Phantom, field: np.ndarray, depth: float) -> Plane:
    """Sample the plane ``depth`` of the phantom through a warp ``(*spatial, 2)``, in pixels."""
    points = np.indices(field.shape[:2], dtype=np.float32) + np.moveaxis(field, -1, 0)
    bent = np.concatenate([points, np.full_like(points[:1], depth)])
    for amplitude, rows, columns in phantom.waviness:
        bent[0] += np.float32(amplitude) * rows(points, depth)
        bent[1] += np.float32(amplitude) * columns(points, depth)
    cell, second, outside, excess = nearest_cells(phantom.cells, bent)
    outward = direction(phantom.cells, cell, bent)
    normal = direction(phantom.cells, second, bent) - outward
    flat = np.maximum(np.hypot(normal[0], normal[1]), 0.3)
    smear = 0.5 * STEP * np.abs(normal[2]) / flat
    lack = np.maximum(GLIA_THRESHOLD - phantom.glia(points, depth), 0)
    glia = outside - GLIA_CLEARANCE - GLIA_TAPER * lack
    glia /= np.maximum(np.hypot(outward[0], outward[1]), 0.3)
    return Plane(
        points=bent,
        cell=cell,
        wall=np.minimum(excess / flat, -glia),
        glia=glia,
        membrane=np.minimum(np.hypot(MEMBRANE_HALF_WIDTH, smear), WIDEST_MEMBRANE),
    )


def nearest_cells(cells: Cells, points: np.ndarray) -> tuple[np.ndarray, ...]:
    """Find the two nearest cells of every point ``(3, *spatial)``.

    A cell is only compared within blocks close enough to it; the distance to a cell changes by no more than the
    distance between two points, so the distance at the middle of a block bounds it.

    Returns:
        Index of the nearest cell, index of the second nearest, distance to the nearest cell's sphere, and the
        additional distance of the second, each ``(*spatial)``.
    """
    middle = points[:, BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK]
    coarse = np.full((len(cells.radii), *middle.shape[1:]), np.inf, np.float32)
    for i, (centre, radius) in enumerate(zip(cells.centres, cells.radii, strict=True)):
        coarse[i] = distance_to(centre, radius, middle)
    rows, columns = (np.arange(n) // BLOCK for n in points.shape[1:])
    spread = np.sqrt(np.square(points - middle[:, rows][:, :, columns]).sum(0).max())
    reach = np.partition(coarse, 1, axis=0)[1] + 2 * spread
    first, second = np.full(points.shape[1:], np.inf, np.float32), np.full(points.shape[1:], np.inf, np.float32)
    cell, other = np.zeros(points.shape[1:], np.int32), np.zeros(points.shape[1:], np.int32)
    for i in map(int, np.flatnonzero((coarse <= reach).any(axis=(1, 2)))):
        inside = coarse[i] <= reach
        window = tuple(slice(k.min() * BLOCK, (k.max() + 1) * BLOCK) for k in np.nonzero(inside))
        distance = distance_to(cells.centres[i], cells.radii[i], points[:, *window])
        closest = distance < first[window]
        runner = ~closest & (distance < second[window])
        second[window] = np.where(closest, first[window], np.where(runner, distance, second[window]))
        other[window] = np.where(closest, cell[window], np.where(runner, i, other[window]))
        first[window] = np.where(closest, distance, first[window])
        cell[window] = np.where(closest, i, cell[window])
    return cell, other, first, second - first


def distance_to(centre: np.ndarray, radius: float, points: np.ndarray) -> np.ndarray:
    """Signed distance of points ``(3, *spatial)`` to the surface of a sphere, negative inside, float32."""
    row, column, depth = (p - np.float32(c) for p, c in zip(points, centre, strict=True))
    return np.sqrt(row * row + column * column + depth * depth) - np.float32(radius)


def direction(cells: Cells, cell: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Unit vectors ``(3, *spatial)`` from the centre of each point's cell to the point."""
    offset = points - np.moveaxis(cells.centres.astype(np.float32)[cell], -1, 0)
    return offset / np.sqrt(np.square(offset).sum(0))


def mitochondria_in(phantom: Phantom, plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """Compute the relative radius inside mitochondria (1 at the surface, inf outside) and the phase of the cristae."""
    radius, phase = np.full(plane.cell.shape, np.inf, np.float32), np.zeros(plane.cell.shape, np.float32)
    free = plane.wall > plane.membrane + 2
    depth = float(plane.points[2, 0, 0])
    organelles = phantom.mitochondria
    for centre, shape, host in zip(organelles.centre, organelles.shape, organelles.host, strict=True):
        longest = 1 / np.linalg.norm(shape, axis=1).min()
        inside = free & (plane.cell == host) if abs(centre[2] - depth) < longest else np.zeros(1, bool)
        if not inside.any():
            continue
        offset = plane.points[:, inside] - centre[:, None].astype(np.float32)
        unit = shape.astype(np.float32) @ offset
        radius[inside] = np.minimum(radius[inside], np.sqrt(np.square(unit).sum(0)))
        across = shape[1] / np.linalg.norm(shape[1])
        phase[inside] = across.astype(np.float32) @ offset * np.float32(2 * np.pi / CRISTA_PERIOD)
    radius[radius > 1] = np.inf
    return radius, phase


def synapses_in(phantom: Phantom, plane: Plane) -> np.ndarray:
    """Compute the density of synapses, from 0 outside to 1 at their centre, ``(*spatial)``."""
    density = np.zeros(plane.cell.shape, np.float32)
    extent = np.array(SYNAPSE_EXTENT, np.float32)[:, None, None]
    depth, edge = float(plane.points[2, 0, 0]), np.abs(plane.wall)
    for centre in phantom.synapses[np.abs(phantom.synapses[:, 2] - depth) < SYNAPSE_EXTENT[2]].astype(np.float32):
        squared = np.square((plane.points - centre[:, None, None]) / extent).sum(0)
        nearest = np.unravel_index(squared.argmin(), squared.shape)
        presynaptic = plane.cell == plane.cell[nearest]
        reach = presynaptic * SYNAPSE_THICKNESS * np.sqrt(np.maximum(1 - squared, 0))
        density = np.maximum(density, np.clip((reach - edge) / 3, 0, 1))
    return density


def draw_section(
    phantom: Phantom, field: np.ndarray, depth: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one section.

    Args:
        phantom: block of tissue.
        field: displacement from the section's grid into the phantom's plane, ``(*spatial, 2)``, pixels.
        depth: compressed depth of the plane.
        generator: random generator for what differs between sections.

    Returns:
        The image ``(*spatial)``, float32 in [0, 1], and its labels, uint8.
    """
    plane = cut(phantom, field, depth)
    organelles = mitochondria_in(phantom, plane)
    synapse = synapses_in(phantom, plane)

    label = np.full(plane.cell.shape, INTRACELLULAR, np.uint8)
    label[organelles[0] <= 1] = MITOCHONDRIA
    label[plane.glia > 0] = GLIA
    label[np.abs(plane.wall) < plane.membrane] = MEMBRANE
    label[synapse > 0.3] = SYNAPSE
    return acquire(stain(phantom, plane, organelles, synapse, generator), generator), label


def stain(
    phantom: Phantom,
    plane: Plane,
    organelles: tuple[np.ndarray, np.ndarray],
    synapse: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Render the brightness of all structures, without blur and noise, ``(*spatial)``."""
    image = BRIGHTNESS["cytoplasm"] + phantom.cells.brightness.astype(np.float32)[plane.cell]
    image += granules_in(phantom, plane, generator)
    image = np.where(plane.glia > 0, BRIGHTNESS["glia"], image)
    image = np.where(organelles[0] <= 1, cristae(*organelles, generator), image)
    membrane = np.exp(-0.5 * np.square(plane.wall / (0.7 * plane.membrane)))
    image += membrane * (BRIGHTNESS["membrane"] - image)
    image += synapse * (BRIGHTNESS["synapse"] - image)
    return image


def acquire(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Simulate image acquisition: blur, grain and contrast; returns ``(*spatial)``, float32 in [0, 1]."""
    image = ndimage.gaussian_filter(image, POINT_SPREAD)
    for scale, strength in GRAIN:
        image += np.float32(strength) * smooth_noise(image.shape, (scale, scale), generator).astype(np.float32)
    gain = 1 + GAIN * generator.standard_normal()
    return np.clip(0.5 + gain * (image - 0.5), 0, 1).astype(np.float32)


def granules_in(phantom: Phantom, plane: Plane, generator: np.random.Generator) -> np.ndarray:
    """Draw vesicles, as rings of 40 nm, and cross-sections of filaments as darkening: at most 0, ``(*spatial)``."""
    room = plane.wall > plane.membrane + 3
    chance = generator.random(plane.cell.shape)
    dots = (chance > 1 - FILAMENTS) & room
    rings = (chance < phantom.cells.vesicles[plane.cell]) & room
    shadow = blur(dots, 1.8) * 0.35 + (blur(rings, 2.6) - blur(rings, 1.6)) * 1.1
    return -np.minimum(shadow, 0.35)


def blur(spots: np.ndarray, scale: float) -> np.ndarray:
    """Place a Gaussian of height 1 at every pixel of a mask."""
    return ndimage.gaussian_filter(spots.astype(np.float32), scale) * np.float32(2 * np.pi * scale**2)


def cristae(radius: np.ndarray, phase: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Brightness inside mitochondria, a dark rim and transverse folds, ``(*spatial)``."""
    folds = 0.1 * np.cos(phase + 2.0 * smooth_noise(radius.shape, (12, 12), generator))
    rim = np.exp(-0.5 * np.square((1 - np.minimum(radius, 1)) / 0.07))
    return (BRIGHTNESS["mitochondria"] + folds - 0.15 * rim).astype(np.float32)


def draw_warp(size: int, generator: np.random.Generator) -> np.ndarray:
    """Draw the warp of a section, ``(size, size, 2)``, float32, pixels; its statistics do not depend on the size."""
    margin = 8  # spline interpolation flattens the field near the ends of its grid
    coarse, part = (n // WARP_STRIDE + 1 + 2 * margin for n in (max(size, WARP_EXTENT), size))
    field = random_warp((coarse, coarse), (WARP_STRIDE, WARP_STRIDE), WARP_SCALES, WARP_AMPLITUDES, generator)
    zoom = (WARP_STRIDE * (part - 1) + 1) / part
    inner = slice(WARP_STRIDE * margin, WARP_STRIDE * margin + size)
    fine = [ndimage.zoom(field[:part, :part, axis], zoom, order=3)[inner, inner] for axis in range(2)]
    return WARP_STRIDE * np.stack(fine, axis=-1).astype(np.float32)


def draw_stack(
    size: int, sections: int, generator: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Draw neighbouring sections of one phantom.

    Args:
        size: rows and columns, a multiple of 8.
        sections: number of sections.
        generator: random generator.

    Returns:
        For each section the image (float32 in [0, 1]), labels (uint8) and field (float32, ``(size, size, 2)``, pixels).
    """
    phantom = draw_phantom(size, sections, generator)
    fields = [draw_warp(size, generator) for _ in range(sections)]
    return [(*draw_section(phantom, f, STEP * i, generator), f) for i, f in enumerate(fields)]


def bin_section(image: np.ndarray, label: np.ndarray, field: np.ndarray, factor: int) -> dict[str, np.ndarray]:
    """Average blocks of pixels, as is common before registration: noise decreases and membranes stay visible.

    Args:
        image: ``(rows, columns)``.
        label: ``(rows, columns)``; a block gets its most frequent label, the lowest in a tie.
        field: ``(rows, columns, 2)``, pixels; the result is in pixels of the coarser grid.
        factor: pixels per block along each axis.
    """
    shares = np.stack([block_mean((label == k).astype(np.float32), factor) for k in LABELS])
    return {
        "image": block_mean(image, factor).astype(np.float32),
        "label": np.array(list(LABELS), np.uint8)[shares.argmax(0)],
        "field": np.stack([block_mean(u, factor) for u in np.moveaxis(field, -1, 0)], -1).astype(np.float32) / factor,
    }


def make(
    folder: Path,
    *,
    seed: int,
    size: int = 256,
    binning: int = 2,
    sections: int = 2,
    train: int = 48,
    val: int = 8,
    test: int = 24,
) -> None:
    """Write the raw dataset folder atomically.

    Args:
        folder: folder to create.
        seed: random seed; equal seeds give equal bytes.
        size: rows and columns of a section before binning, in pixels of 4.6 nm, a multiple of 8.
        binning: binning factor along each axis; 1, 2 or 4.
        sections: number of sections per stack; neighbours are paired, in both directions.
        train: number of training stacks.
        val: number of validation stacks.
        test: number of test stacks, which are the independent units of the test.

    Raises:
        ValueError: if the size is not a multiple of 8 or less than 64, the binning is not 1, 2 or 4, there are fewer
            than two sections, or a split has no stack.
    """
    if size < 64 or size % BLOCK or binning not in (1, 2, 4) or sections < 2 or min(train, val, test) < 1:
        msg = (
            f"cells: size {size}, binning {binning}, sections {sections}, train {train}, val {val}, test {test}: give "
            f"a size that is a multiple of {BLOCK} and at least 64, a binning of 1, 2 or 4, at least 2 sections, and "
            "at least 1 stack for each split"
        )
        raise ValueError(msg)
    counts = {"train": train, "val": val, "test": test}
    stacks = [(split, number) for split, count in counts.items() for number in range(count)]
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        shape = {"size": size, "binning": binning, "sections": sections}
        rows = [row for split, number in stacks for row in write_stack(temporary, split, number, seed, **shape)]
        write_tables(temporary, describe(binning), rows, neighbours(rows))


def write_stack(
    folder: Path, split: str, number: int, seed: int, *, size: int, binning: int, sections: int
) -> list[dict[str, str | int]]:
    """Draw a stack, write its files and return its rows of ``images.csv``."""
    # seeded by stack, so that it does not depend on the number of stacks
    generator = np.random.default_rng([seed, SPLITS.index(split), number])
    group = f"{split}{number:02d}"
    place = {"split": split, "group": group, "subject": group}
    rows: list[dict[str, str | int]] = []
    for position, section in enumerate(draw_stack(size, sections, generator)):
        files = write_sample(folder, f"{group}-z{position}", (binning * SPACING,) * 2, **bin_section(*section, binning))
        rows.append({**files, **place, "position": position})
    return rows


def neighbours(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Pair neighbouring sections of each stack, in both directions."""
    adjacent = [(a, b) for a, b in pairwise(rows) if a["group"] == b["group"]]
    both = [pair for a, b in adjacent for pair in ((a, b), (b, a))]
    return [{"split": m["split"], "moving": m["id"], "fixed": f["id"]} for m, f in both]


def describe(binning: int) -> dict[str, Any]:
    """Return the content of ``dataset.yaml``."""
    return {
        "name": "cells",
        "description": (
            "Simulated sections of nerve tissue as in serial-section electron microscopy, cut from 3D phantoms and "
            "warped; neighbouring sections are registered."
        ),
        "spatial_dims": 2,
        "spacing": [binning * SPACING] * 2,
        "spacing_unit": "nm",
        "labels": dict(LABELS),
        "evaluate": list(LABELS),
        "background": None,
        "modality": "simulated transmission electron microscopy",
        "intensity": {"rule": "range", "low": 0, "high": 65535},
        "stress_test": False,
        "pairs": {"within": "group", "max_gap": 1},
        "licence": "CC0-1.0",
        "source": "simulated by this project",
        "citation": "calibrated to Gerhard et al., figshare, 10.6084/m9.figshare.856713",
        "note": NOTE,
    }
