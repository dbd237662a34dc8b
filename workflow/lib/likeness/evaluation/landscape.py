"""Loss landscape: values of a loss along lines through a known registration, without any training.

After Škerl, Likar and Pernuš, A protocol for evaluation of similarity measures for rigid registration, IEEE TMI 2006,
doi:10.1109/TMI.2006.874963. There, a line runs through the reference in the space of rigid parameters, normalised such
that one unit of each moves the image equally. Here it runs through the true displacement u of a pair in the space of
displacements, ``u + d · p``, where p is a translation, a rotation, a scaling or a smooth deformation with mean length 1
in the dataset's unit: the distance d from the reference is the mean end-point error, for every kind of line.

The moving image is also shifted along each axis by whole and half voxels: interpolation smooths it between voxels but
not on them, which affects many losses (Pluim, Maintz and Viergever, Interpolation artefacts in mutual information-based
image registration, CVIU 2000, doi:10.1006/cviu.1999.0816).

:mod:`likeness.statistics.landscape` computes measures from the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likeness.data.loading import Loader
from likeness.data.pairs import evenly_spaced
from likeness.data.store import Dataset, Sample
from likeness.datasets.simulate.fields import one_thread, smooth_noise
from likeness.evaluation.pair import PrimaryScorer
from likeness.geometry import identity_grid, to_tensor
from likeness.losses.base import Registration, SimilarityLoss
from likeness.training.randomness import generator

TRUE_FIELD = "true field"
SAME_SUBJECT = "same subject"
SAME_IMAGE = "same image"
NOISE = 0.02
"""Standard deviation of the noise between an image and its copy, for references of the kind :data:`SAME_IMAGE`."""
COLUMNS = ["reference", "pair", "transform", "line", "distance", "value", "unit"]
"""Columns that describe a point of a line."""
GRID = "grid"
"""Kind of line for shifts by whole and half voxels."""
VOXELS = 3
"""Maximum of such shifts, to each side."""
WAVES = 0.4
"""Standard deviation of the Gaussian that smooths a deformation, relative to the size of the foreground; see
:func:`content_size`."""

Line = Callable[[float], Tensor]
"""Function that returns the displacement ``(1, dims, *spatial)`` in voxels at a distance from the reference."""


@dataclass(frozen=True)
class Sampling:
    """Sampling of the landscape, from the block ``landscape`` of a study.

    Attributes:
        pairs: maximum number of test pairs.
        lines: number of lines of each kind through the reference of each pair.
        steps: number of points on each side of the reference.
        extent: largest distance from the reference, relative to the size of the foreground; see :func:`content_size`.
    """

    pairs: int
    lines: int
    steps: int
    extent: float


@dataclass(frozen=True)
class Reference:
    """A pair with a known registration.

    Attributes:
        kind: how it is known: :data:`TRUE_FIELD`, :data:`SAME_SUBJECT` or :data:`SAME_IMAGE`.
        moving: id of the moving image.
        fixed: id of the fixed image.
        displacement: true displacement, ``(1, dims, *spatial)``, in voxels.
        content: foreground of the fixed image, over which distances are averaged, ``(*spatial)``, bool.
    """

    kind: str
    moving: str
    fixed: str
    displacement: Tensor
    content: np.ndarray


def references(dataset: Dataset, count: int) -> list[Reference]:
    """Find test pairs with a known registration, in the best way that the dataset allows.

    1. Both images have a true field to the same space: the displacement that follows from them.
    2. The fixed image and one of the same subject, with the modality of the moving image, have equal label maps, so
    they
       show the same anatomy at the same place: zero displacement.
    3. The fixed image and a noisy copy of it: zero displacement. This is the easiest task, because the noise of the
       original image matches, too.

    Args:
        dataset: prepared dataset.
        count: maximum number of pairs, evenly spaced over the test pairs.
    """
    pairs = dataset.pairs_of("test")
    if found := [reference for pair in evenly_spaced(pairs, count) if (reference := _true_field(dataset, *pair))]:
        return found
    # the moving image is replaced by one of the fixed image's subject, so each fixed image is needed only once
    wanted = dict.fromkeys((dataset.images.modality[moving], fixed) for moving, fixed in pairs)
    if found := [reference for one in evenly_spaced([*wanted], count) if (reference := _same_subject(dataset, *one))]:
        return found
    names = dict.fromkeys(fixed for _, fixed in pairs)
    return [_at_rest(dataset, SAME_IMAGE, name, name) for name in evenly_spaced([*names], count)]


def _true_field(dataset: Dataset, moving: str, fixed: str) -> Reference | None:
    with one_thread():
        truth = PrimaryScorer(dataset, dataset.load(moving), dataset.load(fixed)).truth
    if truth is None or not truth.counterpart.any():
        return None
    return Reference(TRUE_FIELD, moving, fixed, to_tensor(truth.displacement), truth.counterpart)


def _same_subject(dataset: Dataset, modality: str, fixed: str) -> Reference | None:
    table, label = dataset.images, dataset.load(fixed).label
    subject = table.subject[fixed]
    if label is None or not subject or modality == table.modality[fixed]:
        return None
    for name in table.index[(table.subject == subject) & (table.modality == modality)]:
        other = dataset.load(name).label
        if other is not None and np.array_equal(other, label):
            return _at_rest(dataset, SAME_SUBJECT, name, fixed)
    return None


def _at_rest(dataset: Dataset, kind: str, moving: str, fixed: str) -> Reference:
    displacement = torch.zeros(1, dataset.spatial_dims, *dataset.shape)
    return Reference(kind, moving, fixed, displacement, _content(dataset, dataset.load(fixed)))


def _content(dataset: Dataset, sample: Sample) -> np.ndarray:
    """Return the foreground of an image: its mask, its labels, or the whole image, ``(*spatial)``, bool."""
    background = dataset.meta.get("background")
    for content in (
        sample.mask,
        sample.label != background if sample.label is not None and background is not None else None,
    ):
        if content is not None and content.any():
            return content
    return np.ones(dataset.shape, bool)


def content_size(content: np.ndarray, spacing: Sequence[float]) -> float:
    """Return the mean distance of the foreground ``(*spatial)``, bool, from its centre, in the unit of ``spacing``."""
    points = np.argwhere(content) * np.asarray(spacing)
    return float(np.linalg.norm(points - points.mean(0), axis=1).mean())


class Directions:
    """Draw lines through the reference of one pair.

    Each is scaled such that the displacement at distance d has mean length d over the foreground, in the dataset's
    unit.

    Args:
        content: foreground, ``(*spatial)``, bool, not empty.
        spacing: voxel size along each axis.
    """

    def __init__(self, content: np.ndarray, spacing: Sequence[float]) -> None:
        self.content = torch.from_numpy(content)
        self.shape, self.dims = content.shape, content.ndim
        self.spacing = np.asarray(spacing, dtype=float)
        self.size = content_size(content, spacing)
        self.voxel = torch.tensor(self.spacing, dtype=torch.float32).view(-1, *[1] * self.dims)
        self.points = identity_grid(self.content[None, None].float())[0] * self.voxel
        self.inside = self.points[:, self.content]

    def line(self, transform: str, source: np.random.Generator) -> Line:
        """Draw a line of one of the kinds :data:`TRANSFORMS`."""
        return TRANSFORMS[transform](self, source)

    def _straight(self, physical: Tensor) -> Line:
        """Return the line along a displacement ``(dims, *spatial)`` in the dataset's unit, normalised."""
        unit = (physical / physical[:, self.content].norm(dim=0).mean() / self.voxel)[None]
        return lambda distance: distance * unit

    def translation(self, source: np.random.Generator) -> Line:
        """Draw a translation in a random direction."""
        return self._straight(self._vector(source).expand_as(self.points).clone())

    def scaling(self, source: np.random.Generator) -> Line:
        """Draw a scaling about the centre of the foreground, with a random factor for each axis."""
        centre = self.inside.mean(1).view_as(self.voxel)
        return self._straight(self._vector(source) * (self.points - centre))

    def deformation(self, source: np.random.Generator) -> Line:
        """Draw a smooth random field with zero mean over the foreground."""
        sigma = WAVES * self.size / self.spacing
        field = torch.from_numpy(np.stack([smooth_noise(self.shape, sigma, source) for _ in self.shape])).float()
        return self._straight(field - field[:, self.content].mean(1).view_as(self.voxel))

    def rotation(self, source: np.random.Generator) -> Line:
        """Draw a rotation about a random voxel of the foreground; in 3D about a random axis through it."""
        centre = self.inside[:, int(source.integers(self.inside.shape[1]))].view_as(self.voxel)
        arm = self.points - centre
        axis = self._vector(source) if self.dims == 3 else None
        if axis is not None:
            arm = arm - axis * (axis * arm).sum(0, keepdim=True)
            turned = torch.linalg.cross(axis.expand_as(arm), arm, dim=0)
        else:
            turned = torch.stack([-arm[1], arm[0]])
        reach = float(arm[:, self.content].norm(dim=0).mean())

        def at(distance: float) -> Tensor:
            # a rotation by angle a moves a point at radius r by 2 r sin(a / 2)
            angle = 2 * math.asin(max(-1.0, min(1.0, distance / (2 * reach))))
            return ((arm * (math.cos(angle) - 1) + turned * math.sin(angle)) / self.voxel)[None]

        return at

    def _vector(self, source: np.random.Generator) -> Tensor:
        """Draw a uniformly distributed direction, a unit vector ``(dims, 1, …)``."""
        drawn = source.standard_normal(self.dims)
        return torch.tensor(drawn / np.linalg.norm(drawn), dtype=torch.float32).view_as(self.voxel)


