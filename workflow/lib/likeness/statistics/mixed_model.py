"""The mean of scores of pairs that share subjects, by a Gaussian mixed model.

The score of a pair is the sum of a mean, an effect of each of its two subjects, and a residual::

    y = μ + u[first] + u[second] + e,    u ~ N(0, τ²),  e ~ N(0, σ²)

a multiple-membership model (Browne, Goldstein and Rasbash, Statistical Modelling 2001,
doi:10.1177/1471082X0100100202). A pair within one subject has that subject's effect once. The variances are estimated
by restricted maximum likelihood (REML). The degrees of freedom of the mean are Satterthwaite's, from the expected
information, which for a single mean are those of Kenward and Roger (Biometrics 1997, doi:10.2307/2533558); where the
estimate of τ² is zero they are those of independent pairs, as in lmerTest (Kuznetsova et al., J. Stat. Softw. 2017,
doi:10.18637/jss.v082.i13).

With Z the membership of pairs in subjects the covariance is σ²(I + γ ZZᵀ), γ = τ²/σ²: one eigendecomposition of ZZᵀ
serves every γ and every score of the same pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

FEWEST_SUBJECTS = 3
"""With fewer subjects their variance cannot be estimated: no interval, no p."""
SHARES = np.concatenate([[0.0], special.expit(np.linspace(-9, 9, 73))])
"""Candidates for τ²/(τ² + σ²), between which the estimate is bracketed."""
SECTIONS = 60
"""Number of golden sections of the bracket; half of them reach the precision of the likelihood."""
GOLDEN = (np.sqrt(5) - 1) / 2
TOLERANCE = 1e-9
GAIN = 1e-7
"""Deviance that τ² > 0 must save; less is rounding, on which the degrees of freedom must not depend."""


@dataclass(frozen=True)
class Means:
    """Estimated means of several scores; all arrays have the shape ``(scores,)``."""

    mean: np.ndarray
    se: np.ndarray
    """Standard error; NaN if it cannot be estimated."""
    df: np.ndarray
    """Degrees of freedom of the t distribution of ``(mean - μ) / se``."""
    gamma: np.ndarray
    """τ²/σ²; 0 if no subject recurs."""

    def interval(self, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and upper limits of the confidence intervals, two arrays ``(scores,)``."""
        half = self.se * stats.t.ppf((1 + confidence) / 2, self.df)
        return self.mean - half, self.mean + half

    def p(self, null: float | np.ndarray = 0.0, tail: str = "both") -> np.ndarray:
        """Test the means against a value.

        Args:
            null: value to test against.
            tail: ``"both"``, ``"greater"`` or ``"less"``: on which side of ``null`` the alternative is.

        Returns:
            p values, ``(scores,)``; NaN where there is no standard error.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (self.mean - null) / self.se
        if tail == "both":
            return 2 * stats.t.sf(np.abs(t), self.df)
        return stats.t.sf(t if tail == "greater" else -t, self.df)

    def widened(self, variances: np.ndarray, df: np.ndarray) -> Means:
        """Add independent sources of variance, with the degrees of freedom of Welch and Satterthwaite.

        Args:
            variances: of the means, ``(sources, scores)``; zero where a source does not apply.
            df: degrees of freedom of these variances, ``(sources, scores)``.
        """
        total = self.se**2 + variances.sum(axis=0)
        parts = (variances**2 / np.maximum(df, 1)).sum(axis=0) + self.se**4 / self.df
        with np.errstate(divide="ignore", invalid="ignore"):
            return Means(self.mean, np.sqrt(total), np.where(parts > 0, total**2 / parts, self.df), self.gamma)


class PairGraph:
    """Pairs as edges between their subjects.

    A subject in every pair, such as an atlas to which all images are registered, has no effect of its own: it is part
    of the mean, and estimates hold for that subject.

    Args:
        first: name of one subject of each pair, ``(pairs,)``.
        second: name of the other subject, which may be the same, ``(pairs,)``.
    """

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self.pairs = len(first)
        names, index = np.unique(np.concatenate([first, second]).astype(str), return_inverse=True)
        self.subjects = len(names)
        membership = np.zeros((self.pairs, self.subjects))
        membership[np.arange(self.pairs), index[: self.pairs]] = 1
        membership[np.arange(self.pairs), index[self.pairs :]] = 1
        self.membership = membership[:, membership.sum(axis=0) < self.pairs]
        """Membership of pairs in the subjects that are not in all of them, 0 or 1, ``(pairs, subjects)``."""
        shared = self.membership @ self.membership.T
        self._estimable = _estimable(shared)
        values, self._basis = np.linalg.eigh(shared)
        self._eigenvalues = np.maximum(values, 0.0)
        self._ones = self._basis.sum(axis=0)

    def means(self, values: np.ndarray) -> Means:
        """Estimate the mean of every column.

        Args:
            values: finite scores, ``(pairs, scores)``.

        Returns:
            Their means; without standard error where there are fewer than :data:`FEWEST_SUBJECTS` subjects or pairs,
            and where pairs share subjects but do not show how alike that makes them, as three pairs of three subjects.
        """
        values = np.asarray(values, float)
        scores = values.shape[1]
        # centred for precision; it does not change the likelihood
        centre = values.mean(axis=0)
        if self._estimable == "nothing" or min(self.subjects, self.pairs) < FEWEST_SUBJECTS:
            unknown = np.full(scores, np.nan)
            return Means(centre, unknown, unknown, unknown)
        rotated = self._basis.T @ (values - centre)
        gamma = np.zeros(scores)
        df = np.full(scores, self.pairs - 1.0)
        if self._estimable == "both":
            gamma = self._most_likely(rotated)
            df = np.where(gamma > 0, self._satterthwaite(gamma), df)
        mean, rss, information = self._fit(rotated, gamma)
        return Means(centre + mean, np.sqrt(rss / (self.pairs - 1) / information), df, gamma)

    def _fit(self, rotated: np.ndarray, gamma: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return generalised least-squares mean, weighted residual sum of squares, and σ² over the mean's variance."""
        weights = 1 / (1 + self._eigenvalues[:, None] * gamma)
        ones = self._ones[:, None]
        information = (weights * ones**2).sum(axis=0)
        mean = (weights * ones * rotated).sum(axis=0) / information
        rss = (weights * (rotated - ones * mean) ** 2).sum(axis=0)
        return mean, rss, information

    def _deviance(self, rotated: np.ndarray, gamma: np.ndarray) -> np.ndarray:
        """Return the restricted deviance, profiled over σ², up to a constant."""
        _, rss, information = self._fit(rotated, gamma)
        determinant = np.log1p(self._eigenvalues[:, None] * gamma).sum(axis=0)
        with np.errstate(divide="ignore"):
            return (self.pairs - 1) * np.log(rss) + determinant + np.log(information)

    def _most_likely(self, rotated: np.ndarray) -> np.ndarray:
        """Return the γ with the lowest restricted deviance: the best of a grid, refined by golden-section search."""
        scores = rotated.shape[1]
        grid = np.stack([self._deviance(rotated, np.full(scores, _ratio(share))) for share in SHARES])
        best = np.argmin(grid, axis=0)
        low, high = SHARES[np.maximum(best - 1, 0)], SHARES[np.minimum(best + 1, len(SHARES) - 1)]
        for _ in range(SECTIONS):
            inner = (1 - GOLDEN) * (high - low)
            left, right = low + inner, high - inner
            falls = self._deviance(rotated, _ratio(left)) < self._deviance(rotated, _ratio(right))
            low, high = np.where(falls, low, left), np.where(falls, right, high)
        found = _ratio((low + high) / 2)
        return np.where(self._deviance(rotated, found) < grid[0] - GAIN, found, 0.0)

    def _satterthwaite(self, gamma: np.ndarray) -> np.ndarray:
        """Return the degrees of freedom of the mean's variance, which depend on γ only."""
        derivatives = np.stack([np.ones_like(self._eigenvalues), self._eigenvalues])
        weights = 1 / (1 + self._eigenvalues[:, None] * gamma)
        squares = self._ones[:, None] ** 2
        total = (weights * squares).sum(axis=0)
        first = np.stack([(weights**2 * squares * each[:, None]).sum(axis=0) for each in derivatives])
        information = np.empty((len(gamma), 2, 2))
        for i in range(2):
            for j in range(2):
                both = (derivatives[i] * derivatives[j])[:, None]
                trace = (weights**2 * both).sum(axis=0) - 2 * (weights**3 * both * squares).sum(axis=0) / total
                information[:, i, j] = (trace + first[i] * first[j] / total**2) / 2
        gradient = (first / total**2).T
        solved = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
        return 2 / total**2 / (gradient * solved).sum(axis=1)


