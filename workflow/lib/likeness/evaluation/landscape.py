"""What a loss says around the truth: its values along lines through a known registration, without training anything.

After Škerl, Likar and Pernuš, A protocol for evaluation of similarity measures for rigid registration, IEEE TMI 2006,
doi:10.1109/TMI.2006.874963. There a line runs through the reference in the space of rigid parameters, normalised
so that a unit of each moves the image alike. Here it runs through the true displacement u of a pair in the space of
displacements, ``u + d · p``, where p is a translation, a rotation, a scaling or a smooth deformation whose mean length
is 1 in the dataset's unit: the distance d from the reference is the mean end-point error, for every kind of line.

The moving image is also shifted along each axis by whole and half voxels from where it lies: interpolation smooths it
half-way between voxels and not on them, which many losses see (Pluim, Maintz and Viergever, Interpolation artefacts in
mutual information-based image registration, CVIU 2000, doi:10.1006/cviu.1999.0816).

What the measures make of the values is in :mod:`likeness.statistics.landscape`.
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
"""Standard deviation of the noise that tells an image from itself, where nothing better is known."""
COLUMNS = ["reference", "pair", "transform", "line", "distance", "value", "unit"]
"""What a point of a line is described by."""
GRID = "grid"
"""What the table calls shifts by whole and half voxels."""
VOXELS = 3
"""Such shifts go so far, to either side."""
WAVES = 0.4
"""Width of the Gaussian that smooths a deformation, relative to the size of the content; see :func:`content_size`."""

Line = Callable[[float], Tensor]
"""Gives the displacement ``(1, dims, *spatial)``, voxels, at a distance from the reference."""


@dataclass(frozen=True)
class Sampling:
    """How densely the surroundings of the truth are sampled, as the block ``landscape`` of a study says.

    Attributes:
        pairs: of the test split, at most.
        lines: through the reference of each pair, of each kind.
        steps: on either side of the reference.
        extent: the largest distance from it, relative to the size of the content; see :func:`content_size`.
    """

    pairs: int
    lines: int
    steps: int
    extent: float


@dataclass(frozen=True)
class Reference:
    """A pair whose registration is known.

    Attributes:
        kind: how it is known: :data:`TRUE_FIELD`, :data:`SAME_SUBJECT` or :data:`SAME_IMAGE`.
        moving: name of the moving image.
        fixed: name of the fixed image.
        displacement: the true one, ``(1, dims, *spatial)``, voxels.
        content: ``(*spatial)``, bool: voxels of the fixed image over which distances are averaged.
    """

    kind: str
    moving: str
    fixed: str
    displacement: Tensor
    content: np.ndarray


def references(dataset: Dataset, count: int) -> list[Reference]:
    """Find test pairs whose registration is known, by the best of the ways that the dataset allows.

    1. Both images have a true field into one space: the displacement that follows from them.
    2. The fixed image and another one of the same subject, of the modality that moves, have the same label map, so that
       they show the same anatomy in the same place: no displacement.
    3. The fixed image and itself, told apart by noise alone: no displacement. That is the easiest of tasks: the noise
       that the image came with matches too.

    Args:
        dataset: a prepared dataset.
        count: most pairs, spread over those of the test.
    """
    pairs = dataset.pairs_of("test")
    if found := [reference for pair in evenly_spaced(pairs, count) if (reference := _true_field(dataset, *pair))]:
        return found
    # images that move to the same one are replaced by the same one of its subject
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
    """Mark the mask of an image, or what is not background, or all of it."""
    background = dataset.meta.get("background")
    for content in (
        sample.mask,
        sample.label != background if sample.label is not None and background is not None else None,
    ):
        if content is not None and content.any():
            return content
    return np.ones(dataset.shape, bool)


def content_size(content: np.ndarray, spacing: Sequence[float]) -> float:
    """Give the mean distance of content ``(*spatial)``, bool, from its centre, in the unit of ``spacing``."""
    points = np.argwhere(content) * np.asarray(spacing)
    return float(np.linalg.norm(points - points.mean(0), axis=1).mean())


class Directions:
    """Draws lines through the reference of one pair.

    Each is scaled so that the displacement at distance d has the mean length d over the content, in the dataset's unit.

    Args:
        content: ``(*spatial)``, bool, not empty.
        spacing: size of a voxel along each axis.
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
        """Draw a line of a kind, one of :data:`TRANSFORMS`."""
        return TRANSFORMS[transform](self, source)

    def _straight(self, physical: Tensor) -> Line:
        """Give the line along a displacement ``(dims, *spatial)`` in the dataset's unit, of any length."""
        unit = (physical / physical[:, self.content].norm(dim=0).mean() / self.voxel)[None]
        return lambda distance: distance * unit

    def translation(self, source: np.random.Generator) -> Line:
        """Draw a shift in a random direction."""
        return self._straight(self._vector(source).expand_as(self.points).clone())

    def scaling(self, source: np.random.Generator) -> Line:
        """Draw a stretch about the centre of the content, by factors that are random for each axis."""
        centre = self.inside.mean(1).view_as(self.voxel)
        return self._straight(self._vector(source) * (self.points - centre))

    def deformation(self, source: np.random.Generator) -> Line:
        """Draw a smooth random field that does not shift the content as a whole."""
        sigma = WAVES * self.size / self.spacing
        field = torch.from_numpy(np.stack([smooth_noise(self.shape, sigma, source) for _ in self.shape])).float()
        return self._straight(field - field[:, self.content].mean(1).view_as(self.voxel))

    def rotation(self, source: np.random.Generator) -> Line:
        """Draw a rotation about a random voxel of the content, in 3D about a random axis through it."""
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
            # a turn by the angle a moves a point at radius r by 2 r sin(a / 2)
            angle = 2 * math.asin(max(-1.0, min(1.0, distance / (2 * reach))))
            return ((arm * (math.cos(angle) - 1) + turned * math.sin(angle)) / self.voxel)[None]

        return at

    def _vector(self, source: np.random.Generator) -> Tensor:
        """Draw a direction, uniformly, as ``(dims, 1, …)`` of length 1."""
        drawn = source.standard_normal(self.dims)
        return torch.tensor(drawn / np.linalg.norm(drawn), dtype=torch.float32).view_as(self.voxel)


