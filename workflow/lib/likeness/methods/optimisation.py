"""Per-pair (instance) optimisation: minimise the objective over the transformation of each pair, to convergence.

A regularisation path leads from smooth to rough fields: each λ starts from the result of the one before it, over
several resolution levels. On the scale ``roughness`` the path is given as the median over validation pairs of the
standard deviation of log J; the λ that yields it is searched for on validation pairs and then used for test pairs. This
is fair to losses whose values are not comparable. On the scales ``balanced`` and ``raw`` the path is given as λ, as for
networks.

The resolution levels are those of the transformation: each level halves the distance between control points and the
smoothing kernel. For large images, losses on intensities see coarser images at coarse levels, so that their windows, of
fixed size in voxels, reach as far as the kernel: at full resolution, a window of 9 voxels cannot match structures that
are 30 voxels apart. Networks were trained at one spacing and see full-resolution images only; their feature maps are
coarsened instead. Coarse levels only provide a start for the last level, where every loss is as defined on its card.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from likeness import transformations
from likeness.geometry import bending_energy, diffusion_energy, to_array
from likeness.interpolation import along, gaussian, pitch
from likeness.losses.base import Registration, SimilarityLoss, mean_per_pair
from likeness.methods.search import Checkpoint, Effort, Evaluated, Found, Watch, minimise
from likeness.training.device import Precision, autocast
from likeness.transformations import Transformation, control_shape, refine

CARD = {
    "title": "per-pair optimisation",
    "order": 0,
    "colour": "#222222",
    "marker": "o",
    "uses_loss": True,
    "has_lam": True,
    "seeded": False,
    "trained": False,
    "optimised": True,
    "settings": {
        "optimisation": {
            "block": "optimisation",
            "description": "Values that replace those of the study's and the dataset's `optimisation` for this method.",
        },
    },
}

REGULARISERS = {"diffusion": diffusion_energy, "bending": bending_energy}
CONTROL = 4 / 3
"""Distance between control points as a multiple of the kernel; closer ones would be redundant."""
COARSE = 30
"""Maximum number of evaluations per pair at each coarse level, which only provides a start for the next."""
AGAIN = 2
"""Number of finest levels used when a λ starts from the result of the one before it: coarser levels would lead away
from that start, and the finest level alone ends at higher objectives."""
SMALLEST = 64
"""Minimum size of a coarse image along each axis in voxels, if the image is that large: windows reach far enough at
this size, and smaller images end at higher objectives."""
COARSER = 1.5
"""Minimum reduction of the number of voxels for which a coarse image is used."""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines an optimisation except data, loss and seed.

    Attributes:
        transformation: kind of transformation, see :mod:`likeness.transformations`.
        regulariser: ``"diffusion"`` or ``"bending"``, of the velocity or displacement on the control grid.
        kernel: standard deviation of the Gaussian that smooths velocity or displacement, in the dataset's unit of
            length; ``None`` for one and a half times the smallest spacing.
        levels: number of resolution levels; each halves control point distance and kernel.
        pyramid: whether the loss sees coarser images at coarser levels.
        rate: length of the first steps, as a multiple of the control point distance at the finest level.
        tolerance: convergence threshold on the change of a field, in voxels.
        evaluations: maximum number of evaluations per pair at the finest level.
        batch: pairs optimised at once.
        scale: scale of ``grid``: ``"roughness"``, ``"balanced"`` or ``"raw"``.
        grid: levels of the path, from smooth to rough fields.
        separate: whether each λ starts where the first one does instead of from the result of the one before it.
        start: start of the first λ: ``None`` for the identity, ``"truth"`` for the true fields, or the name of a method
            of the study for the fields it chose.
        precision: ``"32-true"`` or ``"bf16-mixed"``, of the loss.
        threads: number of CPU threads.
    """

    transformation: transformations.Kind
    regulariser: Literal["diffusion", "bending"]
    kernel: float | None
    levels: int
    pyramid: bool
    rate: float
    tolerance: float
    evaluations: int
    batch: int
    scale: Literal["roughness", "balanced", "raw"]
    grid: tuple[float, ...]
    separate: bool
    start: str | None
    precision: Precision
    threads: int

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Recipe:
        """Create a recipe from the plain types of ``Study.optimisation``."""
        own = {key: value for key, value in plain.items() if key != "lambda"}
        return cls(**own, scale=plain["lambda"]["scale"], grid=tuple(plain["lambda"]["grid"]))


