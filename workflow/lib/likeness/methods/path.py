"""The path of regularisation along which pairs are optimised, from smooth to rough fields, and what it leaves behind.

The first λ goes through all levels of the transformation, every other one through the last two, from where the one
before it ended: a place that was wrong at strong regularisation can still be left. For most pairs that ends at lower
objectives than starts from the identity, than going through all levels again, and than going on at the finest level
alone.

Its levels are fixed on validation pairs and then hold for test pairs. Where the weakest is the best on validation, a
weaker one is added. Everything that was optimised is kept in a work folder, one file for every batch of pairs, λ and
level of the transformation, so that an interrupted job goes on from there and ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from likeness import fields, metrics
from likeness.data.loading import chunks
from likeness.evaluation.pair import PrimaryScorer
from likeness.fields import Given, PairSearch, Search
from likeness.geometry import to_tensor
from likeness.losses.base import Registration
from likeness.methods.calibration import Calibration
from likeness.methods.objective import Objective
from likeness.methods.optimisation import Level, Optimiser, Recipe, through
from likeness.methods.search import Checkpoint, Found
from likeness.metrics import regularity
from likeness.runtime import progress
from likeness.runtime.atomic import atomic_write
from likeness.runtime.jobs import told_to_stop
from likeness.transformations import refine

Pairs = Sequence[tuple[str, str]]
LEAST = 0.5
"""Share of validation pairs that may not have diverged where a roughness is told."""


@dataclass(frozen=True)
class Step:
    """A level of the path: what tables call it, and the multiple of λ₀ that it is."""

    lam: float
    multiple: float
    attained: bool = True
    score: float | None = None
    """Mean primary score of validation pairs."""
    exhausted: bool = False
    """Whether no λ that was tried made fields as rough as wanted, let alone rougher ones."""


@dataclass
class State:
    """How far some pairs have come: their parameters, and how the search for them ended."""

    parameters: Tensor
    found: list[PairSearch]


class RegularisationPath:
    """Registers the validation and test pairs of a dataset at every level of a path.

    Args:
        objective: dataset and loss.
        recipe: everything else that decides the optimisation.
        work: folder that survives an interruption.
        label: for the progress bar.
        saved: called whenever something was saved.
        given: fields that the path starts from.
    """

    def __init__(
        self,
        objective: Objective,
        recipe: Recipe,
        work: Path,
        label: str,
        saved: Callable[[], object] = lambda: None,
        given: Given | None = None,
    ) -> None:
        self.objective = objective
        self.recipe = recipe
        self.dataset = objective.dataset
        self.optimiser = Optimiser(objective.loss, self.dataset.shape, self.dataset.spacing, recipe, objective.device)
        self.work = work
        self.label = label
        self.saved = saved
        self.given = given
        self.origins: dict[Pairs, Tensor] = {}
        self.sign = -1 if self.dataset.primary in metrics.lower_is_better() else 1
        """Makes higher scores better."""

    def register(self, folder: Path) -> None:
        """Optimise all pairs and write fields and manifest into a folder.

        Raises:
            SystemExit: if the process is told to stop (SIGTERM), after what was optimised is saved.
        """
        validation, test = self.dataset.pairs_of("val"), self.dataset.pairs_of("test")
        base = 1.0 if self.recipe.scale == "raw" else self.objective.balance(self.recipe.batch)
        total = len(self.recipe.grid) * (len(validation) + len(test))
        with told_to_stop() as self.stop, progress.bar(0, total, self.label) as self.shown:
            steps, states = self._fixed_levels(validation or test, base, chosen_by_score=bool(validation))
            if validation:
                # where a level was not attained, test pairs have none
                states = [
                    State(torch.cat([a.parameters, b.parameters]), a.found + b.found) if b.found else a
                    for a, b in zip(states, self._along(test, steps, base), strict=True)
                ]
        pairs = [*validation, *test] if validation else test
        searches = []
        for step, state in zip(steps, states, strict=True):
            searches.append(_search(step if validation else replace(step, score=None), base, state.found))
            if not searches[-1].empty:
                for (moving, fixed), parameters in zip(pairs, state.parameters, strict=True):
                    array = np.moveaxis(parameters.cpu().numpy(), 0, -1)
                    fields.write_parameters(folder, step.lam, moving, fixed, array)
        fields.write_manifest(folder, self.dataset.shape, searches, self.optimiser.transformation)

    def _fixed_levels(self, pairs: Pairs, base: float, chosen_by_score: bool) -> tuple[list[Step], list[State]]:
        """Fix the levels of the path on pairs; give the state of these at each of them.

        Where they are chosen by their scores, as on validation pairs, a weaker one is added if the weakest is the best.
        """
        rising = self.recipe.scale == "roughness"
        grid = sorted(self.recipe.grid, reverse=not rising)
        scorers = [PrimaryScorer(self.dataset, *map(self.dataset.load, pair)) for pair in pairs]
        steps: list[Step] = []
        states: list[State] = []
        scores: list[float] = []
        while len(steps) < len(grid):
            lam = grid[len(steps)]
            start = self._last(steps, states, pairs)
            if steps and steps[-1].exhausted:
                step, state = replace(steps[-1], lam=lam), states[-1]
            elif rising:
                step, state = self._calibrated(pairs, scorers, lam, start, steps, base)
            else:
                step = Step(lam, lam)
                state = self._batches(pairs, start, step.multiple * base, f"{lam:g}")
            scores.append(self._score(scorers, state) if step.attained else float("nan"))
            steps.append(replace(step, score=self.sign * scores[-1] if np.isfinite(scores[-1]) else None))
            states.append(state)
            self.shown.update(len(pairs))
            if chosen_by_score and len(steps) == len(grid) == len(self.recipe.grid) > 1 and _last_is_best(scores):
                grid.append(float(f"{grid[-1] ** 2 / grid[-2]:.3g}"))
                self.shown.total += len(self.dataset.pairs_of("val")) + len(self.dataset.pairs_of("test"))
        return steps, states

    def _calibrated(
        self, pairs: Pairs, scorers: list[PrimaryScorer], wanted: float, start: State, before: list[Step], base: float
    ) -> tuple[Step, State]:
        """Find the λ that makes fields as rough as wanted."""
        search = Calibration(wanted, [(step.multiple, step.lam) for step in before if step.attained])
        states = []
        while (multiple := search.proposal()) is not None:
            state = self._batches(pairs, start, multiple * base, f"{wanted:g}-{multiple:g}")
            states.append(state)
            search.tried.append((multiple, self._roughness(scorers, state)))
        step = Step(wanted, search.tried[search.best][0], search.attained, exhausted=search.exhausted)
        return step, states[search.best]

    def _along(self, pairs: Pairs, steps: list[Step], base: float) -> list[State]:
        """Register pairs at every level of a path that is fixed."""
        states: list[State] = []
        for step in steps:
            start = self._last(steps, states, pairs)
            if step.attained:
                states.append(self._batches(pairs, start, step.multiple * base, f"test-{step.lam:g}"))
            else:
                states.append(State(start.parameters, []))
            self.shown.update(len(pairs))
        return states

    def _last(self, steps: list[Step], states: list[State], pairs: Pairs) -> State:
        """Give where the path has led to."""
        reached = [state for step, state in zip(steps, states, strict=False) if step.attained]
        return reached[-1] if reached else State(self._origin(pairs), [])

    def _origin(self, pairs: Pairs) -> Tensor:
        """Give the parameters that pairs start from: of the given fields, or of nothing."""
        if self.given is None:
            return self.optimiser.nothing(len(pairs))
        key = tuple(pairs)
        if key not in self.origins:
            parts = [self._fitted(batch) for batch in chunks(key, self.recipe.batch)]
            self.origins[key] = torch.cat(parts)
        return self.origins[key]

    def _fitted(self, pairs: Pairs) -> Tensor:
        """Give the parameters that come closest to the given fields; what has none starts from the identity."""
        assert self.given is not None
        still = np.zeros((*self.dataset.shape, self.dataset.spatial_dims), np.float32)
        found = [self.given(*pair) for pair in pairs]
        tensors = [to_tensor(still if field is None else field) for field in found]
        return self.optimiser.fit(torch.cat(tensors).to(self.optimiser.device))

    def _batches(self, pairs: Pairs, start: State, lam: float, name: str) -> State:
        """Optimise pairs at one λ, batch by batch, through levels of the transformation.

        From given fields the search continues at the finest level alone: coarser ones would smooth away what they have.
        """
        levels = self.optimiser.levels if self.given is None else self.optimiser.levels[-1:]
        origin = self._origin(pairs)
        if start.found and not self.recipe.separate:
            # what diverged at the last λ starts anew
            sound = start.parameters.flatten(1).isfinite().all(1).view(-1, *[1] * (start.parameters.dim() - 1))
            origin = torch.where(sound, start.parameters, refine(origin, start.parameters.shape[2:]))
            levels = self.optimiser.again if self.given is None else levels
        parts = []
        for number, chosen in enumerate(chunks(range(len(pairs)), self.recipe.batch)):
            batch = [pairs[k] for k in chosen]
            parts.append(self._batch(batch, origin[list(chosen)], lam, levels, f"{name}-{number}"))
        return State(torch.cat([part.parameters for part in parts]), [one for part in parts for one in part.found])

    def _batch(self, pairs: Pairs, parameters: Tensor, lam: float, levels: Sequence[Level], name: str) -> State:
        def registrations(active: Sequence[int]) -> Registration:
            return self.objective.registration([pairs[k] for k in active])

        def searched(number: int, level: Level, so_far: Found) -> Found:
            search = partial(self.optimiser.optimise, registrations, so_far.parameters, lam, level)
            return self._kept(f"{name}-{number}", search)

        found = through(levels, parameters, searched)
        rows = zip(pairs, found.evaluations, found.converged, found.dissimilarity, found.energy, strict=True)
        return State(found.parameters, [PairSearch(*pair, n, good, d, e) for pair, n, good, d, e in rows])

    def _kept(self, name: str, search: Callable[..., Found]) -> Found:
        """Give what an interrupted run has found, or find and keep it."""
        path = self.work / f"{name}.npz"
        if path.is_file():
            return Found.load(path, self.optimiser.device)

        def written() -> None:
            self.saved()
            if self.stop.is_set():
                msg = f"{self.label}: told to stop; {name} is saved, the next run goes on from there"
                raise SystemExit(msg)

        checkpoint = Checkpoint(path.with_suffix(".checkpoint"), self.stop.is_set, written)
        found = search(checkpoint=checkpoint)
        with atomic_write(path) as temporary:
            found.save(temporary)
        checkpoint.drop()
        written()
        return found

    def _roughness(self, scorers: list[PrimaryScorer], state: State) -> float:
        rough = [
            regularity.sdlogj(regularity.jacobian(field), scorer.fixed.mask)
            for scorer, field in zip(scorers, self.optimiser.displacements(state.parameters), strict=True)
        ]
        finite = np.isfinite(rough)
        return float(np.median(np.array(rough)[finite])) if finite.mean() >= LEAST else float("nan")

    def _score(self, scorers: list[PrimaryScorer], state: State) -> float:
        """Give the mean primary score of the pairs that have one, higher is better; NaN where a pair diverged."""
        if not state.parameters.isfinite().all():
            return float("nan")
        made = self.optimiser.displacements(state.parameters)
        scores = np.array([scorer.primary(field) for scorer, field in zip(scorers, made, strict=True)])
        known = scores[np.isfinite(scores)]
        return self.sign * float(known.mean()) if len(known) else float("nan")


def _last_is_best(scores: list[float]) -> bool:
    """Tell whether the weakest of all levels scores best."""
    return bool(np.isfinite(scores[-1])) and scores[-1] == np.nanmax(scores)


def _search(step: Step, base: float, found: list[PairSearch]) -> Search:
    """Sum up how the search for the fields of a level ended."""
    ended = [one for one in found if np.isfinite(one.dissimilarity)]
    return Search(
        step.lam,
        iterations=round(float(np.mean([one.evaluations for one in found]))),
        converged=float(np.mean([one.converged for one in found])) if step.attained else None,
        diverged=not ended,
        attained=step.attained,
        multiple=step.multiple,
        weight=step.multiple * base,
        score=step.score if ended else None,
        pairs=tuple(found),
    )
