"""From single scores to independent observations: labels, mirrored pairs and seeds, in this order.

1. Metrics that are scored per label are averaged over the labels of a pair into a row with the label ``mean``; a label
   that is absent (NaN) does not count, an infinite distance makes the mean infinite.
2. Mirrored pairs say the same thing twice: registrations between the same two subjects, or, within one subject, between
   the same two images, are averaged into one *observation*, whatever the direction.
3. Seeds are averaged; a seed whose run diverged does not count, and ``n_seeds`` says how many did.

What a method does not have is null in every table; no grouping drops it.
"""

from __future__ import annotations

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
"""The columns that name what is compared; null where they do not apply."""

SERIES = [*COMPARED, "metric", "label", "unit"]
"""The columns that name one column of figures: a metric of what is compared."""


def label_means(metrics: pd.DataFrame) -> pd.DataFrame:
    """Give the mean over labels of every pair, as rows of the metrics table with the label ``mean``."""
    rows = metrics[metrics.metric.isin(per_label())]
    keys = [c for c in metrics.columns if c not in {"label", "value"}]
    means = rows.groupby(keys, sort=False, dropna=False, observed=True)["value"].mean().reset_index()
    return means.assign(label="mean")[list(metrics.columns)]


def overall(metrics: pd.DataFrame) -> pd.DataFrame:
    """Keep one row per pair and metric: the mean over labels, or the score of the whole image."""
    return pd.concat([label_means(metrics), metrics[~metrics.metric.isin(per_label())]], ignore_index=True)


def observations(metrics: pd.DataFrame, extra: tuple[str, ...] = ()) -> pd.DataFrame:
    """Merge mirrored pairs, then average over seeds.

    Args:
        metrics: rows of the metrics table, of one split.
        extra: further columns to keep apart, for example ``("lam",)``.

    Returns:
        The columns :data:`SERIES`, ``extra``, ``observation`` (its name), ``first`` and ``second`` (its subjects, in
        alphabetical order), ``value`` and ``seeds`` (how many are behind the value; 0 where a run has none).
    """
    keys = [*SERIES, *extra, "observation", "first", "second"]
    merged = _named(metrics).groupby([*keys, "seed"], sort=False, dropna=False, observed=True)["value"].mean()
    each = merged.reset_index()
    each["seeds"] = each.seed.notna() & each.value.notna()
    columns = {"value": "mean", "seeds": "sum"}
    return each.groupby(keys, sort=False, dropna=False, observed=True).agg(columns).reset_index()


def pairs_of(metrics: pd.DataFrame) -> dict[str, frozenset[tuple[str, str]]]:
    """Give the pairs, moving and fixed, that each method has in rows of the metrics table, of one dataset and split."""
    rows = metrics[["method", "moving", "fixed"]].drop_duplicates()
    return {
        str(method): frozenset(part[["moving", "fixed"]].itertuples(index=False, name=None))
        for method, part in rows.groupby("method", sort=False, observed=True)
    }


def wide(merged: pd.DataFrame) -> pd.DataFrame:
    """Spread the observations of one dataset into ``(observations, series)``, NaN where a series lacks one.

    The index levels are ``observation, first, second``; the column levels are :data:`SERIES` without ``dataset``.
    """
    columns = [c for c in SERIES if c != "dataset"]
    numbered = merged.assign(series=merged.groupby(columns, sort=True, dropna=False).ngroup())
    rows = numbered.set_index(["observation", "first", "second", "series"])["value"]
    table = rows.unstack("series").sort_index()  # noqa: PD010 - a pivot table would drop what is all NaN
    names = numbered.drop_duplicates("series").set_index("series")[columns]
    table.columns = pd.MultiIndex.from_frame(names.loc[table.columns])
    return table


def pivoted(means: pd.DataFrame, keys: list[str], column: str) -> pd.DataFrame:
    """Pivot ``value`` into a column for every entry of ``column``, a row for every combination of keys, also null."""
    row = means.groupby(keys, sort=False, dropna=False).ngroup()
    values = means.assign(row=row).pivot(index="row", columns=column, values="value")  # noqa: PD010
    return means[keys].drop_duplicates().reset_index(drop=True).join(values)


def final(metrics: pd.DataFrame) -> pd.DataFrame:
    """Keep what results are read from: test pairs at the chosen λ, per label and as the mean over labels."""
    rows = metrics[(metrics.split == "test") & metrics.chosen]
    return pd.concat([label_means(rows), rows], ignore_index=True)


def _named(metrics: pd.DataFrame) -> pd.DataFrame:
    """Name the observation each row belongs to."""
    first, second = _sorted_pair(metrics.moving_subject, metrics.fixed_subject)
    image, other = _sorted_pair(metrics.moving, metrics.fixed)
    same = first == second
    names = np.where(same, image, first) + "|" + np.where(same, other, second)
    return metrics.assign(observation=names, first=first, second=second)


def _sorted_pair(a: pd.Series, b: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    left, right = a.to_numpy(object), b.to_numpy(object)
    swap = left > right
    return np.where(swap, right, left), np.where(swap, left, right)


def name_of(method: Method, loss: str, variant: Any) -> str:
    """Name what is compared among the losses of one method: the loss, or the method that uses none, and its variant."""
    name = loss if method.uses_loss else method.name
    return name if pd.isna(variant) or variant == "default" else f"{name}/{variant}"


def order_of(method: Method, loss: str, variant: Any) -> tuple[int, int, str, str]:
    """Give the key that sorts what is compared: losses as on their cards, then methods that use none."""
    order, name = (losses.card(loss)["order"], loss) if method.uses_loss else (method.order, method.name)
    return not method.uses_loss, order, name, "" if pd.isna(variant) or variant == "default" else variant


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV in a form that depends on its content alone: six significant digits, no rounding noise."""
    with atomic_write(path) as temporary:
        # adding zero turns -0 into 0
        numbers = table.select_dtypes("float").round(12) + 0.0
        table.assign(**numbers).to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table that :func:`write_csv` wrote; what does not apply is null, as in the metrics table."""
    text = [*COMPARED, "supervision", "metric", "label", "unit", "a", "b", "note", "moving", "fixed", "start"]
    return pd.read_csv(path, dtype={**dict.fromkeys(text, "str"), "seed": "Int64"})
