"""Summary per method, loss and metric: the mean over independent observations with a confidence interval.

The interval is for other subjects and, from three seeds on, for other trainings, see
:mod:`likeness.statistics.inference`; its centre is the estimate of the mixed model, which weights pairs by how many
others share their subjects. ``note`` tells what limits it. ``n_pairs`` is the number of observations,
``n_subjects`` of subjects, ``n_seeds`` of runs that did not diverge, 0 for methods without seeds. If all seeds
diverged, the row has ``n_pairs`` 0 and no statistics. ``n_missing`` is the number of test pairs, counting both
directions, without a field; the row describes the others.

A surface distance is infinite if a structure vanished. ``n_lost`` is the number of observations that lost one. Mean,
standard deviation and interval have the image's diagonal in its place, see :mod:`likeness.statistics.lost`; the median
is that of the infinite distance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from likeness import losses
from likeness import metrics as cards
from likeness.methods.kinds import Method, Methods, is_oracle
from likeness.statistics.aggregate import COMPARED, observations, order_of, pairs_of, wide
from likeness.statistics.comparisons import Marks, noted
from likeness.statistics.final import final
from likeness.statistics.inference import Table
from likeness.statistics.lost import bounded

COUNTS = ["n_pairs", "n_subjects", "n_seeds", "n_missing", "n_lost"]
STATISTICS = ["mean", "sd", "median", "ci_low", "ci_high"]
COLUMNS = [*COMPARED, "supervision", "metric", "label", "unit", *COUNTS, *STATISTICS, "note"]


def summarise(
    metrics: pd.DataFrame,
    methods: Methods,
    marks: Marks,
    confidence: float = 0.95,
    diagonals: Mapping[str, float] | None = None,
    specimens: Collection[str] = (),
) -> pd.DataFrame:
    """Summarise the test pairs at the chosen λ, per label and averaged over labels.

    Args:
        metrics: metrics table, with ``chosen`` filled.
        methods: methods of the study.
        marks: what is known of runs, see :func:`likeness.statistics.selection.marks`.
        confidence: confidence level of the intervals.
        diagonals: diagonal of the images by dataset, for means of infinite distances, which are infinite without it.
        specimens: names of datasets whose images are all of one specimen, which the notes then say.

    Returns:
        The columns :data:`COLUMNS`, sorted by dataset, method, loss, metric and label; methods without a loss come
        last.
    """
    rows: list[dict[str, Any]] = []
    scored = final(metrics)
    for name, part in final(bounded(metrics, diagonals or {})).groupby("dataset", sort=True):
        ranked = wide(observations(scored[scored.dataset == name])).to_numpy()
        rows += sorted(_summarise_dataset(str(name), part, ranked, methods, marks, confidence), key=_place(methods))
    return noted(pd.DataFrame(rows, columns=COLUMNS), specimens)


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
    name: str, rows: pd.DataFrame, ranked: np.ndarray, methods: Methods, marks: Marks, confidence: float
) -> list[dict[str, Any]]:
    table, missing = Table(rows), _missing(rows)
    values = table.wide.to_numpy()
    found = []
    for place, (series, estimate) in enumerate(zip(table.names, table.means(), strict=True)):
        method, loss, variant, *_ = series
        there = ~np.isnan(values[:, place])
        present, measured = values[there, place], ranked[there, place]
        # of pairs with an infinite distance too
        subjects = table.subjects(place)
        counts = (len(present), subjects, table.seeds[place].used, missing[str(method)], int(np.isinf(measured).sum()))
        described = describe(
            present, measured, _within(estimate.interval(confidence), cards.card(str(series[3]))["range"])
        )
        note = "; ".join(filter(None, [*estimate.notes, marks.get((name, method, loss, variant), "")]))
        who = dict(zip(map(str, table.wide.columns.names), series, strict=True))
        numbers: dict[str, float] = dict(zip([*COUNTS, *STATISTICS], [*counts, *described], strict=True))
        supervision = _supervision(methods[str(method)], loss)
        found.append({"dataset": name, **who, "supervision": supervision, **numbers, "note": note})
    return found


def _within(limits: tuple[float, float], allowed: Sequence[float | None]) -> tuple[float, float]:
    """Clip an interval to the values that a metric can have; of few pairs it may be wider."""
    lowest, highest = allowed
    low = np.maximum(limits[0], -np.inf if lowest is None else lowest)
    return float(low), float(np.minimum(limits[1], np.inf if highest is None else highest))


def _supervision(method: Method, loss: str | None) -> str | None:
    if loss is None or not method.uses_loss:
        return None
    return "oracle" if is_oracle(method, loss) else losses.card(loss)["supervision"]


def describe(
    values: np.ndarray, measured: np.ndarray, limits: tuple[float, float]
) -> tuple[float, float, float, float, float]:
    """Return mean, standard deviation, median and interval of the scores of one method.

    Args:
        values: ``(observations,)``, without NaN; the mean of infinite ones is infinite, without an interval.
        measured: ``(observations,)``, the same before the diagonal took the place of infinite ones, for the median.
        limits: confidence interval of the mean over the finite values.
    """
    nan = float("nan")
    if not len(values):
        return nan, nan, nan, nan, nan
    if np.isinf(values).any():
        return float(values.mean()), nan, float(np.median(measured)), nan, nan
    sd = float(values.std(ddof=1)) if len(values) > 1 else nan
    return float(values.mean()), sd, float(np.median(measured)), *limits
