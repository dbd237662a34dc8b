"""Simulated subjects from the MNI152 template: slices, volumes, parcellation and warps.

Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 2011,
doi:10.1016/j.neuroimage.2010.07.033. Nothing is downloaded: nilearn includes the skull-stripped T1 image and the
probability maps of grey and white matter at 1 mm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import ndimage

from likeness.datasets.simulate.fields import bias_field, block_mean, one_thread, pull, random_warp, rician, squarings
from likeness.datasets.simulate.parcellation import hemispheric_parcels
from likeness.datasets.simulate.views import PIXEL, PLANE, shape

ORIGIN = (-98.0, -134.0, -72.0)
"""Coordinates in mm of the template's first voxel: x to the right, y to the front, z to the top."""

SCALES = (32.0, 16.0, 8.0, 4.0)
"""Length scales of the warps in mm; several are mixed, so that methods that favour one are not at an advantage."""

AMPLITUDES = (3.0, 2.5, 1.8, 0.8)
"""Root mean square amplitude of each scale in mm."""

FINE = 2
"""Ratio of the template's resolution to that of a volume; templates of slices have pixels of 1 mm."""

BLUR = 0.42
"""Standard deviation, in voxels, of the Gaussian that best approximates averaging over a voxel."""

SMALLEST = 120.0
"""Minimum size of a labelled region: mm² in a slice, mm³ in a volume."""


@dataclass(frozen=True)
class Template:
    """The template over the field of view of an image, ``fine`` times finer than the image's grid.

    Attributes:
        t1: intensity inside the brain, extrapolated slightly beyond its edge.
        tissue: ``(3, *fine)``, fractions of cerebrospinal fluid, grey and white matter within the brain.
        brain: fraction of brain.
        fluid: ventricles and cisterns.
        labels: int16.
        points: ``(*fine, dims)``, coordinates in mm.
        spacing: voxel size of the image in mm.
        fine: ratio of the resolutions.
    """

    t1: np.ndarray
    tissue: np.ndarray
    brain: np.ndarray
    fluid: np.ndarray
    labels: np.ndarray
    points: np.ndarray
    spacing: tuple[float, ...]
    fine: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape of an image."""
        return tuple(n // self.fine for n in self.t1.shape)


@dataclass(frozen=True)
class Brain:
    """A simulated brain on the image's grid.

    Attributes:
        image: intensity of the brain without surroundings, in [0, 1].
        brain: fraction of brain in each voxel.
        labels: int16.
        field: ``(*spatial, dims)`` in voxels, with brain(x) = template(x + field(x)).
    """

    image: np.ndarray
    brain: np.ndarray
    labels: np.ndarray
    field: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Voxels of which at least half is brain."""
        return self.brain >= 0.5


@cache
def volumes() -> np.ndarray:
    """Load T1, grey matter, white matter and brain mask at 1 mm, ``(4, 197, 233, 189)``, float32 in [0, 1]."""
    from nilearn import datasets

    loaders = (
        datasets.load_mni152_template,
        datasets.load_mni152_gm_template,
        datasets.load_mni152_wm_template,
        datasets.load_mni152_brain_mask,
    )
    return np.stack([load(resolution=1).get_fdata(dtype=np.float32) for load in loaders])


def axial(z: int, pixel: int = PIXEL) -> tuple[np.ndarray, np.ndarray]:
    """Cut an axial slice, oriented as a picture with the front at the top and left at the left.

    Args:
        z: height in mm in the template's space.
        pixel: pixel size of an image in mm; the slice is a whole number of these wide.

    Returns:
        The four maps of :func:`volumes` over the slice at 1 mm, ``(4, rows, columns)``, and the x and y coordinates in
        mm, ``(rows, columns, 2)``.
    """
    rows, columns = (n * pixel for n in shape(PLANE, pixel))
    x = np.arange(columns) - columns // 2
    y = 94 - np.arange(rows)
    i, j = x - int(ORIGIN[0]), y - int(ORIGIN[1])
    maps = volumes()[:, :, :, z - int(ORIGIN[2])]
    points = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1).astype(float)
    return maps[:, i[None, :], j[:, None]], points


def slice_name(z: int) -> str:
    """Return the name of the slice at a height in mm, which is also that of the group of its subjects."""
    return f"z{z:+d}"


def slice_height(name: str) -> float:
    """Return the height in mm of a slice from its :func:`slice_name`."""
    return float(name.removeprefix("z"))


