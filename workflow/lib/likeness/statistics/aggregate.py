"""Aggregate scores to independent observations: over labels, reversed pairs and seeds, in this order.

1. Metrics per label are averaged over the labels of a pair into a row with the label ``mean``; missing labels (NaN) are
   ignored, and an infinite distance makes the mean infinite.
2. Reversed pairs are not independent: registrations between the same two subjects or, within one subject, the same two
   images are averaged into one *observation*, in either direction.
3. Scores are averaged over seeds; diverged runs are ignored, and ``n_seeds`` is the number of the others.

Columns that do not apply to a method are null in every table; groupings keep nulls.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from likeness import losses
from likeness.metrics import per_label
from likeness.runtime.atomic import atomic_write

if TYPE_CHECKING:
    from likeness.methods.kinds import Method

COMPARED = ["dataset", "method", "loss", "variant"]
"""Columns that identify what is compared; null where they do not apply."""

SERIES = [*COMPARED, "metric", "label", "unit"]
"""Columns that identify a series: one metric of what is compared."""


def label_means(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over labels for every pair, as rows of the metrics table with the label ``mean``."""
    rows = metrics[metrics.metric.isin(per_label())]
    keys = [c for c in metrics.columns if c not in {"label", "value"}]
    means = rows.groupby(keys, sort=False, dropna=False, observed=True)["value"].mean().reset_index()
    return means.assign(label="mean")[list(metrics.columns)]


