"""Which losses differ in rank over pairs without a common subject: Friedman's test and Nemenyi's critical difference.

After Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006. Losses are ranked on every
pair, and their average ranks differ if they are at least ::

    q sqrt(k (k + 1) / (6 n))

apart, where q is the quantile of the studentised range of k losses divided by √2 and n the number of pairs. The test
takes pairs as independent, so that only pairs without a common subject count.
"""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

FEWEST_PAIRS = 10
"""Minimum number of pairs: below, the distributions that both tests assume are not those of ranks."""
FEWEST_LOSSES = 3
"""Minimum number of losses: Friedman's test of two is the sign test."""


@dataclass(frozen=True)
class Ranking:
    """Average ranks, and which do not differ."""

    average: np.ndarray
    """Average rank of every loss over pairs, ``(losses,)``, 1 for one that is best on all."""
    p: float
    """Friedman's test of equal ranks."""
    difference: float
    """The critical difference."""
    groups: list[frozenset[int]]
    """Losses that do not differ, by their place: the largest such groups, the best first."""


def independent(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Choose pairs without a common subject, as many as possible where pairs form chains and rings.

    The next pair is always one whose subjects have the fewest pairs left.

    Args:
        first: name of one subject of each pair, ``(pairs,)``.
        second: name of the other subject, which may be the same, ``(pairs,)``.

    Returns:
        Places of the chosen pairs, in ascending order.
    """
    left = {place: {str(a), str(b)} for place, (a, b) in enumerate(zip(first, second, strict=True))}
    chosen = []
    while left:
        degree = Counter(subject for subjects in left.values() for subject in subjects)
        place = min(left, key=lambda place: (sorted(degree[subject] for subject in left[place]), place))
        chosen.append(place)
        taken = left[place]
        left = {place: subjects for place, subjects in left.items() if not subjects & taken}
    return np.array(sorted(chosen), int)


def compare(costs: np.ndarray, level: float = 0.05) -> Ranking:
    """Compare the ranks of losses.

    Args:
        costs: scores of independent pairs, the lower the better, ``(pairs, losses)``.
        level: level of both tests.

    Returns:
        The ranking. If Friedman's test finds no difference all losses are one group.

    Raises:
        ValueError: if there are fewer than :data:`FEWEST_LOSSES` losses.
    """
    pairs, number = costs.shape
    if number < FEWEST_LOSSES:
        msg = f"{number} losses; give at least {FEWEST_LOSSES}"
        raise ValueError(msg)
    average = stats.rankdata(costs, axis=1).mean(axis=0)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        # of losses that are all equal
        warnings.simplefilter("ignore", RuntimeWarning)
        p = float(stats.friedmanchisquare(*costs.T).pvalue)
    difference = _quantile(number, level) * np.sqrt(number * (number + 1) / (6 * pairs))
    groups = _groups(average, float(difference)) if p < level else [frozenset(range(number))]
    return Ranking(average, p, float(difference), groups)


@lru_cache
def _quantile(number: int, level: float) -> float:
    return float(stats.studentized_range.ppf(1 - level, number, np.inf) / np.sqrt(2))


def _groups(average: np.ndarray, difference: float) -> list[frozenset[int]]:
    """List the largest groups of losses whose average ranks are less than a difference apart."""
    order = np.argsort(average, kind="stable")
    found: list[frozenset[int]] = []
    for place, best in enumerate(order):
        alike = frozenset(int(other) for other in order[place:] if average[other] - average[best] < difference)
        if not any(alike <= group for group in found):
            found.append(alike)
    return found