TRANSFORMS: dict[str, Callable[[Directions, np.random.Generator], Line]] = {
    "translation": Directions.translation,
    "rotation": Directions.rotation,
    "scaling": Directions.scaling,
    "deformation": Directions.deformation,
}
"""Kinds of lines, in the order of tables and figures."""


def registration(loader: Loader, reference: Reference, seed: int) -> Registration:
    """Load a pair at its true displacement; noise is added to the fixed image of a pair of equal images."""
    dataset, moving, fixed = loader.dataset, [reference.moving], [reference.fixed]
    images = loader.images(moving), loader.images(fixed)
    if reference.kind == SAME_IMAGE:
        # in the fixed image, because in the moving one it would be smoothed everywhere except at the reference
        noise = torch.randn(images[1].shape, generator=generator("cpu", seed, 5))
        images = images[0], (images[1] + NOISE * noise.to(images[1])).clamp(0, 1)
    return Registration(
        *images,
        reference.displacement.to(loader.device),
        moving_label_map=loader.labels(moving),
        fixed_label_map=loader.labels(fixed),
        moving_mask=loader.masks(moving),
        fixed_mask=loader.masks(fixed),
        moving_unmatched=loader.unmatched(moving),
        fixed_unmatched=loader.unmatched(fixed),
        classes=len(loader.ids),
        spacing=dataset.spacing,
    )


