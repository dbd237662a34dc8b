"""Registration of each pair by itself: the objective is minimised over the transformation of that pair, to convergence.

A path of regularisation leads from smooth to rough fields: each λ starts where the last one ended. On the scale
``roughness`` its levels say how rough fields shall be, as the median over validation pairs of the standard deviation of
log J; the λ that makes them so is searched for on validation pairs and then holds for test pairs. That is fair to
losses whose values have nothing to do with one another. On the scales ``balanced`` and ``raw`` the levels are λ, as for
networks.

Coarse to fine is the transformation, never the images: a level halves the distance between control points and the
kernel that smooths them, while a loss always sees images at full resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from likeness import transformations
from likeness.data.store import Dataset
from likeness.geometry import bending_energy, diffusion_energy, to_array
from likeness.methods.objective import Objective
from likeness.methods.search import Effort, Evaluated, Found, minimise
from likeness.training.device import Precision, autocast, make_device
from likeness.transformations import Transformation, control_shape, gaussian, pitch, refine

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
}

CONTROL = 4 / 3
"""Distance between control points as a multiple of the kernel: closer ones could not tell neighbours apart."""
COARSE = 60
"""Most evaluations of a pair at levels before the last, which are but a start for it."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides an optimisation but the data, the loss and the seed.

    Attributes:
        transformation: kind of it, see :mod:`likeness.transformations`.
        regulariser: ``"diffusion"`` or ``"bending"``, of the velocity or displacement between control points.
        kernel: standard deviation of the Gaussian that smooths velocity or displacement, in the dataset's unit of
            length; ``None`` for one and a half times the smallest spacing.
        levels: how often control distance and kernel are halved, and one more.
        rate: of the first steps, in distances between control points.
        tolerance: change of a field in voxels below which it has converged.
        evaluations: most of a pair at the last level.
        batch: pairs at once.
        scale: of ``grid``: ``"roughness"``, ``"balanced"`` or ``"raw"``.
        grid: the levels of the path, from smooth to rough fields.
        separate: whether each λ starts from nothing instead of where the last one ended.
        precision: ``"32-true"`` or ``"bf16-mixed"``, of the loss.
        threads: of the processor.
    """

    transformation: transformations.Kind
    regulariser: Literal["diffusion", "bending"]
    kernel: float | None
    levels: int
    rate: float
    tolerance: float
    evaluations: int
    batch: int
    scale: Literal["roughness", "balanced", "raw"]
    grid: tuple[float, ...]
    separate: bool
    precision: Precision
    threads: int

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Recipe:
        """Make one of what a study says of an optimisation, plain types, see ``Study.optimisation``."""
        own = {key: value for key, value in plain.items() if key != "lambda"}
        return cls(**own, scale=plain["lambda"]["scale"], grid=tuple(plain["lambda"]["grid"]))


class Level(NamedTuple):
    """A level of the transformation, from coarse to fine."""

    control: tuple[int, ...]
    """Shape of the control grid."""
    kernel: list[Tensor]
    """A matrix for each axis."""
    effort: Effort


class Optimiser:
    """Optimises pairs of one dataset with one loss.

    Args:
        dataset: the prepared dataset.
        loss: name of the loss.
        options: of the loss; what is not named keeps its default.
        extractor: weights of the extractor the loss needs, or ``None``.
        recipe: everything else that decides the optimisation.
        seed: of what the loss draws: the same at every evaluation, for both images.
    """

    def __init__(
        self,
        dataset: Dataset,
        loss: str,
        options: dict[str, Any],
        extractor: Path | None,
        recipe: Recipe,
        seed: int | None,
    ) -> None:
        self.dataset = dataset
        self.recipe = recipe
        self.device = make_device(recipe.threads)
        self.regulariser = bending_energy if recipe.regulariser == "bending" else diffusion_energy
        self.objective = Objective(dataset, loss, options, extractor, self.device, seed, self.regulariser)
        self.transformation = Transformation(recipe.transformation, dataset.shape)
        self.levels = [self._level(2.0**k) for k in reversed(range(recipe.levels))]
        # steps are as long in millimetres along every axis
        smallest = min(dataset.spacing)
        self.axes = torch.tensor([smallest / s for s in dataset.spacing], device=self.device)

    def _level(self, factor: float) -> Level:
        """Make the level whose kernel is ``factor`` times that of the finest one."""
        shape, spacing = self.dataset.shape, self.dataset.spacing
        kernel = factor * (self.recipe.kernel or 1.5 * min(spacing))
        control = control_shape(shape, spacing, CONTROL * kernel)
        cells = [p * s for p, s in zip(pitch(shape, control), spacing, strict=True)]
        matrices = [gaussian(n, kernel / cell).to(self.device) for n, cell in zip(control, cells, strict=True)]
        rate = self.recipe.rate * CONTROL * kernel / min(spacing)
        if factor == 1:
            return Level(control, matrices, Effort(rate, self.recipe.tolerance, self.recipe.evaluations))
        return Level(control, matrices, Effort(rate, factor * self.recipe.tolerance, COARSE))

    def optimise(self, pairs: Sequence[tuple[str, str]], start: Tensor, lam: float, level: Level) -> Found:
        """Optimise pairs ``(moving, fixed)`` at one λ and level, from parameters on any control grid."""
        base = refine(start, level.control)

        def objective(active: Sequence[int]) -> Callable[[Tensor], Evaluated]:
            registration = self.objective.registration([pairs[k] for k in active])
            origin = base[list(active)]

            def evaluate(change: Tensor) -> Evaluated:
                change = change.detach().requires_grad_()
                parameters = self._moved(origin, change, level)
                displacement = self.transformation.displacement(parameters)
                with autocast(self.device, self.recipe.precision):
                    dissimilarity = self.objective.loss(registration.at(displacement))
                energy = self._energy(parameters)
                loss = dissimilarity + lam * energy
                (gradient,) = torch.autograd.grad(loss.sum(), change)
                return Evaluated(*(part.detach() for part in (loss, gradient, displacement, dissimilarity, energy)))

            return evaluate

        found = minimise(objective, torch.zeros_like(base), level.effort)
        return replace(found, parameters=self._moved(base, found.parameters, level))

    def _moved(self, base: Tensor, change: Tensor, level: Level) -> Tensor:
        smooth = transformations.along(change, level.kernel)
        return base + smooth * self.axes.view(1, -1, *[1] * (smooth.dim() - 2))

    def _energy(self, parameters: Tensor) -> Tensor:
        """Give the regulariser ``(pairs,)`` of parameters, in physical units."""
        cell = pitch(self.dataset.shape, parameters.shape[2:])
        size = [p * s for p, s in zip(cell, self.dataset.spacing, strict=True)]
        voxels = torch.tensor(cell).to(parameters).view(1, -1, *[1] * len(cell))
        return self.regulariser(parameters / voxels, size)

    def nothing(self, pairs: Sequence[tuple[str, str]]) -> Tensor:
        """Give the parameters of the identity, on the coarsest control grid."""
        control = self.levels[0].control
        return torch.zeros(len(pairs), len(control), *control, device=self.device)

    def displacements(self, parameters: Tensor) -> Iterator[np.ndarray]:
        """Give the displacement ``(*spatial, dims)`` of each pair, as it is read from its file."""
        for one in parameters.split(1):
            with torch.no_grad():
                yield to_array(self.transformation.displacement(one))
