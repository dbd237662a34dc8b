"""Whether the search for the fields of a run can be trusted: validation pairs at their best λ, searched for once more.

Every pair is optimised by the same effort from several starts, and all of it is kept apart: what the loss says, the
regulariser, the primary score.

============  =========================================================================================================
unregistered  where every search began; nothing is optimised
path          what the run has found along the path of λ
again         from there, with steps as long as at first: what a second round changes
identity      from the identity, at the same λ: what the path did
truth         from the true field, fitted by the transformation, where there is one
other         from the field of another loss, the best of them on validation, where there is no truth
draws         from what the run has found, by a loss that draws :data:`DRAWS` times as much noise, where it draws any
============  =========================================================================================================

A lower objective from another start is a failure of the search. Where the search has found a lower objective than there
is near the truth, and a field that is further from it, the loss is wrong. The search from the identity is also followed
on its way.
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
    """Give the search of the λ that scores best on validation, whatever it folds; ``None`` where none was scored."""
    scored = [search for search in fields.searches if not search.empty and search.score is not None]
    return min(scored, key=lambda search: cost(search, dataset), default=None)


def cost(search: Search, dataset: Dataset) -> float:
    """Give the score of a search that was scored, with the sign that makes lower better."""
    assert search.score is not None
    return search.score if dataset.primary in metrics.lower_is_better() else -search.score


DRAWS = 4
"""How much more noise is drawn, to see what a result owes to the draw."""
Pairs = Sequence[tuple[str, str]]
Scorers = Sequence[PrimaryScorer]


@dataclass
class Found:
    """What searches have found.

    Attributes:
        endings: a row for every pair and start: what the module says.
        trace: a row for every pair and half window of the search from the identity.
        seconds: that this search took, without what following it took.
        followed: evaluations, each of one pair, of this search.
    """

    endings: list[dict[str, Any]] = field(default_factory=list)
    trace: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    followed: int = 0

    def add(self, other: Found) -> None:
        """Take in what another search has found."""
        self.endings += other.endings
        self.trace += other.trace
        self.seconds += other.seconds
        self.followed += other.followed


@dataclass
class Audit:
    """Searches for the fields of validation pairs from several starts.

    Attributes:
        objective: dataset and loss.
        recipe: of the run.
        fields: what the run has found.
        search: of the λ that is best on validation, see :func:`best`.
        count: validation pairs at most, spread evenly.
        work: folder that survives an interruption, one file for every batch of pairs and start.
        reference: fields of another run, for pairs without a truth.
        saved: called whenever something was saved.
        found: by all searches so far.
        noisier: the objective of the same loss with more draws, where it draws noise.
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
        """Search for all validation pairs that the run has fields of.

        Raises:
            SystemExit: if the process is told to stop (SIGTERM), after the search that goes on is saved.
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
        """Take in what a search of a batch finds, or what an interrupted run has found."""
        path = self.work / f"{number}-{start}.json"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, asdict(self._searched(start, pairs, scorers, parameters, levels)))
            self.saved()
            if self.stop.is_set():
                msg = f"{self.dataset.name}: told to stop; {path.name} is saved, the next run goes on from there"
                raise SystemExit(msg)
        self.found.add(Found(**read_json(path, self.work)))

    def _searched(
        self, start: str, pairs: Pairs, scorers: Scorers, parameters: Tensor, levels: Sequence[Level]
    ) -> Found:
        """Optimise pairs from their parameters and write down where that ended."""
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
