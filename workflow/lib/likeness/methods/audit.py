"""Whether the search for the fields of a run can be trusted: validation pairs at their best λ, searched for once more.

Every pair is optimised by the same effort from several starts, and all of it is kept apart: what the loss says, the
regulariser, the primary score.

============  =========================================================================================================
unregistered  where every search began; nothing is optimised
path          what the run has found along the path of λ
again         from there, with steps as long as at first: what twice the effort changes
identity      from the identity, at the same λ: what the path did
truth         from the true field, fitted by the transformation, where there is one
other         from the field of another loss, the best of them on validation, where there is no truth
============  =========================================================================================================

A lower objective from another start is a failure of the search. Where the search has found a lower objective than there
is near the truth, and a field that is further from it, the loss is wrong. The search from the identity is also followed
on its way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likeness.data.loading import chunks
from likeness.data.store import LOWER_IS_BETTER, Dataset
from likeness.evaluation.pair import PairJudge
from likeness.fields import Fields, Given, Search
from likeness.geometry import to_array, to_tensor
from likeness.losses.base import Registration
from likeness.methods.objective import Objective
from likeness.methods.optimisation import Level, Optimiser, Recipe, through
from likeness.methods.search import Evaluated, Found


def best(fields: Fields, dataset: Dataset) -> Search | None:
    """Give the search of the λ that scores best on validation, whatever it folds; ``None`` where none was judged."""
    judged = [search for search in fields.searches if not search.empty and search.score is not None]
    return min(judged, key=lambda search: cost(search, dataset), default=None)


def cost(search: Search, dataset: Dataset) -> float:
    """Give the score of a search that was judged, with the sign that makes lower better."""
    assert search.score is not None
    return search.score if dataset.primary in LOWER_IS_BETTER else -search.score


@dataclass
class Audit:
    """Searches for the fields of validation pairs from several starts.

    Args:
        objective: dataset and loss.
        recipe: of the run.
        fields: what the run has found.
        search: of the λ that is best on validation, see :func:`best`.
        reference: fields of another run, for pairs without a truth.
    """

    objective: Objective
    recipe: Recipe
    fields: Fields
    search: Search
    reference: Given | None = None
    endings: list[dict[str, Any]] = field(default_factory=list)
    """A row for every pair and start: what the module says."""
    trace: list[dict[str, Any]] = field(default_factory=list)
    """A row for every pair and half window of the search from the identity."""
    seconds: float = 0.0
    """That the search from the identity took, without what following it took."""
    followed: int = 0
    """Evaluations, each of one pair, of that search."""

    def __post_init__(self) -> None:
        objective = self.objective
        self.dataset = objective.dataset
        shape, spacing = self.dataset.shape, self.dataset.spacing
        self.optimiser = Optimiser(objective.loss, shape, spacing, self.recipe, objective.device)
        assert self.search.weight is not None
        self.weight = self.search.weight
        self.known = {(pair.moving, pair.fixed): pair for pair in self.search.pairs}

    def run(self) -> None:
        """Search for all validation pairs that the run has fields of."""
        pairs = self.dataset.pairs_of("val")[: self.recipe.audit]
        for batch in chunks([pair for pair in pairs if pair in self.known], self.recipe.batch):
            self._batch(batch)

    def _batch(self, pairs: Sequence[tuple[str, str]]) -> None:
        judges = [PairJudge(self.dataset, *map(self.dataset.load, pair)) for pair in pairs]
        finest = self.optimiser.levels[-1:]
        made = [self.fields.read_parameters(self.search, *pair) for pair in pairs]
        path = torch.cat([to_tensor(one) for one in made]).to(self.objective.device)
        self._unsearched(pairs, judges, path)
        self._searched("again", pairs, judges, path, finest)
        self._searched("identity", pairs, judges, self.optimiser.nothing(len(pairs)), self.optimiser.levels)
        for name in ("truth", "other"):
            fields = [self._reference(name, pair, judge) for pair, judge in zip(pairs, judges, strict=True)]
            known = [to_tensor(one) for one in fields if one is not None]
            there = [k for k, one in enumerate(fields) if one is not None]
            if there:
                start = self.optimiser.fit(torch.cat(known).to(self.objective.device))
                some, theirs = [pairs[k] for k in there], [judges[k] for k in there]
                self._searched(name, some, theirs, start, finest)

    def _reference(self, name: str, pair: tuple[str, str], judge: PairJudge) -> np.ndarray | None:
        if name == "truth":
            return judge.true_field
        return None if judge.truth is not None or self.reference is None else self.reference(*pair)

    def _unsearched(self, pairs: Sequence[tuple[str, str]], judges: Sequence[PairJudge], path: Tensor) -> None:
        still = self.objective.registration(pairs)
        with torch.no_grad():
            identity = self.objective.loss(still).tolist()
        made = self.optimiser.displacements(path)
        for pair, judge, value, displacement in zip(pairs, judges, identity, made, strict=True):
            found = self.known[pair]
            self._end("unregistered", pair, judge, np.zeros(judge.grid, np.float32), 0, True, value, 0.0)
            numbers = (found.evaluations, found.converged, found.dissimilarity, found.energy)
            self._end("path", pair, judge, displacement, *numbers)

    def _searched(
        self,
        start: str,
        pairs: Sequence[tuple[str, str]],
        judges: Sequence[PairJudge],
        parameters: Tensor,
        levels: Sequence[Level],
    ) -> None:
        """Optimise pairs from their parameters and write down where that ended."""

        def registrations(active: Sequence[int]) -> Registration:
            return self.objective.registration([pairs[k] for k in active])

        def searched(_: int, level: Level, so_far: Found) -> Found:
            watch = partial(self._watch, pairs, judges, so_far.evaluations) if start == "identity" else None
            return self.optimiser.optimise(registrations, so_far.parameters, self.weight, level, watch)

        begun = perf_counter()
        found = through(levels, parameters, searched)
        if start == "identity":
            self.seconds += perf_counter() - begun
            self.followed += sum(found.evaluations)
        for k, displacement in enumerate(self.optimiser.displacements(found.parameters)):
            numbers = (found.evaluations[k], found.converged[k], found.dissimilarity[k], found.energy[k])
            self._end(start, pairs[k], judges[k], displacement, *numbers)

    def _watch(
        self,
        pairs: Sequence[tuple[str, str]],
        judges: Sequence[PairJudge],
        spent: Sequence[int],
        active: Sequence[int],
        evaluations: int,
        seen: Evaluated,
    ) -> None:
        begun = perf_counter()
        for place, k in enumerate(active):
            moving, fixed = pairs[k]
            score = judges[k].primary(to_array(seen.displacement[place : place + 1]))
            step = {"evaluations": spent[k] + evaluations, "objective": float(seen.loss[place]), "score": score}
            self.trace.append({"moving": moving, "fixed": fixed, **step})
        self.seconds -= perf_counter() - begun

    def _end(
        self,
        start: str,
        pair: tuple[str, str],
        judge: PairJudge,
        displacement: np.ndarray,
        evaluations: int,
        converged: bool,
        dissimilarity: float,
        energy: float,
    ) -> None:
        finite = np.isfinite(displacement).all()
        row: Mapping[str, Any] = {
            "moving": pair[0],
            "fixed": pair[1],
            "start": start,
            "evaluations": evaluations,
            "converged": converged,
            "dissimilarity": dissimilarity,
            "energy": energy,
            "objective": dissimilarity + self.weight * energy,
            "score": judge.primary(displacement) if finite else float("nan"),
        }
        self.endings.append(dict(row))
