"""Summary per method, loss and metric: the mean over independent observations with a confidence interval.

The interval is over subjects, not over seeds, which are averaged before. ``n_pairs`` is the number of observations,
``n_subjects`` of subjects, ``n_seeds`` of runs that did not diverge, 0 for methods without seeds. If all seeds
diverged, the row has ``n_pairs`` 0 and no statistics. ``n_missing`` is the number of test pairs, counting both
directions, without a field; the row describes the others.

A surface distance is infinite if a structure vanished. The mean is then infinite, standard deviation and interval are
empty, and the median, which may be finite, should be used.
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
    """Summarise the test pairs at the chosen λ, per label and averaged over labels.

    Args:
        metrics: metrics table, with ``chosen`` filled.
        methods: methods of the study.
        resamples: number of resamples of the crossed bootstrap.
        confidence: confidence level of the intervals.

    Returns:
        The columns :data:`COLUMNS`, sorted by dataset, method, loss, metric and label; methods without a loss come
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
    """Count the pairs of a dataset that each method lacks, compared with the unregistered pairs."""
    pairs = pairs_of(rows)
    return {method: len(frozenset().union(*pairs.values()) - own) for method, own in pairs.items()}


def _place(methods: Methods) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Return the sort key of rows: the losses of each method in the order of the study, then other methods."""
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
    # in the order of the columns of the wide table
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
    """Return mean, standard deviation, median and interval of the scores of one method.

    Args:
        values: ``(observations,)``, without NaN; infinite values are handled as described in the module.
        limits: confidence interval of the mean over the finite values.
    """
    nan = float("nan")
    if not len(values):
        return nan, nan, nan, nan, nan
    if np.isinf(values).any():
        return float(values.mean()), nan, float(np.median(values)), nan, nan
    sd = float(values.std(ddof=1)) if len(values) > 1 else nan
    return float(values.mean()), sd, float(np.median(values)), *limits
