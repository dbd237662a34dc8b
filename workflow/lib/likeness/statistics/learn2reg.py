"""The rank by which the challenge Learn2Reg orders methods, for comparison with its tables.

In every metric every two methods are compared by a signed-rank test (Wilcoxon, Biometrics 1945, doi:10.2307/3001968).
The number of comparisons that a method wins at p < .05 is mapped to .1 … 1, the best having 1, and those with equal
numbers have the mean of their places. Its rank is the geometric mean over metrics (Hering et al., IEEE TMI 2023,
doi:10.48550/arXiv.2112.04489). The published code compares unpaired (rank-sum), although all methods register the same
pairs; here the test is paired. It takes pairs as independent, which those with a common subject are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.05
LOWEST = 0.1


def wins(costs: np.ndarray) -> np.ndarray:
    """Tell which methods are better than which others.

    Args:
        costs: scores, the lower the better, ``(pairs, methods)``; they may be infinite.

    Returns:
        ``(methods, methods)``, true where the one of the row is better than the one of the column, at p < .05.
    """
    number = costs.shape[1]
    found = np.zeros((number, number), bool)
    one, other = np.triu_indices(number, 1)
    a, b = costs[:, one], costs[:, other]
    with np.errstate(invalid="ignore"):
        differences = np.where(a == b, 0.0, a - b)
    differ = differences.any(axis=0)
    if not differ.any():
        return found
    one, other, differences = one[differ], other[differ], differences[:, differ]
    for tail, winner, loser in (("less", one, other), ("greater", other, one)):
        # half of the level at each side, as of a test with two
        p = stats.wilcoxon(differences, alternative=tail, method="asymptotic", axis=0).pvalue
        found[winner, loser] = p < LEVEL / 2
    return found


def score(won: np.ndarray) -> np.ndarray:
    """Map numbers of won comparisons, ``(methods,)``, to .1 … 1, with ties averaged; 1 for a single method."""
    if len(won) == 1:
        return np.ones(1)
    return LOWEST + (1 - LOWEST) * (stats.rankdata(won) - 1) / (len(won) - 1)


def rank(won: Sequence[np.ndarray]) -> np.ndarray:
    """Return the geometric mean over metrics of the scores of methods, in .1 … 1, the higher the better.

    Args:
        won: which method is better than which, one result of :func:`wins` per metric.
    """
    return stats.gmean([score(each.sum(axis=1)) for each in won], axis=0)
