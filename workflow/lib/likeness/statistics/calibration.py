"""Whether the tests keep their level on the very pairs of a study: simulations on their graph of subjects.

Differences without a true mean are simulated on the test pairs of a dataset, with a share of the variance between
subjects of 0, .2 and .5, as stated on pairs of two subjects, and

- ``normal`` effects;
- ``heavy`` tails: Student's t with three degrees of freedom;
- ``missing`` pairs: a fifth of them;
- ``seeds``: the mean of three trainings, whose means vary by half a standard error of the rest.

``false_positives`` is the share of simulations with p < .05, ``coverage`` that of 95 % intervals that hold the mean.
``power`` is the share with p < .05 where the mean is so large that a test which knows all variances finds it in
:data:`POWER` of the cases. A dataset is ``calibrated`` if no case exceeds :data:`HIGHEST` false positives.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from likeness.statistics.mixed_model import FEWEST_SUBJECTS, Means, PairGraph

SHARES = (0.0, 0.2, 0.5)
CASES = ("normal", "heavy", "missing", "seeds")
LEVEL = 0.05
POWER = 0.8
HIGHEST = 0.06
"""Maximum share of false positives at the level of .05."""
MISSING = 0.2
SEEDS = 3
BETWEEN_SEEDS = 0.5
"""Standard deviation of the means of trainings, in standard errors of the mean over subjects."""
COLUMNS = ["dataset", "n_pairs", "n_subjects", "share", "case", "false_positives", "coverage", "power", "calibrated"]


def calibrate(first: np.ndarray, second: np.ndarray, simulations: int, seed: int) -> pd.DataFrame:
    """Simulate on the graph of some pairs.

    Args:
        first: name of one subject of each pair, ``(pairs,)``.
        second: name of the other subject, ``(pairs,)``.
        simulations: number of simulations for every share and case.
        seed: random seed.

    Returns:
        The columns :data:`COLUMNS` without ``dataset``, a row for every share and case; empty where nothing is tested.
    """
    rows = []
    for number, (share, case) in enumerate((share, case) for share in SHARES for case in CASES):
        random = np.random.default_rng([seed, number])
        kept = np.ones(len(first), bool)
        if case == "missing":
            kept[random.permutation(len(first))[: round(MISSING * len(first))]] = False
        graph = PairGraph(first[kept], second[kept])
        if graph.subjects < FEWEST_SUBJECTS:
            continue
        rows.append({"n_pairs": graph.pairs, "n_subjects": graph.subjects, "share": share, "case": case})
        rows[-1] |= _simulate(graph, share, case, simulations, random)
    table = pd.DataFrame(rows, columns=COLUMNS[1:])
    # a comparison with NaN is false
    return table.assign(calibrated=bool((table.false_positives <= HIGHEST).all()) and len(table) > 0)


def _simulate(
    graph: PairGraph, share: float, case: str, simulations: int, random: np.random.Generator
) -> dict[str, float]:
    draw = _heavy(random) if case == "heavy" else random.standard_normal
    subjects = graph.membership.shape[1]
    values = np.sqrt(share / 2) * graph.membership @ draw((subjects, simulations))
    values += np.sqrt(1 - share) * draw((graph.pairs, simulations))
    covariance = share / 2 * graph.membership @ graph.membership.T + (1 - share) * np.eye(graph.pairs)
    error = 1 / np.sqrt(np.linalg.solve(covariance, np.ones(graph.pairs)).sum())
    means = graph.means(values)
    if case == "seeds":
        of_seeds = BETWEEN_SEEDS * error * random.standard_normal((SEEDS, simulations))
        error *= np.sqrt(1 + BETWEEN_SEEDS**2 / SEEDS)
        means = Means(means.mean + of_seeds.mean(axis=0), means.se, means.df, means.gamma)
        variance = of_seeds.var(axis=0, ddof=1) / SEEDS
        means = means.widened(variance[None], np.full((1, simulations), SEEDS - 1.0))
    if np.isnan(means.se).any():
        return dict.fromkeys(("false_positives", "coverage", "power"), np.nan)
    effect = (stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER)) * error
    positives = float((means.p() < LEVEL).mean())
    return {
        "false_positives": positives,
        # of a t interval and the test that it inverts
        "coverage": 1 - positives,
        "power": float((means.p(-effect) < LEVEL).mean()),
    }


def _heavy(random: np.random.Generator) -> Callable[[tuple[int, int]], np.ndarray]:
    """Return a generator of Student's t with three degrees of freedom and unit variance."""
    return lambda shape: random.standard_t(3, shape) / np.sqrt(3)