def overall(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return one row per pair and metric: the mean over labels, or the score of the whole image."""
    return pd.concat([label_means(metrics), metrics[~metrics.metric.isin(per_label())]], ignore_index=True)


def observations(metrics: pd.DataFrame, extra: tuple[str, ...] = ()) -> pd.DataFrame:
    """Merge reversed pairs, then average over seeds.

    Args:
        metrics: rows of the metrics table, from one split.
        extra: further columns to group by, for example ``("lam",)``.

    Returns:
        The columns :data:`SERIES`, ``extra``, ``observation`` (name), ``first`` and ``second`` (its subjects in
        alphabetical order), ``value`` and ``seeds`` (number of seeds averaged; 0 for runs without seed).
    """
    keys = [*SERIES, *extra, "observation", "first", "second"]
    merged = _named(metrics).groupby([*keys, "seed"], sort=False, dropna=False, observed=True)["value"].mean()
    each = merged.reset_index()
    each["seeds"] = each.seed.notna() & each.value.notna()
    columns = {"value": "mean", "seeds": "sum"}
    return each.groupby(keys, sort=False, dropna=False, observed=True).agg(columns).reset_index()


def subjects_of(pairs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the subjects of every observation that pairs give, two arrays ``(observations,)``.

    Args:
        pairs: the columns ``moving``, ``fixed``, ``moving_subject`` and ``fixed_subject``.
    """
    named = _named(pairs).drop_duplicates("observation").sort_values("observation")
    return named["first"].to_numpy(), named["second"].to_numpy()


def between_seeds(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return how much the mean over pairs varies between seeds.

    Args:
        metrics: rows of the metrics table, from one split.

    Returns:
        One row per series: the columns :data:`SERIES`, ``runs`` (number of seeds; 0 for runs without seed), ``seeds``
        (those that did not diverge) and ``variance`` (of the mean over all these seeds; NaN for fewer than two).
    """
    seeded = _named(metrics[metrics.seed.notna()])
    keys = [*SERIES, "seed"]
    merged = seeded.groupby([*keys, "observation"], sort=False, dropna=False, observed=True)["value"].mean()
    means = merged.reset_index().groupby(keys, sort=False, dropna=False, observed=True)["value"].mean().reset_index()
    grouped = means.groupby(SERIES, sort=False, dropna=False, observed=True)["value"]
    found = grouped.agg(runs="size", seeds="count", variance="var").reset_index()
    found["variance"] /= found.seeds
    series = metrics[SERIES].drop_duplicates()
    return (
        series.merge(found, how="left", on=SERIES).fillna({"runs": 0, "seeds": 0}).astype({"runs": int, "seeds": int})
    )


def pairs_of(metrics: pd.DataFrame) -> dict[str, frozenset[tuple[str, str]]]:
    """Return the pairs, moving and fixed, of each method in rows of the metrics table of one dataset and split."""
    rows = metrics[["method", "moving", "fixed"]].drop_duplicates()
    return {
        str(method): frozenset(part[["moving", "fixed"]].itertuples(index=False, name=None))
        for method, part in rows.groupby("method", sort=False, observed=True)
    }


def wide(merged: pd.DataFrame) -> pd.DataFrame:
    """Pivot the observations of one dataset to ``(observations, series)``; NaN where a series lacks one.

    The index levels are ``observation, first, second``; the column levels are :data:`SERIES` without ``dataset``.
    """
    columns = [c for c in SERIES if c != "dataset"]
    numbered = merged.assign(series=merged.groupby(columns, sort=True, dropna=False).ngroup())
    rows = numbered.set_index(["observation", "first", "second", "series"])["value"]
    table = rows.unstack("series").sort_index()  # noqa: PD010 - a pivot table would drop all-NaN entries
    names = numbered.drop_duplicates("series").set_index("series")[columns]
    table.columns = pd.MultiIndex.from_frame(names.loc[table.columns])
    return table


def pivoted(means: pd.DataFrame, keys: list[str], column: str) -> pd.DataFrame:
    """Pivot ``value`` to one column per entry of ``column`` and one row per combination of keys, including nulls."""
    row = means.groupby(keys, sort=False, dropna=False).ngroup()
    values = means.assign(row=row).pivot(index="row", columns=column, values="value")  # noqa: PD010
    return means[keys].drop_duplicates().reset_index(drop=True).join(values)


def _named(metrics: pd.DataFrame) -> pd.DataFrame:
    """Add the observation that each row belongs to."""
    first, second = _sorted_pair(metrics.moving_subject, metrics.fixed_subject)
    image, other = _sorted_pair(metrics.moving, metrics.fixed)
    same = first == second
    names = np.where(same, image, first) + "|" + np.where(same, other, second)
    return metrics.assign(observation=names, first=first, second=second)


def _sorted_pair(a: pd.Series, b: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    left, right = a.to_numpy(object), b.to_numpy(object)
    swap = left > right
    return np.where(swap, right, left), np.where(swap, left, right)


def same(table: pd.DataFrame, key: Sequence[Any], columns: Sequence[str] = COMPARED) -> pd.Series:
    """Return which rows have the entries of a key in some columns; null equals null."""
    found = pd.Series(True, index=table.index)
    for column, value in zip(columns, key, strict=True):
        found &= table[column].isna() if pd.isna(value) else table[column] == value
    return found


def name_of(method: Method, loss: str, variant: Any) -> str:
    """Return the display name of a loss, or of a method without loss, with its variant."""
    name = loss if method.uses_loss else method.name
    return name if pd.isna(variant) or variant == "default" else f"{name}/{variant}"


def order_of(method: Method, loss: str, variant: Any) -> tuple[int, int, str, str]:
    """Return the sort key of what is compared: losses in the order of their cards, then methods without a loss."""
    order, name = (losses.card(loss)["order"], loss) if method.uses_loss else (method.order, method.name)
    return not method.uses_loss, order, name, "" if pd.isna(variant) or variant == "default" else variant


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as reproducible CSV: six significant digits, rounding errors removed."""
    with atomic_write(path) as temporary:
        # adding zero turns -0 into 0
        numbers = table.select_dtypes("float").round(12) + 0.0
        table.assign(**numbers).to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table written by :func:`write_csv`; entries that do not apply are null, as in the metrics table."""
    text = [*COMPARED, "supervision", "metric", "label", "unit", "a", "b", "note", "moving", "fixed", "start"]
    return pd.read_csv(path, dtype={**dict.fromkeys(text, "str"), "seed": "Int64"})
