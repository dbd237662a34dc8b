"""What the mean scores of losses would be with other subjects, drawn from those of the study.

Subjects are drawn with replacement. The weight of a pair is the product of how often its two subjects were drawn, of a
pair within one subject how often that one was (Davezies, D'Haultfœuille and Guyonvarch, Annals of Statistics 2021,
doi:10.1214/20-AOS1981). On chains and rings of pairs such draws vary more than other subjects would: what they say of
ranks is cautious there. Seeds are averaged, not drawn.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pandas as pd

from likeness import losses
from likeness import metrics as cards
from likeness.methods.kinds import UNREGISTERED, Methods
from likeness.statistics.aggregate import pairs_of
from likeness.statistics.comparisons import compared
from likeness.statistics.inference import Seeds, Table
from likeness.statistics.mixed_model import FEWEST_SUBJECTS

DRAWS = 2000
TIE = 9
"""Decimal places, relative to the largest mean, to which equal means are equal."""
ABOUT_TRAININGS = "about these trainings: seeds are averaged"


class Draws:
    """Draws of the subjects of a dataset, the same for everything that is asked of it.

    Args:
        dataset: its name, from which the draws follow: those of two datasets are independent.
        rows: of the metrics table, of this dataset and one split.
        count: number of draws.
    """

    def __init__(self, dataset: str, rows: pd.DataFrame, count: int = DRAWS) -> None:
        self._subjects = np.unique(np.concatenate([rows.moving_subject, rows.fixed_subject]).astype(str))
        number = len(self._subjects)
        random = np.random.default_rng(list(dataset.encode()))
        self._times = random.multinomial(number, np.full(number, 1 / number), count).astype(float)

    def weights(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Weight pairs in every draw.

        Args:
            first: name of one subject of each pair, ``(pairs,)``.
            second: name of the other subject, which may be the same, ``(pairs,)``.

        Returns:
            Weights, ``(draws, pairs)``; all zero in a draw without both subjects of any pair.
        """
        one, other = (np.searchsorted(self._subjects, np.asarray(each, str)) for each in (first, second))
        return np.where(one == other, self._times[:, one], self._times[:, one] * self._times[:, other])


class Contestant(NamedTuple):
    """A loss, or a method without one, that is ranked."""

    method: str
    loss: str | None
    variant: str | None
    name: str
    """Its name in tables: ``loss``, ``loss/variant``, or that of the method."""
    note: str
    """What limits its scores."""

    @property
    def supervision(self) -> str | None:
        """Kind of supervision of the loss."""
        return losses.card(self.loss)["supervision"] if self.loss else None


class Tables:
    """Scores of a dataset on the pairs that several methods have in common.

    Args:
        rows: of the metrics table, of one dataset and split, at the chosen λ, averaged over labels.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        self._pairs = pairs_of(rows)
        self._tables: dict[frozenset[tuple[str, str]], Table | None] = {}

    def on(self, methods: Collection[str]) -> tuple[Table | None, bool]:
        """Return the table of the pairs that all of some methods have, and whether some of them have others too.

        There is no table where they have none in common.
        """
        pairs = [self._pairs[name] for name in methods if name in self._pairs]
        shared = frozenset.intersection(*pairs) if pairs else frozenset[tuple[str, str]]()
        if shared not in self._tables:
            kept = [pair in shared for pair in zip(self.rows.moving, self.rows.fixed, strict=True)]
            self._tables[shared] = Table(self.rows[kept]) if shared else None
        return self._tables[shared], any(each != shared for each in pairs)


class Contest:
    """Scores of the losses of a method in one metric, on the pairs that all of them have; oracles are left out.

    Args:
        tables: scores of a dataset.
        methods: methods of the study.
        among: method whose losses are ranked; ``None`` for methods without a loss alone.
        metric: name of the metric.
        others: whether methods without a loss are ranked too; the unregistered pairs never are.
    """

    def __init__(self, tables: Tables, methods: Methods, among: str | None, metric: str, others: bool = True) -> None:
        self.metric = metric
        without = [name for name, method in methods.items() if others and not method.uses_loss]
        ranked = {among, *without} - {None, UNREGISTERED}
        table, self.restricted = tables.on([str(name) for name in ranked])
        """Whether some pairs are left out, because not all have them."""
        self.contestants: list[Contestant] = []
        self.diverged: list[Contestant] = []
        """Those that have no score at all."""
        self.costs = np.empty((0, 0))
        """Scores, ``(observations, contestants)``, of changed sign where higher is better; without NaN."""
        self.first, self.second = np.empty((2, 0), str)
        """Subjects of the observations, ``(observations,)`` each."""
        if table is not None:
            names = compared(table, methods, among, metric)
            self._fill(table, {place: name for place, name in names.items() if table.names[place][0] in ranked})

    def _fill(self, table: Table, names: dict[int, str]) -> None:
        values = table.wide.to_numpy()[:, list(names)]
        scored = ~np.isnan(values).all(axis=0)
        measured = ~np.isnan(values).all(axis=1)
        common = measured & ~np.isnan(values[:, scored]).any(axis=1)
        self.restricted |= bool((common != measured).any())
        for (place, name), has_scores in zip(names.items(), scored, strict=True):
            method, loss, variant, *_ = table.names[place]
            found = Contestant(str(method), loss, variant, name, _limits(table.seeds[place]))
            (self.contestants if has_scores else self.diverged).append(found)
        self.costs = self.sign * values[np.ix_(common, scored)]
        index = table.wide.index[common]
        self.first, self.second = (index.get_level_values(level).to_numpy(str) for level in ("first", "second"))

    @property
    def sign(self) -> int:
        """-1 if higher is better, else 1."""
        return -1 if cards.card(self.metric)["better"] == "higher" else 1

    @property
    def subjects(self) -> int:
        """Number of subjects in these pairs."""
        return len({*self.first, *self.second})

    @property
    def resampled(self) -> bool:
        """Whether there are subjects enough to draw from them."""
        return self.subjects >= FEWEST_SUBJECTS

    def means(self, draws: Draws | None = None) -> np.ndarray:
        """Return the mean cost of every contestant, the lower the better.

        Args:
            draws: draws of subjects; ``None`` for the pairs as they are.

        Returns:
            ``(draws, contestants)``, of one draw without ``draws``; NaN in a draw without any of the pairs.
        """
        weights = np.ones((1, len(self.costs))) if draws is None else draws.weights(self.first, self.second)
        # a structure that vanished leaves an infinite distance
        lost = np.isinf(self.costs)
        with np.errstate(invalid="ignore"):
            means = weights @ np.where(lost, 0.0, self.costs) / weights.sum(axis=1, keepdims=True)
        means[(weights @ lost) > 0] = np.inf
        finite = np.abs(means[np.isfinite(means)])
        scale = finite.max() if finite.any() else 1.0
        return np.round(means / scale, TIE) * scale


def _limits(seeds: Seeds) -> str:
    said = [ABOUT_TRAININGS] * seeds.matter + ["a seed diverged"] * (0 < seeds.used < seeds.runs)
    return "; ".join(said)