class Level(NamedTuple):
    """A resolution level of the transformation."""

    images: tuple[int, ...]
    """Shape of the grid on which the loss sees the images."""
    control: tuple[int, ...]
    """Shape of the control point grid."""
    kernel: list[Tensor]
    """Smoothing matrix for each axis."""
    effort: Effort


Searched = Callable[[int, Level, Found], Found]
"""Function that searches at a level, given its index, the level and the result of the levels before it."""


def through(levels: Sequence[Level], start: Tensor, searched: Searched) -> Found:
    """Search level by level from parameters ``(pairs, dims, *control)``; evaluations are summed over levels."""
    found = replace(Found.nothing(start), parameters=start)
    for number, level in enumerate(levels):
        last = searched(number, level, found)
        spent = [a + b for a, b in zip(found.evaluations, last.evaluations, strict=True)]
        found = replace(last, evaluations=spent)
    return found


Terms = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Function that maps displacements and parameters to objective, dissimilarity and energy, ``(pairs,)`` each."""
Registrations = Callable[[Sequence[int]], Registration]
"""Function that returns the registration of the pairs with the given indices."""


class Optimiser:
    """Optimise pairs with one loss.

    Args:
        loss: loss on ``device``.
        shape: spatial shape of the images.
        spacing: voxel size along each axis.
        recipe: everything else that determines the optimisation.
        device: device of the computation.
    """

    def __init__(
        self,
        loss: SimilarityLoss,
        shape: Sequence[int],
        spacing: Sequence[float],
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        self.loss = loss
        self.shape = tuple(shape)
        self.spacing = tuple(spacing)
        self.recipe = recipe
        self.device = device
        self.transformation = Transformation(recipe.transformation, self.shape)
        self.levels = [self._level(2.0**k) for k in reversed(range(recipe.levels))]
        self.watching = 0.0
        """Seconds spent in watch callbacks."""
        self.again = self.levels[-AGAIN:]
        """Levels used when a λ starts from the result of the one before it."""
        # equal step length in physical units along every axis
        smallest = min(spacing)
        self.axes = torch.tensor([smallest / s for s in spacing], device=device)

    def _level(self, factor: float) -> Level:
        """Create the level whose kernel is ``factor`` times that of the finest level."""
        shape, spacing = self.shape, self.spacing
        finest = self.recipe.kernel or 1.5 * min(spacing)
        kernel = factor * finest
        control = control_shape(shape, spacing, CONTROL * kernel)
        cells = [p * s for p, s in zip(pitch(shape, control), spacing, strict=True)]
        matrices = [gaussian(n, kernel / cell).to(self.device) for n, cell in zip(control, cells, strict=True)]
        # equal step length at every level: steps proportional to the coarse control distance throw pairs far off
        rate = self.recipe.rate * CONTROL * finest / min(spacing)
        if factor == 1:
            return Level(shape, control, matrices, Effort(rate, self.recipe.tolerance, self.recipe.evaluations))
        images = shape
        if self.recipe.pyramid and self.loss.coarsens(len(shape)):
            coarse = control_shape(shape, spacing, factor * min(spacing))
            kept = tuple(min(n, max(points, SMALLEST)) for n, points in zip(shape, coarse, strict=True))
            images = kept if COARSER * math.prod(kept) <= math.prod(shape) else shape
        return Level(images, control, matrices, Effort(rate, factor * self.recipe.tolerance, COARSE))

    def optimise(
        self,
        registrations: Registrations,
        start: Tensor,
        lam: float,
        level: Level,
        watch: Watch | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Found:
        """Optimise pairs at one λ and level, from parameters ``(pairs, dims, *control)`` on any control grid.

        ``watch`` is called with values at full resolution, at every level.
        """

        def objective(active: Sequence[int], grid: Sequence[int]) -> Terms:
            registration = registrations(active).coarser(grid)

            def terms(displacement: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
                with autocast(self.device, self.recipe.precision):
                    dissimilarity = self.loss(registration.at(displacement))
                energy = self._energy(parameters)
                return dissimilarity + lam * energy, dissimilarity, energy

            return terms

        return self._search(objective, start, level, watch, checkpoint)

    def fit(self, displacements: Tensor) -> Tensor:
        """Return the parameters at the finest level whose displacements best approximate given ones.

        Args:
            displacements: ``(pairs, dims, *spatial)`` in voxels.

        Returns:
            ``(pairs, dims, *control)``.
        """

        def objective(active: Sequence[int], grid: Sequence[int]) -> Terms:  # noqa: ARG001
            wanted = displacements[list(active)]

            def terms(displacement: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG001
                distance = mean_per_pair((displacement - wanted).square())
                return distance, distance, torch.zeros_like(distance)

            return terms

        def searched(_: int, level: Level, so_far: Found) -> Found:
            return self._search(objective, so_far.parameters, level._replace(images=self.shape))

        return through(self.levels, self.nothing(len(displacements)), searched).parameters

    def _search(
        self,
        objective: Callable[[Sequence[int], Sequence[int]], Terms],
        start: Tensor,
        level: Level,
        watch: Watch | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Found:
        base = refine(start, level.control)
        voxels = torch.tensor(pitch(self.shape, level.images), device=self.device).view(1, -1, *[1] * len(self.shape))

        def of_pairs(active: Sequence[int]) -> Callable[[Tensor], Evaluated]:
            terms, origin = objective(active, level.images), base[list(active)]

            def evaluate(change: Tensor) -> Evaluated:
                change = change.detach().requires_grad_()
                parameters = self._moved(origin, change, level)
                displacement = self.transformation.displacement(parameters, level.images)
                loss, dissimilarity, energy = terms(displacement, parameters)
                (gradient,) = torch.autograd.grad(loss.sum(), change)
                if level.images != self.shape:
                    displacement = displacement * voxels
                return Evaluated(*(part.detach() for part in (loss, gradient, displacement, dissimilarity, energy)))

            return evaluate

        def watched(active: Sequence[int], evaluations: int, change: Tensor, seen: Evaluated) -> None:
            assert watch is not None
            begun = perf_counter()
            if level.images != self.shape:
                with torch.no_grad():
                    parameters = self._moved(base[list(active)], change, level)
                    displacement = self.transformation.displacement(parameters)
                    loss, dissimilarity, energy = objective(active, self.shape)(displacement, parameters)
                seen = Evaluated(loss, seen.gradient, displacement, dissimilarity, energy)
            watch(active, evaluations, change, seen)
            self.watching += perf_counter() - begun

        # base - base is zero, but NaN for pairs that diverged before, which are then not evaluated again
        found = minimise(of_pairs, base - base, level.effort, watched if watch else None, checkpoint)
        return replace(found, parameters=self._moved(base, found.parameters, level))

    def _moved(self, base: Tensor, change: Tensor, level: Level) -> Tensor:
        smooth = along(change, level.kernel)
        return base + smooth * self.axes.view(1, -1, *[1] * (smooth.dim() - 2))

    def _energy(self, parameters: Tensor) -> Tensor:
        """Return the regulariser energy ``(pairs,)`` of parameters, in physical units."""
        cell = pitch(self.shape, parameters.shape[2:])
        size = [p * s for p, s in zip(cell, self.spacing, strict=True)]
        voxels = torch.tensor(cell).to(parameters).view(1, -1, *[1] * len(cell))
        return REGULARISERS[self.recipe.regulariser](parameters / voxels, size)

    def nothing(self, pairs: int) -> Tensor:
        """Return zero parameters (the identity) for a number of pairs, on the coarsest control grid."""
        control = self.levels[0].control
        return torch.zeros(pairs, len(control), *control, device=self.device)

    def displacements(self, parameters: Tensor) -> Iterator[np.ndarray]:
        """Yield the displacement ``(*spatial, dims)`` of each pair, in voxels."""
        for one in parameters.split(1):
            with torch.no_grad():
                yield to_array(self.transformation.displacement(one))
