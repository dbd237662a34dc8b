"""Scores under several conditions: datasets of one source that differ in a degradation or an option."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from likeness.statistics.aggregate import COMPARED

NUMBERS = ["n_pairs", "mean", "median", "ci_low", "ci_high"]
COLUMNS = ["source", "condition", *COMPARED, "metric", "unit", *NUMBERS, "change", "note"]


def compare(
    summary: pd.DataFrame, conditions: Mapping[str, tuple[str, str]], primaries: Mapping[str, str]
) -> pd.DataFrame:
    """Select the primary scores of datasets of one source, with their change from the first condition.

    Args:
        summary: result of :func:`likeness.statistics.summary.summarise`.
        conditions: source and condition of each dataset, in the order of the study.
        primaries: primary metric of each dataset.

    Returns:
        The columns :data:`COLUMNS`, sorted by source, method, loss and variant, and then as the conditions are;
        ``change`` is the difference of the mean from that under the first condition of the source, empty if what is
        scored does not apply there, or if the primary metric is another.
    """
    rows = summary[summary.dataset.isin(conditions) & summary.label.isin(["mean", "all"])]
    rows = rows[rows.metric == rows.dataset.map(primaries)]
    place = {name: number for number, name in enumerate(conditions)}
    first: dict[str, str] = {}
    for name, (origin, _) in conditions.items():
        first.setdefault(origin, name)
    source = rows.dataset.map({name: one for name, (one, _) in conditions.items()})
    condition = rows.dataset.map({name: one for name, (_, one) in conditions.items()})
    found = rows.assign(source=source, condition=condition, _place=rows.dataset.map(place))
    same = ["source", "method", "loss", "variant"]
    measured = [*same, "metric", "unit"]
    reference = found[found.dataset == found.source.map(first)][[*measured, "mean"]]
    found = found.merge(reference.rename(columns={"mean": "_reference"}), how="left", on=measured)
    found["change"] = found["mean"] - found["_reference"]
    return found.sort_values([*same, "_place"], ignore_index=True)[COLUMNS]
