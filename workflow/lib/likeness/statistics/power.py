"""How many subjects, and how many seeds, would tell two losses apart.

For every contrast of the study: could the smallest effect of interest have been found, and what would it take? With n
subjects and k seeds the standard error of the difference is ::

    SE² = SE²(now) n(now) / n + (s²_a + s²_b) / k

where SE(now) is that of the mixed model (:mod:`likeness.statistics.mixed_model`), from the variance τ² of subjects and
σ² of pairs, on the graph of these pairs: more subjects repeat this graph, with as many pairs a subject. Where every
subject is in d pairs, SE²(now) n(now) = 4 τ² + 2 σ² / d. s² is the variance between trainings. The degrees of freedom
of the first part grow with n and are k - 1 of the others; Welch and Satterthwaite combine them. ::

    power = P(T > t(1 - α / 2m, df)),    T of the noncentral t distribution with df and δ / SE

is the probability to find the effect δ with its sign, by a two-sided test at α / m: that of the first step of Holm's
procedure for the m contrasts of the dataset. ``power`` is the present one; ``subjects`` is the smallest n that has
:data:`POWER` with the present seeds, ``seeds`` the smallest k with the present subjects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from likeness.methods.kinds import Methods
from likeness.statistics.aggregate import overall
from likeness.statistics.comparisons import compared
from likeness.statistics.inference import FEWEST_SEEDS, Table
from likeness.statistics.mixed_model import FEWEST_SUBJECTS, Observations

POWER = 0.8
MOST_SUBJECTS = 100_000
MOST_SEEDS = 1000
"""Numbers beyond which none is given."""
STEPS = 400
"""Numbers between which the smallest is bracketed."""
CERTAIN = 30.0
"""An effect of so many standard errors is always found; beyond, the noncentral t distribution is not computed."""
COLUMNS = ["dataset", "method", "metric", "a", "b", "smallest", "alpha", "sd_subjects", "sd_pairs", "sd_seeds"]
COLUMNS += ["n_subjects", "pairs_per_subject", "n_seeds", "power", "subjects", "seeds", "note"]


@dataclass(frozen=True)
class Design:
    """A difference as it was measured."""

    se: float
    """Standard error from subjects."""
    df: float
    subjects: int
    between_seeds: tuple[float, ...] = ()
    """Variance between trainings of each of the two losses that has seeds."""

    def power(self, effect: float, alpha: float, subjects: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Return the probability to find an effect with so many subjects and seeds.

        Args:
            effect: true difference, positive.
            alpha: level of the two-sided test.
            subjects: numbers of subjects.
            seeds: numbers of seeds, at least 2 if any loss has some; of a shape that broadcasts with ``subjects``.
        """
        subjects, seeds = np.broadcast_arrays(np.asarray(subjects, float), np.asarray(seeds, float))
        variances = np.array([self.se**2 * self.subjects / subjects, *(each / seeds for each in self.between_seeds)])
        degrees = np.array([self.df * subjects / self.subjects, *(seeds - 1 for _ in self.between_seeds)])
        total = variances.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            df = total**2 / (variances**2 / degrees).sum(axis=0)
            shift = np.minimum(effect / np.sqrt(total), CERTAIN)
            found = stats.nct.sf(stats.t.ppf(1 - alpha / 2, df), df, shift)
        return np.where(total > 0, found, 1.0)


def plan(metrics: pd.DataFrame, contrasts: pd.DataFrame, methods: Methods, confidence: float = 0.95) -> pd.DataFrame:
    """Find how many subjects and seeds the contrasts of a study need.

    Args:
        metrics: metrics table, with ``chosen`` filled; metrics per label are averaged over labels.
        contrasts: table of :func:`likeness.statistics.contrasts.confirm`.
        methods: methods of the study.
        confidence: confidence level of the study, 1 - α.

    Returns:
        The columns :data:`COLUMNS`, a row per contrast. ``sd_subjects``, ``sd_pairs`` and ``sd_seeds`` are the standard
        deviations τ, σ and that between trainings of the difference. Numbers are empty where variances cannot be
        estimated, and ``subjects`` or ``seeds`` where no number suffices, which ``note`` says.
    """
    rows = overall(metrics[(metrics.split == "test") & metrics.chosen & metrics.metric.isin(contrasts.metric)])
    found: list[dict[str, Any]] = []
    for name, stated in contrasts.groupby("dataset", sort=False):
        part = rows[(rows.dataset == name) & rows.metric.isin(stated.metric)]
        table = Table(part) if len(part) else None
        alpha = (1 - confidence) / max(int(stated.p_equivalent.notna().sum()), 1)
        for contrast in stated.to_dict("records"):
            who = {key: contrast[key] for key in COLUMNS[:6]}
            found.append({**who, "alpha": alpha, **_planned(table, contrast, methods, alpha)})
    return pd.DataFrame(found, columns=COLUMNS)


