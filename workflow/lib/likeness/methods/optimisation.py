"""Registration of each pair by itself: the objective is minimised over the transformation of that pair, to convergence.

A path of regularisation leads from smooth to rough fields: each λ starts where the last one ended, from coarse to fine
again. On the scale ``roughness`` its levels say how rough fields shall be, as the median over validation pairs of the
standard deviation of log J; the λ that makes them so is searched for on validation pairs and then holds for test pairs.
That is fair to losses whose values have nothing to do with one another. On the scales ``balanced`` and ``raw`` the
levels are λ, as for networks.

Coarse to fine is the transformation: a level halves the distance between control points and the kernel that smooths
them. Where images are large, a loss of intensities sees coarser ones at coarse levels, so that its windows, whose size
in voxels is fixed, reach as far as the kernel does: at full resolution a window of 9 voxels finds nothing of a place
that is 30 away. A network knows images of the spacing that it was trained at, and sees them at full resolution alone;
it is its features that get coarser. All that is but a start for the last level, where every loss is what its card says.
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
            "description": "What differs from the study's `optimisation`, and from that of a dataset, for this method.",
        },
    },
}

REGULARISERS = {"diffusion": diffusion_energy, "bending": bending_energy}
CONTROL = 4 / 3
"""Distance between control points as a multiple of the kernel: closer ones could not tell neighbours apart."""
COARSE = 30
"""Most evaluations of a pair at levels before the last, which are but a start for it."""
AGAIN = 2
"""Levels, the last ones, that a λ goes through which starts where the one before it ended: coarser ones would lead it
astray, and at the last one alone it would end at higher objectives."""
SMALLEST = 64
"""Voxels along an axis that a coarse image keeps, where there are as many: windows reach far enough there, and fewer of
them end at higher objectives."""
COARSER = 1.5
"""Least factor by which a coarse image has fewer voxels than the whole one; otherwise it is not made."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides an optimisation but the data, the loss and the seed.

    Attributes:
        transformation: kind of it, see :mod:`likeness.transformations`.
        regulariser: ``"diffusion"`` or ``"bending"``, of the velocity or displacement between control points.
        kernel: standard deviation of the Gaussian that smooths velocity or displacement, in the dataset's unit of
            length; ``None`` for one and a half times the smallest spacing.
        levels: how often control distance and kernel are halved, and one more.
        pyramid: whether the loss sees coarser images at coarser levels.
        rate: of the first steps, in distances between the control points of the finest level.
        tolerance: change of a field in voxels below which it has converged.
        evaluations: most of a pair at the last level.
        batch: pairs at once.
        scale: of ``grid``: ``"roughness"``, ``"balanced"`` or ``"raw"``.
        grid: the levels of the path, from smooth to rough fields.
        separate: whether each λ starts where the first one does instead of where the last one ended.
        start: where the first λ starts: from the identity, ``None``; from the true fields, ``"truth"``; or from those
            that a method of the study chose, its name.
        precision: ``"32-true"`` or ``"bf16-mixed"``, of the loss.
        threads: of the processor.
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
        """Make one of what a study says of an optimisation, plain types, see ``Study.optimisation``."""
        own = {key: value for key, value in plain.items() if key != "lambda"}
        return cls(**own, scale=plain["lambda"]["scale"], grid=tuple(plain["lambda"]["grid"]))


class Level(NamedTuple):
    """A level of the transformation, from coarse to fine."""

    images: tuple[int, ...]
    """Shape of the grid on which the loss sees images."""
    control: tuple[int, ...]
    """Shape of the control grid."""
    kernel: list[Tensor]
    """A matrix for each axis."""
    effort: Effort


Searched = Callable[[int, Level, Found], Found]
"""Searches at a level, of the number that is given first, from where the levels before have led to."""


def through(levels: Sequence[Level], start: Tensor, searched: Searched) -> Found:
    """Search level by level from parameters ``(pairs, dims, *control)``; evaluations are those of all levels."""
    found = replace(Found.nothing(start), parameters=start)
    for number, level in enumerate(levels):
        last = searched(number, level, found)
        spent = [a + b for a, b in zip(found.evaluations, last.evaluations, strict=True)]
        found = replace(last, evaluations=spent)
    return found


Terms = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Gives objective, dissimilarity and energy ``(pairs,)`` of displacements and their parameters."""
Registrations = Callable[[Sequence[int]], Registration]
"""Gives the registration of some of the pairs, by their indices."""


class Optimiser:
    """Optimises pairs with one loss.

    Args:
        loss: on the device.
        shape: spatial shape of the images.
        spacing: of their voxels.
        recipe: everything else that decides the optimisation.
        device: where everything is computed.
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
        """Seconds that following searches has taken."""
        self.again = self.levels[-AGAIN:]
        """What a λ goes through that starts where the one before it ended."""
        # steps are as long in millimetres along every axis
        smallest = min(spacing)
        self.axes = torch.tensor([smallest / s for s in spacing], device=device)

    def _level(self, factor: float) -> Level:
        """Make the level whose kernel is ``factor`` times that of the finest one."""
        shape, spacing = self.shape, self.spacing
        finest = self.recipe.kernel or 1.5 * min(spacing)
        kernel = factor * finest
        control = control_shape(shape, spacing, CONTROL * kernel)
        cells = [p * s for p, s in zip(pitch(shape, control), spacing, strict=True)]
        matrices = [gaussian(n, kernel / cell).to(self.device) for n, cell in zip(control, cells, strict=True)]
        # as long at every level: steps as long as coarse control points are apart throw pairs far off at first
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

        Whoever watches sees what parameters give at full resolution, at every level.
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
        """Give the parameters, at the finest level, whose displacements come closest to given ones.

        Args:
            displacements: ``(pairs, dims, *spatial)`` in voxels.
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

        # nothing, but of pairs that diverged before, which are not evaluated again
        found = minimise(of_pairs, base - base, level.effort, watched if watch else None, checkpoint)
        return replace(found, parameters=self._moved(base, found.parameters, level))

    def _moved(self, base: Tensor, change: Tensor, level: Level) -> Tensor:
        smooth = along(change, level.kernel)
        return base + smooth * self.axes.view(1, -1, *[1] * (smooth.dim() - 2))

    def _energy(self, parameters: Tensor) -> Tensor:
        """Give the regulariser ``(pairs,)`` of parameters, in physical units."""
        cell = pitch(self.shape, parameters.shape[2:])
        size = [p * s for p, s in zip(cell, self.spacing, strict=True)]
        voxels = torch.tensor(cell).to(parameters).view(1, -1, *[1] * len(cell))
        return REGULARISERS[self.recipe.regulariser](parameters / voxels, size)

    def nothing(self, pairs: int) -> Tensor:
        """Give the parameters of a number of identities, on the coarsest control grid."""
        control = self.levels[0].control
        return torch.zeros(pairs, len(control), *control, device=self.device)

    def displacements(self, parameters: Tensor) -> Iterator[np.ndarray]:
        """Give the displacement ``(*spatial, dims)`` of each pair, as it is read from its file."""
        for one in parameters.split(1):
            with torch.no_grad():
                yield to_array(self.transformation.displacement(one))