def _complete(pair: Registration, needs: Collection[str]) -> bool:
    labelled = pair.moving_label_map is not None and pair.fixed_label_map is not None
    marked = pair.moving_unmatched is not None or pair.fixed_unmatched is not None
    there = {"mask": pair.mask is not None, "label": labelled, "labels": labelled, "unmatched": marked}
    return all(there[part] for part in needs)


def value(loss: SimilarityLoss, pair: Registration, displacement: Tensor, seed: int) -> float:
    """Return the loss of one pair at a displacement; equal seeds give equal noise in the loss."""
    device = pair.moving.device
    with torch.no_grad():
        moved = replace(pair, displacement=displacement.to(device), generator=generator(device, seed, 2))
        return loss(moved).item()


def sampled(
    dataset: Dataset,
    loss: SimilarityLoss,
    sampling: Sampling,
    seed: int,
    needs: Collection[str] = (),
    device: Any = "cpu",
) -> Iterator[dict[str, Any]]:
    """Sample a loss along lines through the references of a dataset.

    The lines depend on dataset, sampling and seed only, so they are the same for every loss.

    Args:
        dataset: prepared dataset.
        loss: loss on ``device``.
        sampling: numbers of pairs, lines and points.
        seed: seed of lines and noise.
        needs: parts that the loss requires, of ``mask``, ``label``, ``labels`` and ``unmatched``; pairs without them
            are skipped, which occurs because the applicability of a loss is decided on training and validation images.
        device: device of the computation.

    Yields:
        A row per point, with the keys :data:`COLUMNS`: ``line`` is numbered for each pair and transform, ``distance``
        is in ``unit``, with the side as sign. For the transform :data:`GRID`, a line is an axis.
    """
    loader = Loader(dataset, device)
    for number, reference in enumerate(references(dataset, sampling.pairs)):
        pair = registration(loader, reference, seed)
        if not _complete(pair, needs):
            continue
        who = {"reference": reference.kind, "pair": f"{reference.moving}>{reference.fixed}"}
        at = partial(value, loss, pair, seed=seed)
        for transform, line, distance, found in (
            *_lines(at, reference, dataset, sampling, seed, number),
            *_shifts(at, dataset),
        ):
            where = {"transform": transform, "line": line, "distance": distance}
            yield {**who, **where, "value": found, "unit": dataset.spacing_unit}


At = Callable[[Tensor], float]
"""Function that returns the loss of one pair at a displacement."""
Point = tuple[str, int, float, float]
"""Transform, line, distance and value."""


def _lines(
    at: At, reference: Reference, dataset: Dataset, sampling: Sampling, seed: int, number: int
) -> Iterator[Point]:
    """Sample the loss of a pair along lines through its reference."""
    directions = Directions(reference.content, dataset.spacing)
    side = np.arange(1, sampling.steps + 1) * (sampling.extent * directions.size / sampling.steps)
    centre = at(reference.displacement)
    for kind, transform in enumerate(TRANSFORMS):
        for index in range(sampling.lines):
            line = directions.line(transform, np.random.default_rng([seed, number, kind, index]))
            found = {d: at(reference.displacement + line(d)) for d in (*-side[::-1], *side)}
            for distance, there in sorted({**found, 0.0: centre}.items()):
                yield transform, index, distance, there


def _shifts(at: At, dataset: Dataset) -> Iterator[Point]:
    """Sample the loss of a pair with the moving image shifted by whole and half voxels."""
    still = torch.zeros(1, dataset.spatial_dims, *dataset.shape)
    for axis, size in enumerate(dataset.spacing):
        for halves in range(-2 * VOXELS, 2 * VOXELS + 1):
            shift = still.clone()
            shift[:, axis] = halves / 2
            yield GRID, axis, halves / 2 * size, at(shift)