def _planned(table: Table | None, contrast: dict[Any, Any], methods: Methods, alpha: float) -> dict[str, Any]:
    names = {} if table is None else compared(table, methods, contrast["method"], contrast["metric"])
    places = {name: place for place, name in names.items()}
    if table is None:
        return {"note": "not planned: a slope over several datasets"}
    if contrast["a"] not in places or contrast["b"] not in places:
        return {"note": "not scored"}
    pair = places[contrast["a"]], places[contrast["b"]]
    numbers = _components(table, *pair)
    seeds = [table.seeds[place] for place in pair if table.seeds[place].matter]
    if numbers is None or not contrast["smallest"] > 0:
        return {"note": "variances cannot be estimated" if numbers is None else "no smallest effect"}
    if not all(each.estimated for each in seeds):
        return {**numbers[1], "note": f"the variance between seeds is unknown: fewer than {FEWEST_SEEDS}"}
    between = tuple(each.variance * each.used for each in seeds)
    return {
        **numbers[1],
        **_needed(numbers[0], between, min((each.used for each in seeds), default=0), contrast, alpha),
    }


def _components(table: Table, a: int, b: int) -> tuple[Design, dict[str, Any]] | None:
    """Return a difference without its seeds, and its variances; ``None`` where they cannot be estimated."""
    values = table.values(a, b)
    with np.errstate(invalid="ignore"):
        difference = values[:, 0] - values[:, 1]
    difference = np.where(np.isfinite(difference), difference, np.nan)
    if np.isnan(difference).all():
        return None
    observed = Observations(*(table.wide.index.get_level_values(level).to_numpy() for level in ("first", "second")))
    means, graph = observed.means(difference[:, None]), observed.graph(~np.isnan(difference))
    se, df, gamma = (float(each[0]) for each in (means.se, means.df, means.gamma))
    if np.isnan(se):
        return None
    covariance = np.eye(graph.pairs) + gamma * graph.membership @ graph.membership.T
    residual = se**2 * np.linalg.solve(covariance, np.ones(graph.pairs)).sum()
    said = {"sd_subjects": np.sqrt(gamma * residual), "sd_pairs": np.sqrt(residual), "n_subjects": graph.subjects}
    return Design(se, df, graph.subjects), {**said, "pairs_per_subject": 2 * graph.pairs / graph.subjects}


def _needed(
    subjects_only: Design, between: tuple[float, ...], used: int, contrast: dict[Any, Any], alpha: float
) -> dict[str, Any]:
    design = Design(subjects_only.se, subjects_only.df, subjects_only.subjects, between)
    effect = float(contrast["smallest"])
    now = np.array(design.subjects), np.array(used)
    subjects = _fewest(lambda n: design.power(effect, alpha, n, now[1]), FEWEST_SUBJECTS, MOST_SUBJECTS)
    found = {"sd_seeds": np.sqrt(sum(between)) if between else np.nan, "n_seeds": used}
    found |= {"power": float(design.power(effect, alpha, *now)), "subjects": subjects, "seeds": np.nan}
    said = ["no number of subjects suffices"] * bool(np.isnan(subjects))
    if between:
        found["seeds"] = _fewest(lambda k: design.power(effect, alpha, now[0], k), FEWEST_SEEDS, MOST_SEEDS)
        said += ["no number of seeds suffices"] * bool(np.isnan(found["seeds"]))
    return {**found, "note": "; ".join(said)}


def _fewest(power: Callable[[np.ndarray], np.ndarray], least: int, most: int) -> float:
    """Return the smallest number that has :data:`POWER`; NaN if none up to ``most`` has.

    Power may fall again: with many subjects all that is uncertain is the few seeds, of few degrees of freedom.
    """
    coarse = np.unique(np.geomspace(least, most, STEPS).round())
    enough = np.flatnonzero(power(coarse) >= POWER)
    if not len(enough):
        return np.nan
    place = enough[0]
    fine = np.arange(coarse[max(place - 1, 0)], coarse[place] + 1)
    return float(fine[np.argmax(power(fine) >= POWER)])