TRANSFORMS: dict[str, Callable[[Directions, np.random.Generator], Line]] = {
    "translation": Directions.translation,
    "rotation": Directions.rotation,
    "scaling": Directions.scaling,
    "deformation": Directions.deformation,
}
"""The kinds of lines, in the order of tables and figures."""


def registration(loader: Loader, reference: Reference, seed: int) -> Registration:
    """Load a pair at its true displacement; of an image with itself the fixed one gets noise."""
    dataset, moving, fixed = loader.dataset, [reference.moving], [reference.fixed]
    images = loader.images(moving), loader.images(fixed)
    if reference.kind == SAME_IMAGE:
        # into the fixed image: noise in the moving one would be smoothed everywhere but at the reference
        noise = torch.randn(images[1].shape, generator=generator("cpu", seed, 5))
        images = images[0], (images[1] + NOISE * noise.to(images[1])).clamp(0, 1)
    return Registration(
        *images,
        reference.displacement.to(loader.device),
        moving_label_map=loader.labels(moving),
        fixed_label_map=loader.labels(fixed),
        moving_mask=loader.masks(moving),
        fixed_mask=loader.masks(fixed),
        classes=len(loader.ids),
        spacing=dataset.spacing,
    )


def _complete(pair: Registration, needs: Collection[str]) -> bool:
    labelled = pair.moving_label_map is not None and pair.fixed_label_map is not None
    return (labelled or not {"label", "labels"} & {*needs}) and (pair.mask is not None or "mask" not in needs)


def value(loss: SimilarityLoss, pair: Registration, displacement: Tensor, seed: int) -> float:
    """Give a loss of one pair at a displacement; the same seed gives a loss that draws the same noise."""
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

    The lines depend on dataset, sampling and seed alone, so that every loss is seen along the same ones.

    Args:
        dataset: a prepared dataset.
        loss: to be evaluated, on ``device``.
        sampling: how densely.
        seed: of lines and noise.
        needs: what the loss requires of a pair, of ``mask``, ``label`` and ``labels``; a pair without it is left out.
            Losses are offered datasets by what training and validation images have.
        device: where to compute.

    Yields:
        A row per point of a line, :data:`COLUMNS`: ``line`` is counted for each pair and transform, ``distance`` is in
        ``unit``, and its sign tells the side. Of the transform :data:`GRID` a line is an axis.
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
"""Gives a loss of one pair at a displacement."""
Point = tuple[str, int, float, float]
"""Transform, line, distance and value."""


def _lines(
    at: At, reference: Reference, dataset: Dataset, sampling: Sampling, seed: int, number: int
) -> Iterator[Point]:
    """Sample a loss of a pair along lines through its reference."""
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
    """Sample a loss of a pair where the moving image is shifted by whole and half voxels."""
    still = torch.zeros(1, dataset.spatial_dims, *dataset.shape)
    for axis, size in enumerate(dataset.spacing):
        for halves in range(-2 * VOXELS, 2 * VOXELS + 1):
            shift = still.clone()
            shift[:, axis] = halves / 2
            yield GRID, axis, halves / 2 * size, at(shift)
