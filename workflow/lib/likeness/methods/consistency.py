"""Warp consistency: a registration whose moving image is warped has to change by exactly that warp.

If u registers a moving image and u' the same image warped by a known w, ``warped(x) = moving(x + w(x))``, then u'
followed by w leads to the same places as u: ``u'(x) + w(x + u'(x)) = u(x)``. The distance between both sides is an
error that needs no true field. To be consistent is necessary, not sufficient: a method that takes the same wrong place
for the right one both times is consistent as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likeness.data.loading import chunks
from likeness.data.pairs import evenly_spaced
from likeness.datasets.simulate.cohort import stream
from likeness.datasets.simulate.fields import one_thread, smooth_noise, squarings
from likeness.fields import Fields, Search
from likeness.geometry import compose, integrate, to_tensor, warp
from likeness.losses.base import Registration
from likeness.methods.objective import Objective
from likeness.methods.optimisation import Optimiser, Recipe, through

METRIC = "warp_consistency"
SMOOTH = 1 / 4
"""Standard deviation of the Gaussian that smooths the velocity of a warp, as a fraction of the shortest side of the
image: the smoother it is, the less a regulariser opposes it."""


def known_warp(
    shape: Sequence[int], spacing: Sequence[float], length: float, generator: np.random.Generator
) -> np.ndarray:
    """Draw a smooth diffeomorphism that maps the image onto itself.

    Args:
        shape: spatial shape of the grid.
        spacing: voxel size along each axis.
        length: root mean square length of the velocity, in the unit of ``spacing``.
        generator: random generator.

    Returns:
        The displacement ``(*shape, dims)`` in voxels, float32, zero at the border.
    """
    step = np.asarray(spacing, dtype=float)
    sigma = SMOOTH * float(np.min(np.asarray(shape) * step))
    noise = np.stack([smooth_noise(shape, sigma / step, generator) for _ in shape], axis=-1)
    for axis, size in enumerate(shape):
        # zero at the border, so that nothing enters or leaves the image
        window = np.sin(np.pi * np.arange(size) / max(size - 1, 1))
        noise *= window.reshape([-1 if k == axis else 1 for k in range(noise.ndim)])
    velocity = noise * length / np.sqrt((noise**2).sum(axis=-1).mean()) / step
    with one_thread():
        return np.moveaxis(integrate(to_tensor(velocity), squarings(velocity))[0].numpy(), 0, -1)


def inconsistency(plain: Tensor, again: Tensor, known: Tensor, spacing: Sequence[float]) -> Tensor:
    """Return how far two registrations of a pair are from differing by a known warp of its moving image.

    Args:
        plain: displacement of the pair, ``(batch, dims, *spatial)`` in voxels.
        again: displacement of the pair with a warped moving image, likewise.
        known: the warp, likewise.
        spacing: voxel size along each axis.

    Returns:
        Distance ``(batch, *spatial)`` in the unit of ``spacing``.
    """
    size = torch.tensor([float(s) for s in spacing]).to(plain).view(1, -1, *[1] * len(spacing))
    return ((compose(known, again) - plain) * size).norm(dim=1)


def warped(pairs: Registration, known: Tensor) -> Registration:
    """Return pairs with their moving images, masks and label maps warped by displacements in voxels."""

    def moved(part: Tensor | None) -> Tensor | None:
        return None if part is None else warp(part.float(), known, "nearest").to(part.dtype)

    return replace(
        pairs,
        moving=warp(pairs.moving, known),
        moving_label_map=moved(pairs.moving_label_map),
        moving_mask=moved(pairs.moving_mask),
    )


@dataclass(frozen=True)
class Consistency:
    """Registers test pairs again after a known warp, as they were registered before.

    Attributes:
        objective: dataset and loss.
        recipe: settings of the run.
        fields: result of the run.
        lam: the λ of the run that was chosen.
        count: maximum number of test pairs, evenly spaced.
        length: root mean square length of a warp, as a multiple of the smallest spacing.
        seed: seed of the warps, which depend on it and on the pair only.
    """

    objective: Objective
    recipe: Recipe
    fields: Fields
    lam: float
    count: int
    length: float
    seed: int

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for every pair: ``moving``, ``fixed``, ``value`` and ``warp``; none if all pairs diverged.

        ``value`` is the mean of :func:`inconsistency` and ``warp`` the mean length of the warp, both over the fixed
        image's mask or, if it has none, all voxels. A pair whose search diverged has the value NaN.
        """
        dataset = self.objective.dataset
        path = [search for search in self.fields.searches if not search.empty]
        levels = [search.lam for search in path]
        if self.lam not in levels:
            return
        path = path[: 1 + levels.index(self.lam)]
        optimiser = Optimiser(self.objective.loss, dataset.shape, dataset.spacing, self.recipe, self.objective.device)
        for pairs in chunks(evenly_spaced(dataset.pairs_of("test"), self.count), self.recipe.batch):
            known = torch.cat([to_tensor(self._warp(*pair)) for pair in pairs])
            found = optimiser.displacements(self._searched(optimiser, path, pairs, known))
            for (moving, fixed), again, one in zip(pairs, found, known, strict=True):
                plain = self.fields.read(path[-1], moving, fixed)
                assert plain is not None
                inside = dataset.load(fixed).mask
                inside = np.ones(dataset.shape, bool) if inside is None else inside
                both = (to_tensor(plain), to_tensor(again), one[None])
                apart = inconsistency(*both, dataset.spacing)[0].numpy()
                length = inconsistency(torch.zeros_like(both[0]), torch.zeros_like(both[0]), both[2], dataset.spacing)
                value, drawn = float(apart[inside].mean()), float(length[0].numpy()[inside].mean())
                yield {"moving": moving, "fixed": fixed, "value": value, "warp": drawn}

    def _warp(self, moving: str, fixed: str) -> np.ndarray:
        dataset = self.objective.dataset
        length, generator = self.length * min(dataset.spacing), stream(self.seed, moving, fixed)
        return known_warp(dataset.shape, dataset.spacing, length, generator)

    def _searched(
        self, optimiser: Optimiser, path: Sequence[Search], pairs: Sequence[tuple[str, str]], known: Tensor
    ) -> Tensor:
        """Search for the fields of warped pairs along the run's path, and return their parameters."""
        parameters = optimiser.nothing(len(pairs))
        for number, search in enumerate(path):
            assert search.weight is not None
            weight, fresh = search.weight, number == 0 or self.recipe.separate

            def registrations(active: Sequence[int]) -> Registration:
                plain = self.objective.registration([pairs[k] for k in active])
                return warped(plain, known[list(active)].to(self.objective.device))

            def searched(_: int, level: Any, so_far: Any, weight: float = weight) -> Any:
                return optimiser.optimise(registrations, so_far.parameters, weight, level)

            start = optimiser.nothing(len(pairs)) if fresh else parameters
            levels = optimiser.levels if fresh else optimiser.again
            parameters = through(levels, start, searched).parameters
        return parameters