class Observations:
    """Pairs of which not every score exists.

    Args:
        first: name of one subject of each pair, ``(pairs,)``.
        second: name of the other subject, ``(pairs,)``.
    """

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self.first = np.asarray(first)
        self.second = np.asarray(second)
        self._graphs: dict[bytes, PairGraph] = {}

    def graph(self, present: np.ndarray) -> PairGraph:
        """Return the graph of those pairs for which ``present``, ``(pairs,)``, is true."""
        key = np.packbits(present).tobytes()
        if key not in self._graphs:
            self._graphs[key] = PairGraph(self.first[present], self.second[present])
        return self._graphs[key]

    def means(self, values: np.ndarray) -> Means:
        """Estimate the mean of every column over the pairs in which it is not NaN.

        Args:
            values: ``(pairs, scores)``; no infinite values.

        Returns:
            Means; all NaN where no pair has a score.
        """
        present = ~np.isnan(values)
        found = np.full((4, values.shape[1]), np.nan)
        patterns, members = np.unique(present, axis=1, return_inverse=True)
        for number, pattern in enumerate(patterns.T):
            columns = np.flatnonzero(members.ravel() == number)
            if pattern.any():
                part = self.graph(pattern).means(values[np.ix_(pattern, columns)])
                found[:, columns] = part.mean, part.se, part.df, part.gamma
        return Means(*found)


def _ratio(share: np.ndarray | float) -> np.ndarray:
    """Convert τ²/(τ² + σ²) to τ²/σ²."""
    return np.asarray(share) / (1 - np.asarray(share))


def _estimable(shared: np.ndarray) -> str:
    """Return which variances can be estimated from the differences between pairs.

    Args:
        shared: number of subjects that two pairs share, ``(pairs, pairs)``.

    Returns:
        ``"both"``; ``"sum"`` if no two pairs share a subject, so that the sum of the variances is all that matters; or
        ``"nothing"`` if the differences between pairs contain the sum only, but the mean's variance needs both.
    """
    centred = shared - shared.mean(axis=0) - shared.mean(axis=1)[:, None] + shared.mean()
    contrasts = np.linalg.eigvalsh(centred)
    # the zero that belongs to the mean
    contrasts = np.delete(contrasts, np.argmin(np.abs(contrasts)))
    if len(contrasts) and np.ptp(contrasts) > TOLERANCE * len(shared):
        return "both"
    return "sum" if np.count_nonzero(shared - np.diag(np.diag(shared))) == 0 else "nothing"
