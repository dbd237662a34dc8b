"""The crossed bootstrap over subjects, for scores of pairs.

Pairs that share a subject are not independent. The crossed ("pigeonhole") bootstrap resamples subjects with replacement
and weights a pair by the product of its two subjects' multiplicities: Owen, The pigeonhole bootstrap, Ann. Appl. Stat.
2007, doi:10.1214/07-AOAS122. A pair within one subject has the weight of its subject.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

RESAMPLES = 5000
FEWEST_SUBJECTS = 3
"""Minimum number of subjects for an interval and a p-value; resampling fewer is not meaningful."""
CALIBRATED_SUBJECTS = 20
"""Minimum number of subjects for a calibrated test; with fewer, p is descriptive."""


def seed_from_names(*names: str) -> int:
    """Derive a seed from names that is the same on every machine and in every subset of a study."""
    return int.from_bytes(hashlib.sha256("\n".join(names).encode()).digest()[:8], "little")


def pair_weights(first: np.ndarray, second: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Draw subjects and return the weight of every pair in every resample.

    Args:
        first: name of one subject of each pair, ``(pairs,)``.
        second: name of the other subject, which can be the same, ``(pairs,)``.
        resamples: number of resamples.
        seed: random seed.

    Returns:
        ``(resamples, pairs)``, integers as floats.
    """
    subjects, index = np.unique(np.concatenate([first, second]).astype(str), return_inverse=True)
    one, other = index[: len(first)], index[len(first) :]
    share = np.full(len(subjects), 1 / len(subjects))
    drawn = np.random.default_rng(seed).multinomial(len(subjects), share, size=resamples).astype(float)
    return drawn[:, one] * np.where(one == other, 1.0, drawn[:, other])


def draw(table: pd.DataFrame, dataset: str, resamples: int = RESAMPLES) -> np.ndarray:
    """Draw the weights ``(resamples, observations)`` of a wide table of test observations.

    They depend on the dataset's name and subjects only, so that results are the same for any subset of losses or
    metrics.

    Args:
        table: observations with the index levels ``first`` and ``second``, their subjects.
        dataset: name of the dataset.
        resamples: number of resamples.
    """
    first, second = (table.index.get_level_values(level).to_numpy() for level in ("first", "second"))
    return pair_weights(first, second, resamples, seed_from_names("test", dataset))


def count_subjects(table: pd.DataFrame, present: np.ndarray) -> int:
    """Count the subjects of the observations of a wide table for which ``present`` is true."""
    index = table.index[present]
    return len(set(index.get_level_values("first")) | set(index.get_level_values("second")))


def resampled_means(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the weighted mean of every column in every resample.

    Args:
        weights: ``(resamples, pairs)``.
        values: ``(pairs, columns)``, finite or NaN; NaN is ignored.

    Returns:
        ``(resamples, columns)``; NaN where a resample has no pair with a value.
    """
    present = ~np.isnan(values)
    total = weights @ np.where(present, values, 0.0)
    mass = weights.sum(axis=1, keepdims=True) if present.all() else weights @ present.astype(float)
    return np.divide(total, mass, out=np.full_like(total, np.nan), where=mass > 0)


def interval(means: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of resampled means ``(resamples,)``; NaN if there are none."""
    means = means[~np.isnan(means)]
    if not len(means):
        return float("nan"), float("nan")
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def p_value(means: np.ndarray, estimate: float) -> float:
    """Test whether a mean difference is zero.

    Args:
        means: resampled mean differences, ``(resamples,)``.
        estimate: observed mean difference.

    Returns:
        The two-sided p-value in (0, 1]: how often the resampled mean deviates from the estimate at least as much as the
        estimate from zero, ``(1 + count) / (1 + resamples)``.
    """
    means = means[~np.isnan(means)]
    # a tolerance, so that ties do not depend on the order of summation
    tolerance = 1e-9 * max(abs(estimate), 1e-12)
    count = int((np.abs(means - estimate) >= abs(estimate) - tolerance).sum())
    return (1 + count) / (1 + len(means))
