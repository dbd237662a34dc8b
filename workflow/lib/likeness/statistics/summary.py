"""One line per loss of each method, or other method, and metric: the mean over independent observations.

The interval is over subjects. ``n_pairs`` counts observations, ``n_subjects`` subjects, ``n_seeds`` the runs that did
not diverge, 0 where there are no seeds. What diverged for every seed keeps its line, with ``n_pairs`` 0 and nothing
else. ``n_missing`` counts the test pairs, mirrored ones apart, that the method has no field of: its line is of the
others.

The interval speaks of other subjects, not of other seeds: trainings are averaged before it is made.

A surface distance is infinite where a structure vanished. Such a score is not averaged away: the mean is infinite, the
standard deviation and the interval are empty, and the median, which an infinite score may leave finite, is to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from likeness import losses
from likeness.methods.kinds import Method, Methods, is_oracle
from likeness.statistics.aggregate import COMPARED, SERIES, final, observations, order_of, pairs_of, wide
from likeness.statistics.bootstrap import FEWEST_SUBJECTS, RESAMPLES, count_subjects, draw, interval, resampled_means

COUNTS = ["n_pairs", "n_subjects", "n_seeds", "n_missing"]
STATISTICS = ["mean", "sd", "median", "ci_low", "ci_high"]
COLUMNS = [*COMPARED, "supervision", "metric", "label", "unit", *COUNTS, *STATISTICS]


def summarise(
    metrics: pd.DataFrame, methods: Methods, resamples: int = RESAMPLES, confidence: float = 0.95
) -> pd.DataFrame:
    """Summarise the test pairs at the chosen λ, per label and as the mean over labels.

    Args:
        metrics: the metrics table, with ``chosen`` filled.
        methods: of the study.
        resamples: of the crossed bootstrap, from which the intervals are.
        confidence: coverage of the intervals.

    Returns:
        The columns :data:`COLUMNS`, sorted by dataset, method, loss, metric and label; methods that use no loss come
        last.
    """
    chosen = final(metrics)
    merged = observations(chosen)
    rows: list[dict[str, Any]] = []
    for name, part in merged.groupby("dataset", sort=True):
        missing = _missing(chosen[chosen.dataset == name])
        found = _summarise_dataset(str(name), part, methods, missing, resamples, confidence)
        rows += sorted(found, key=_place(methods))
    return pd.DataFrame(rows, columns=COLUMNS)


def _missing(rows: pd.DataFrame) -> dict[str, int]:
    """Count the pairs of a dataset that each method lacks; the unregistered ones are all there are."""
    pairs = pairs_of(rows)
    return {method: len(frozenset().union(*pairs.values()) - own) for method, own in pairs.items()}


def _place(methods: Methods) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Give the key that sorts lines: the losses of each method in the order of the study, then other methods."""
    place = {name: number for number, name in enumerate(methods)}

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        method = methods[row["method"]]
        lead = place[method.name] if method.uses_loss else len(place)
        return lead, order_of(method, row["loss"], row["variant"]), row["metric"], row["label"]

    return key


def _summarise_dataset(
    name: str,
    merged: pd.DataFrame,
    methods: Methods,
    missing: Mapping[str, int],
    resamples: int,
    confidence: float,
) -> list[dict[str, Any]]:
    table = wide(merged)
    weights = draw(table, name, resamples)
    keys = [c for c in SERIES if c != "dataset"]
    # in the order of the wide table's columns
    seeds = merged.groupby(keys, sort=True, dropna=False)["seeds"].max().to_numpy()
    means = resampled_means(weights, table.where(table.abs() != np.inf).to_numpy())
    rows = []
    for i, series in enumerate(table.columns):
        who: dict[str, Any] = dict(zip(map(str, table.columns.names), series, strict=True))
        present = table.iloc[:, i].notna().to_numpy()
        n_subjects = count_subjects(table, present)
        counts = (int(present.sum()), n_subjects, int(seeds[i]), missing[who["method"]])
        enough = n_subjects >= FEWEST_SUBJECTS
        limits = interval(means[:, i], confidence) if enough else (float("nan"), float("nan"))
        described = describe(table.iloc[:, i].to_numpy()[present], limits)
        supervision = _supervision(methods[who["method"]], who["loss"])
        numbers: dict[str, float] = dict(zip([*COUNTS, *STATISTICS], [*counts, *described], strict=True))
        rows.append({"dataset": name, **who, "supervision": supervision, **numbers})
    return rows


def _supervision(method: Method, loss: str) -> str | None:
    if not method.uses_loss:
        return None
    return "oracle" if is_oracle(method, loss) else losses.card(loss)["supervision"]


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
