"""One line per method and metric: the mean over independent observations, with an interval over persons.

``n_pairs`` counts observations, ``n_subjects`` persons, ``n_seeds`` the trainings that did not diverge (0 where nothing
is trained). A method that diverged for every seed keeps its line, with ``n_pairs`` 0 and nothing else.

The interval speaks of other subjects, not of other seeds: trainings are averaged before it is made.

A surface distance is infinite where a structure vanished. Such a score is not averaged away: the mean is infinite, the
standard deviation and the interval are empty, and the median, which an infinite score may leave finite, is to be read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from likeness import losses
from likeness.statistics.aggregate import METHOD, SERIES, final, method_order, observations, wide
from likeness.statistics.bootstrap import FEWEST_PERSONS, RESAMPLES, count_persons, draw, interval, resampled_means

COUNTS = ["n_pairs", "n_subjects", "n_seeds"]
STATISTICS = ["mean", "sd", "median", "ci_low", "ci_high"]
COLUMNS = [*METHOD, "supervision", "metric", "label", "unit", *COUNTS, *STATISTICS]


def summarise(metrics: pd.DataFrame, resamples: int = RESAMPLES, confidence: float = 0.95) -> pd.DataFrame:
    """Summarise the test pairs at the chosen λ, per label and as the mean over labels.

    Args:
        metrics: the metrics table, with ``chosen`` filled.
        resamples: of the crossed bootstrap, from which the intervals are.
        confidence: coverage of the intervals.

    Returns:
        The columns :data:`COLUMNS`, sorted by dataset, network, method (the unregistered pairs last), metric and label.
    """
    merged = observations(final(metrics))
    rows: list[dict[str, Any]] = []
    for name, part in merged.groupby("dataset", sort=True):
        rows += sorted(_summarise_dataset(str(name), part, resamples, confidence), key=_place)
    return pd.DataFrame(rows, columns=COLUMNS)


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["network"], method_order(row["method"], row["loss"], row["variant"]), row["metric"], row["label"]


def _summarise_dataset(name: str, merged: pd.DataFrame, resamples: int, confidence: float) -> list[dict[str, Any]]:
    table = wide(merged)
    weights = draw(table, name, resamples)
    seeds = merged.groupby([c for c in SERIES if c != "dataset"])["seeds"].max()
    means = resampled_means(weights, table.where(table.abs() != np.inf).to_numpy())
    rows = []
    for i, series in enumerate(table.columns):
        who: dict[str, str] = dict(zip(map(str, table.columns.names), series, strict=True))
        present = table.iloc[:, i].notna().to_numpy()
        n_subjects = count_persons(table, present)
        counts = (int(present.sum()), n_subjects, int(seeds[series]) if who["loss"] else 0)
        enough = n_subjects >= FEWEST_PERSONS
        limits = interval(means[:, i], confidence) if enough else (float("nan"), float("nan"))
        described = describe(table.iloc[:, i].to_numpy()[present], limits)
        supervision = losses.card(who["loss"])["supervision"] if who["loss"] else ""
        numbers: dict[str, float] = dict(zip([*COUNTS, *STATISTICS], [*counts, *described], strict=True))
        rows.append({"dataset": name, **who, "supervision": supervision, **numbers})
    return rows


def describe(values: np.ndarray, limits: tuple[float, float]) -> tuple[float, float, float, float, float]:
    """Give mean, standard deviation, median and interval of the scores of one method.

    Args:
        values: ``(observations,)``, no NaN; infinite ones are handled as the module says.
        limits: the interval of the mean over the finite ones.
    """
    nan = float("nan")
    if not len(values):
        return nan, nan, nan, nan, nan
    if np.isinf(values).any():
        return float(values.mean()), nan, float(np.median(values)), nan, nan
    sd = float(values.std(ddof=1)) if len(values) > 1 else nan
    return float(values.mean()), sd, float(np.median(values)), *limits