def slice_templates(heights: Sequence[int], grey: int, white: int, pixel: int = PIXEL) -> dict[str, Template]:
    """Return templates of axial slices by name, parcellated jointly, so that labels correspond between slices.

    The parcels are cells in the plane after the brain of every slice is scaled to unit width and length.

    Args:
        heights: z of each slice in mm.
        grey: number of grey matter parcels on each side.
        white: number of white matter parcels on each side.
        pixel: pixel size of an image in mm.
    """
    cut = [axial(z, pixel) for z in heights]
    maps = np.stack([each for each, _ in cut])
    points = cut[0][1]
    scaled = np.stack([_to_unit_box(points, each[3] > 0) for each in maps])
    fluid = np.stack([inner_fluid(each[0], each[3] > 0, 1.0) for each in maps])
    labels = tissue_parcels(maps[:, 1], maps[:, 2], maps[:, 3] > 0, fluid, scaled, (grey, white))
    spacing = (float(pixel),) * 2
    return {
        slice_name(z): _template(maps[n], fluid[n], _drop_small(labels[n], SMALLEST), points, spacing, pixel)
        for n, z in enumerate(heights)
    }


def volume_template(shape: Sequence[int], spacing: float, grey: int, white: int) -> Template:
    """Return the template of a whole brain, centred in a grid of the given shape and spacing in mm."""
    step = spacing / FINE
    mask = volumes()[3] > 0
    axes = []
    for axis, n in enumerate(shape):
        inside = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        axes.append((inside[0] + inside[-1]) / 2 + (np.arange(FINE * n) - (FINE * n - 1) / 2) * step)
    where = np.stack(np.meshgrid(*axes, indexing="ij"))
    smooth = (ndimage.gaussian_filter(each, BLUR * step) for each in volumes())
    maps = np.stack([ndimage.map_coordinates(each, where, order=1, cval=0.0) for each in smooth])
    points = np.moveaxis(where, 0, -1) + np.array(ORIGIN)
    inside = maps[3] > 0.5
    fluid = inner_fluid(maps[0], inside, step)
    labels = tissue_parcels(maps[1], maps[2], inside, fluid, points, (grey, white))
    return _template(maps, fluid, labels, points, (spacing,) * 3, FINE)


def inner_fluid(t1: np.ndarray, mask: np.ndarray, step: float) -> np.ndarray:
    """Find ventricles and cisterns: dark regions at least 15 mm inside the brain, large enough for a label.

    Args:
        t1: intensity, at most 1.
        mask: brain mask.
        step: voxel size in mm.

    Returns:
        Boolean, the shape of ``mask``.
    """
    deep = ndimage.distance_transform_edt(mask) * step > 15.0
    pieces, _ = ndimage.label(deep & (t1 < 0.5))
    return _drop_small(pieces, SMALLEST / step**mask.ndim) > 0


def tissue_parcels(
    grey: np.ndarray,
    white: np.ndarray,
    mask: np.ndarray,
    fluid: np.ndarray,
    points: np.ndarray,
    counts: tuple[int, int],
) -> np.ndarray:
    """Label parcels of grey matter, then of white matter, each left then right, and finally the fluid.

    Args:
        grey: fraction of grey matter; all maps have one shape.
        white: fraction of white matter.
        mask: brain mask.
        fluid: result of :func:`inner_fluid`.
        points: coordinates ``(*shape, dims)``, the first one negative on the left.
        counts: number of grey and white matter parcels on each side.

    Returns:
        int16; the names are :func:`label_names`.
    """
    solid = mask & ~fluid & (grey + white > 0.5)
    labels = np.zeros(mask.shape, np.int16)
    start = 0
    for region, count in ((solid & (grey >= white), counts[0]), (solid & (grey < white), counts[1])):
        parcels = hemispheric_parcels(region, points, count)
        labels[region] = start + parcels[region]
        start += 2 * count
    labels[fluid] = start + 1
    return labels


def label_names(grey: int, white: int) -> dict[int, str]:
    """Return the names of the labels of :func:`tissue_parcels`; parcels are numbered from front to back."""
    names = ["background"]
    for tissue, count in (("grey matter", grey), ("white matter", white)):
        names += [f"{tissue} {side} {n}" for side in ("left", "right") for n in range(1, count + 1)]
    return dict(enumerate([*names, "ventricles and cisterns"]))


