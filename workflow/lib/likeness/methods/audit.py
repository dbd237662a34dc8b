"""Audit the optimisation of a run: repeat the search for validation pairs at the best λ from several starts.

Every pair is optimised with the same effort from each start. Recorded are the value of the loss, the regulariser, the
objective and the primary score.

============  =========================================================================================================
unregistered  the identity, without optimisation
path          the result of the run, reached along its path of λ
again         restart from that result with the initial step size: the effect of a second round
identity      start from the identity, at the same λ: the effect of the path
truth         start from the true field, approximated by the transformation, if known
other         if the truth is unknown, start from the field of another loss, the best of them on validation
draws         start from the result of the run, with :data:`DRAWS` times as many noise samples, for losses with noise
============  =========================================================================================================

A lower objective from another start means that the search failed. If the search found a lower objective than near the
truth, with a field further from it, the loss is at fault. The search from the identity also records its trajectory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likeness import metrics
from likeness.data.loading import chunks
from likeness.data.pairs import evenly_spaced
from likeness.data.store import Dataset
from likeness.evaluation.pair import PrimaryScorer
from likeness.fields import Fields, Given, Search
from likeness.geometry import to_array, to_tensor
from likeness.losses.base import Registration
from likeness.methods import search as searches
from likeness.methods.objective import Objective
from likeness.methods.optimisation import Level, Optimiser, Recipe, through
from likeness.methods.search import Evaluated
from likeness.runtime.atomic import read_json, write_json
from likeness.runtime.jobs import told_to_stop


def best(fields: Fields, dataset: Dataset) -> Search | None:
    """Return the search at the λ with the best validation score, regardless of folding; ``None`` if none was scored."""
    scored = [search for search in fields.searches if not search.empty and search.score is not None]
    return min(scored, key=lambda search: cost(search, dataset), default=None)


def cost(search: Search, dataset: Dataset) -> float:
    """Return the score of a search with the sign for which lower is better."""
    assert search.score is not None
    return search.score if dataset.primary in metrics.lower_is_better() else -search.score


DRAWS = 4
"""Factor on the number of noise samples, to see how much a result depends on the samples."""
Pairs = Sequence[tuple[str, str]]
Scorers = Sequence[PrimaryScorer]


@dataclass
class Found:
    """Results of audit searches.

    Attributes:
        endings: one row per pair and start, see the module.
        trace: one row per pair and half window of the search from the identity.
        seconds: duration of that search, without recording the trajectory.
        followed: number of evaluations of that search, summed over pairs.
    """

    endings: list[dict[str, Any]] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    followed: int = 0

    def add(self, other: Found) -> None:
        """Append the results of another search."""
        self.endings += other.endings
        self.trace += other.trace
        self.seconds += other.seconds
        self.followed += other.followed


@dataclass
class Audit:
    """Searches for the fields of validation pairs from several starts.

    Attributes:
        objective: dataset and loss.
        recipe: settings of the run.
        fields: result of the run.
        search: search at the best λ on validation, see :func:`best`.
        count: maximum number of validation pairs, evenly spaced.
        work: folder that survives an interruption, with one file per batch of pairs and start.
        reference: fields of another run, for pairs without truth.
        saved: called whenever something was saved.
        found: results of all searches so far.
        noisier: objective of the same loss with more noise samples, if it uses noise.
    """

    objective: Objective
    recipe: Recipe
    fields: Fields
    search: Search
    count: int
    work: Path
    reference: Given | None = None
    saved: Callable[[], object] = lambda: None
    found: Found = field(default_factory=Found)
    noisier: Objective | None = None

    def __post_init__(self) -> None:
        objective = self.objective
        self.dataset = objective.dataset
        shape, spacing = self.dataset.shape, self.dataset.spacing
        self.optimiser = Optimiser(objective.loss, shape, spacing, self.recipe, objective.device)
        if self.noisier:
            self.drawing = Optimiser(self.noisier.loss, shape, spacing, self.recipe, objective.device)
        assert self.search.weight is not None
        self.weight = self.search.weight
        self.known = {(pair.moving, pair.fixed): pair for pair in self.search.pairs}

    def run(self) -> None:
        """Search for all selected validation pairs that the run has fields of.

        Raises:
            SystemExit: on SIGTERM, after the current search has been saved.
        """
        pairs = evenly_spaced(self.dataset.pairs_of("val"), self.count)
        with told_to_stop() as self.stop:
            for number, batch in enumerate(chunks([pair for pair in pairs if pair in self.known], self.recipe.batch)):
                self._batch(number, batch)

    def _batch(self, number: int, pairs: Pairs) -> None:
        scorers = [PrimaryScorer(self.dataset, *map(self.dataset.load, pair)) for pair in pairs]
        finest = self.optimiser.levels[-1:]
        made = [self.fields.read_parameters(self.search, *pair) for pair in pairs]
        path = torch.cat([to_tensor(one) for one in made]).to(self.objective.device)
        self._unsearched(pairs, scorers, path)
        self._kept(number, "again", pairs, scorers, path, finest)
        self._kept(number, "identity", pairs, scorers, self.optimiser.nothing(len(pairs)), self.optimiser.levels)
        if self.noisier:
            self._kept(number, "draws", pairs, scorers, path, finest)
        for name in ("truth", "other"):
            fields = [self._reference(name, pair, scorer) for pair, scorer in zip(pairs, scorers, strict=True)]
            known = [to_tensor(one) for one in fields if one is not None]
            there = [k for k, one in enumerate(fields) if one is not None]
            if there:
                start = self.optimiser.fit(torch.cat(known).to(self.objective.device))
                some, theirs = [pairs[k] for k in there], [scorers[k] for k in there]
                self._kept(number, name, some, theirs, start, finest)

    def _reference(self, name: str, pair: tuple[str, str], scorer: PrimaryScorer) -> np.ndarray | None:
        if name == "truth":
            return scorer.true_field
        return None if scorer.truth is not None or self.reference is None else self.reference(*pair)

    def _unsearched(self, pairs: Pairs, scorers: Scorers, path: Tensor) -> None:
        still = self.objective.registration(pairs)
        with torch.no_grad():
            identity = self.objective.loss(still).tolist()
        made = self.optimiser.displacements(path)
        for pair, scorer, value, displacement in zip(pairs, scorers, identity, made, strict=True):
            known = self.known[pair]
            numbers = (known.evaluations, known.converged, known.dissimilarity, known.energy)
            self.found.endings += [
                self._ending("unregistered", pair, scorer, np.zeros(scorer.grid, np.float32), 0, True, value, 0.0),
                self._ending("path", pair, scorer, displacement, *numbers),
            ]

    def _kept(
        self, number: int, start: str, pairs: Pairs, scorers: Scorers, parameters: Tensor, levels: Sequence[Level]
    ) -> None:
        """Search for a batch from one start, or load the result of an interrupted run."""
        path = self.work / f"{number}-{start}.json"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, asdict(self._searched(start, pairs, scorers, parameters, levels)))
            self.saved()
            if self.stop.is_set():
                msg = f"{self.dataset.name}: told to stop; {path.name} is saved, the next run will resume from it"
                raise SystemExit(msg)
        self.found.add(Found(**read_json(path, self.work)))

    def _searched(
        self, start: str, pairs: Pairs, scorers: Scorers, parameters: Tensor, levels: Sequence[Level]
    ) -> Found:
        """Optimise pairs from given parameters and record the results."""
        found = Found()
        follow = partial(self._watch, found, pairs, scorers) if start == "identity" else None
        optimiser = self.drawing if start == "draws" else self.optimiser

        def registrations(active: Sequence[int]) -> Registration:
            return self.objective.registration([pairs[k] for k in active])

        def searched(_: int, level: Level, so_far: searches.Found) -> searches.Found:
            watch = follow and partial(follow, so_far.evaluations)
            return optimiser.optimise(registrations, so_far.parameters, self.weight, level, watch)

        begun, watching = perf_counter(), optimiser.watching
        ended = through(levels, parameters, searched)
        if follow:
            found.seconds += perf_counter() - begun - (optimiser.watching - watching)
            found.followed += sum(ended.evaluations)
        for k, displacement in enumerate(self.optimiser.displacements(ended.parameters)):
            numbers = (ended.evaluations[k], ended.converged[k], ended.dissimilarity[k], ended.energy[k])
            found.endings.append(self._ending(start, pairs[k], scorers[k], displacement, *numbers))
        return found

    def _watch(
        self,
        found: Found,
        pairs: Pairs,
        scorers: Scorers,
        spent: Sequence[int],
        active: Sequence[int],
        evaluations: int,
        _: Tensor,
        seen: Evaluated,
    ) -> None:
        for place, k in enumerate(active):
            moving, fixed = pairs[k]
            score = scorers[k].primary(to_array(seen.displacement[place : place + 1]))
            step = {"evaluations": spent[k] + evaluations, "objective": float(seen.loss[place]), "score": score}
            found.trace.append({"moving": moving, "fixed": fixed, **step})

    def _ending(
        self,
        start: str,
        pair: tuple[str, str],
        scorer: PrimaryScorer,
        displacement: np.ndarray,
        evaluations: int,
        converged: bool,
        dissimilarity: float,
        energy: float,
    ) -> dict[str, Any]:
        return {
            "moving": pair[0],
            "fixed": pair[1],
            "start": start,
            "evaluations": evaluations,
            "converged": converged,
            "dissimilarity": dissimilarity,
            "energy": energy,
            "objective": dissimilarity + self.weight * energy,
            "score": float(scorer.primary(displacement)) if np.isfinite(displacement).all() else float("nan"),
        }
