"""What a mean over test pairs, or a difference of two, says about other subjects and about other trainings.

Scores of pairs are correlated through subjects, which :mod:`likeness.statistics.mixed_model` takes into account. The
variance between seeds, that is, between trainings or draws of noise, is added to that of the subjects::

    SE² = SE²(subjects, seeds averaged) + s²_a / k_a + s²_b / k_b

Below :data:`FEWEST_SEEDS` seeds it cannot be estimated: the interval then holds for these trainings only, which a note
says, and no p is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import starmap

import numpy as np
import pandas as pd

from likeness.statistics.aggregate import between_seeds, observations, pairs_of, wide
from likeness.statistics.mixed_model import FEWEST_SUBJECTS, Means, Observations

ONE_SPECIMEN = "within one specimen"
"""Note on results from images that are all of one specimen, of which others may differ."""
FEWEST_SEEDS = 3
"""Minimum number of seeds from which the variance between seeds is estimated."""


@dataclass(frozen=True)
class Seeds:
    """Seeds of a series."""

    runs: int
    """Number of seeds; 0 if the series has none."""
    used: int
    """Number of seeds that did not diverge."""
    variance: float
    """Variance of the mean over these seeds."""

    @property
    def estimated(self) -> bool:
        """Whether the variance between seeds can be estimated."""
        return self.used >= FEWEST_SEEDS

    @property
    def matter(self) -> bool:
        """Whether the series has seeds, whose variance then belongs into its uncertainty."""
        return self.runs > 0


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference of means, with its uncertainty."""

    mean: float
    se: float
    df: float
    pairs: int
    subjects: int
    notes: tuple[str, ...]
    inferential: bool
    """Whether a p may be given: subjects suffice, and every variance between seeds is part of the standard error."""

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the limits of the confidence interval."""
        low, high = self._means.interval(confidence)
        return float(low[0]), float(high[0])

    def p(self, null: float = 0.0, tail: str = "both") -> float:
        """Test against a value, see :meth:`Means.p`."""
        return float(self._means.p(null, tail)[0])

    @property
    def _means(self) -> Means:
        return Means(*(np.array([value]) for value in (self.mean, self.se, self.df, np.nan)))


class Table:
    """Test pairs of a dataset: their observations, subjects and seeds.

    Args:
        rows: of the metrics table, of one dataset and split.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows = rows
        self.wide = wide(observations(rows))
        """Observations, ``(observations, series)``, as :func:`likeness.statistics.aggregate.wide` gives them."""
        self.names = names_of(self.wide.columns)
        """Names of the series: method, loss, variant, metric, label, unit; ``None`` where one does not apply."""
        first, second = (self.wide.index.get_level_values(level).to_numpy() for level in ("first", "second"))
        self._observations = Observations(first, second)
        spread = between_seeds(rows).set_index(list(self.wide.columns.names))[["runs", "seeds", "variance"]]
        known = dict(zip(names_of(spread.index), spread.itertuples(index=False), strict=True))
        self.seeds = [Seeds(*known[name]) for name in self.names]
        self._pairs = pairs_of(rows)
        self._whole = frozenset[tuple[str, str]]().union(*self._pairs.values())
        self._values = {self._whole: self.wide.to_numpy()}

    def estimates(self, values: np.ndarray, sources: list[list[Seeds]], notes: list[list[str]]) -> list[Estimate]:
        """Estimate the mean of every column.

        Args:
            values: ``(observations, columns)``; NaN and infinite ones do not count.
            sources: seeds that add to the variance of each column.
            notes: what is already to be said of each column.
        """
        values = np.where(np.isfinite(values), values, np.nan)
        means = self._observations.means(values)
        most = max((len(each) for each in sources), default=0)
        variances, df = np.zeros((2, most, values.shape[1]))
        for column, each in enumerate(sources):
            for place, seeds in enumerate(each):
                if seeds.estimated:
                    variances[place, column], df[place, column] = seeds.variance, seeds.used - 1
        means = means.widened(variances, df)
        found = []
        for column, (mean, se, degrees) in enumerate(zip(means.mean, means.se, means.df, strict=True)):
            present = ~np.isnan(values[:, column])
            subjects = self._observations.graph(present).subjects if present.any() else 0
            limits = _notes(sources[column], subjects, se) if present.any() else []
            said = [*notes[column], *limits]
            sound = not np.isnan(se) and all(seeds.estimated for seeds in sources[column] if seeds.matter)
            found.append(Estimate(mean, se, degrees, int(present.sum()), subjects, tuple(said), sound))
        return found

    def means(self) -> list[Estimate]:
        """Estimate the mean of every series."""
        return self.estimates(self.wide.to_numpy(), [[seeds] for seeds in self.seeds], [[] for _ in self.seeds])

    def subjects(self, place: int) -> int:
        """Return the number of subjects in the pairs of a series."""
        present = self.wide.iloc[:, place].notna().to_numpy()
        return self._observations.graph(present).subjects if present.any() else 0

    def values(self, i: int, j: int) -> np.ndarray:
        """Return two series on the pairs that both methods have, ``(observations, 2)``."""
        pairs = self._common(i, j)
        if pairs not in self._values:
            self._values[pairs] = self._restricted(pairs)
        return self._values[pairs][:, [i, j]]

    def differences(self, pairs: list[tuple[int, int]]) -> list[Estimate]:
        """Estimate the mean difference of each of several pairs of series, first minus second."""
        values = list(starmap(self.values, pairs))
        with np.errstate(invalid="ignore"):
            differences = np.stack([each[:, 0] - each[:, 1] for each in values], axis=1)
        notes = [self._incomparable(i, j, each) for (i, j), each in zip(pairs, values, strict=True)]
        blocked = np.array([any(note.startswith("not compared") for note in said) for said in notes])
        differences[:, blocked] = np.nan
        return self.estimates(differences, [[self.seeds[i], self.seeds[j]] for i, j in pairs], notes)

    def _incomparable(self, i: int, j: int, values: np.ndarray) -> list[str]:
        """Explain why two series are not compared, or not on all pairs."""
        said = []
        present = ~np.isnan(values).any(axis=1)
        if not present.any():
            missing = [name for name, column in zip("ab", values.T, strict=True) if np.isnan(column).all()]
            said.append(
                f"not compared: {' and '.join(missing)} diverged" if missing else "not compared: no common pairs"
            )
        elif (infinite := np.isinf(values[present]).sum(axis=0)).any():
            said.append(f"not compared: infinite pairs, {infinite[0]} of a, {infinite[1]} of b")
        if self._common(i, j) != self._whole:
            said.append("on the pairs that both have")
        return said

    def _common(self, i: int, j: int) -> frozenset[tuple[str, str]]:
        return self._pairs[str(self.names[i][0])] & self._pairs[str(self.names[j][0])]

    def _restricted(self, pairs: frozenset[tuple[str, str]]) -> np.ndarray:
        """Return the observations of some pairs only; of a pair and its reverse, one may be missing."""
        full = np.full(self.wide.shape, np.nan)
        there = [pair in pairs for pair in zip(self._rows.moving, self._rows.fixed, strict=True)]
        if any(there):
            part = wide(observations(self._rows[there]))
            column = {name: place for place, name in enumerate(self.names)}
            places = np.array([column[name] for name in names_of(part.columns)])
            full[np.ix_(self.wide.index.get_indexer(part.index), places)] = part.to_numpy()
        return full


def _notes(sources: list[Seeds], subjects: int, se: float) -> list[str]:
    """Return what limits an estimate from so many subjects and seeds; ``se`` is NaN where there is none."""
    said = []
    if 0 < subjects < FEWEST_SUBJECTS:
        said.append(f"no interval: fewer than {FEWEST_SUBJECTS} subjects")
    elif np.isnan(se):
        said.append("no interval: these pairs do not show how much subjects differ")
    if any(seeds.matter and not seeds.estimated for seeds in sources):
        said.append(f"about these trainings: fewer than {FEWEST_SEEDS} seeds")
    if any(0 < seeds.used < seeds.runs for seeds in sources):
        said.append("a seed diverged")
    return said


def names_of(index: pd.Index) -> list[tuple[str | None, ...]]:
    """Return the entries of an index of series, with ``None`` in place of nulls, which differ from themselves."""
    return [tuple(None if pd.isna(level) else str(level) for level in entry) for entry in index]