def simulate_brain(template: Template, generator: np.random.Generator) -> Brain:
    """Draw a brain: the template warped at several scales, with dilated ventricles and random contrast."""
    field = _anatomy(template, generator)
    t1, csf, grey, white, brain = pull(
        np.concatenate([template.t1[None], template.tissue, template.brain[None]]), field, template.fine
    )
    labels = pull(template.labels[None], field, template.fine, nearest=True)[0].astype(np.int16)
    shift = generator.normal(0.0, 0.04, 3)
    contrast = np.clip(t1 + shift[0] * csf + shift[1] * grey + shift[2] * white, 0.0, 1.0)
    return Brain(0.8 * contrast ** generator.uniform(0.75, 1.35), brain, labels, field)


def acquire(image: np.ndarray, spacing: Sequence[float], generator: np.random.Generator) -> np.ndarray:
    """Simulate image acquisition: apply an intensity bias and Rician noise to an image in [0, 1].

    The noise level is for voxels of 2 mm; larger voxels average several, so their noise decreases with the square root
    of the volume. Slices are assumed to be 2 mm thick.
    """
    bias = bias_field(image.shape, spacing, generator, scale=40.0, strength=generator.uniform(0.05, 0.12))
    averaged = np.prod(np.asarray(spacing) / 2.0)
    return np.clip(rician(image * bias, generator.uniform(0.01, 0.025) / np.sqrt(averaged), generator), 0.0, 1.0)


def describe(template: Template, names: Mapping[int, str]) -> dict[str, Any]:
    """Return the entries of ``dataset.yaml`` that depend on the template only."""
    return {
        "spatial_dims": len(template.shape),
        "spacing": list(template.spacing),
        "spacing_unit": "mm",
        "labels": dict(names),
        "evaluate": [n for n in names if n != 0],
        "kinds": {kind: [n for n in names if names[n].startswith(kind)] for kind in ("grey matter", "white matter")},
        "background": 0,
        "modality": "simulated T1-weighted magnetic resonance",
        "intensity": {"rule": "range", "low": 0, "high": 65535},
        "stress_test": True,
        "licence": "free to use, copy and distribute; Copyright (C) 1993-2009 Louis Collins, McGill University",
        "source": "MNI152 nonlinear symmetric 2009a, as it ships with nilearn",
        "citation": "Fonov et al., NeuroImage 2011, 10.1016/j.neuroimage.2010.07.033",
    }


def _anatomy(template: Template, generator: np.random.Generator) -> np.ndarray:
    """Draw the displacement ``(*spatial, dims)`` in voxels from an image's grid into the template."""
    from likeness.geometry import compose, integrate, to_array, to_tensor

    warp = random_warp(template.shape, template.spacing, SCALES, AMPLITUDES, generator)
    millimetres = generator.uniform(-1.5, 5.0)
    step = np.array(template.spacing)
    near = ndimage.gaussian_filter(block_mean(template.fluid.astype(float), template.fine), 6.0 / step)
    pull_in = np.stack(np.gradient(near, *step), axis=-1)
    strongest = np.linalg.norm(pull_in, axis=-1).max()
    if strongest == 0:
        return warp
    # a pull-back displacement towards the ventricle enlarges the ventricle
    velocity = pull_in / strongest * millimetres / step
    with one_thread():
        dilation = integrate(to_tensor(velocity), squarings(velocity))
        return to_array(compose(dilation, to_tensor(warp)))


def _template(
    maps: np.ndarray,
    fluid: np.ndarray,
    labels: np.ndarray,
    points: np.ndarray,
    spacing: tuple[float, ...],
    fine: int,
) -> Template:
    """Blur the maps to the resolution of an image, and extrapolate the intensities beyond the edge of the brain."""
    inside = maps[3] > 0.5
    t1, grey, white, brain = (ndimage.gaussian_filter(each * inside, BLUR * fine) for each in (*maps[:3], inside))
    weight = np.maximum(brain, 0.05)
    grey, white = grey / weight, white / weight
    tissue = np.stack([np.clip(1 - grey - white, 0, 1), grey, white])
    # the darkest voxel of the template's brain has .2 of the maximum intensity
    t1 = np.clip((t1 / weight - 0.2) / 0.8, 0.0, 1.0)
    return Template(t1, tissue, brain, fluid, labels, points, spacing, fine)


def _to_unit_box(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Scale points so that the mask has unit width and length; the midline stays at 0."""
    inside = points[mask]
    low, high = inside.min(axis=0), inside.max(axis=0)
    middle = np.array([0.0, (low[1] + high[1]) / 2])
    return (points - middle) / (high - low)


def _drop_small(labels: np.ndarray, smallest: float) -> np.ndarray:
    """Set labels with fewer than ``smallest`` voxels to 0."""
    sizes = np.bincount(labels.ravel())
    return np.where(sizes[labels] < smallest, 0, labels)
