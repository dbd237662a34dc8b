"""Our results beside the published ones, on datasets that are published under the name they have in the study.

Equal definitions are rare, so both stand in the table: a difference may be one of definitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from likeness.methods.kinds import Methods
from likeness.statistics.aggregate import COMPARED
from likeness.statistics.published import PUBLISHED, Published

COLUMNS = [*COMPARED, "metric", "n_pairs", "ours", "ci_low", "ci_high", "published", "difference"]
COLUMNS += ["our_definition", "published_definition", "source"]
DEFINITIONS = {
    "dice": "mean over evaluated labels, by default without the background; a label that is absent before registration "
    "is left out",
    "tre": "mean over landmarks, in the dataset's unit, with the field interpolated by cubic splines",
    "ndv": "share of the fixed image's mask in percent, of the whole image without one",
    "hd95": "mean over evaluated labels, in the dataset's unit; the image's diagonal for a lost structure",
}


def reproduce(summary: pd.DataFrame, methods: Methods) -> pd.DataFrame:
    """Set results beside published ones.

    A published result is compared with the default variant of the same loss, or variant of a method without a loss;
    where the publication does not tell the loss, with every loss of the method.

    Args:
        summary: table of :func:`likeness.statistics.summary.summarise`.
        methods: methods of the study.

    Returns:
        The columns :data:`COLUMNS`, a row for every result that has a published one, in the order of these;
        ``difference`` is ours minus the published; empty if no dataset is a published one.
    """
    overall = summary[summary.label.isin(["mean", "all"])].astype(object).where(summary.notna(), None)
    ours = overall.to_dict("records")
    rows = [_row(one, row) for one in PUBLISHED for row in ours if _same(one, row, methods)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _same(one: Published, row: Mapping[Any, Any], methods: Methods) -> bool:
    """Return whether a row of the summary is of the method and loss of a published result."""
    if (row["dataset"], row["metric"]) != (one.dataset, one.metric):
        return False
    method = methods[row["method"]]
    if one.method not in (method.kind, method.name):
        return False
    if method.uses_loss:
        return row["variant"] == "default" and one.loss in (None, row["loss"])
    return one.loss in (None, row["variant"])


def _row(one: Published, row: Mapping[Any, Any]) -> dict[str, Any]:
    ours = row["mean"]
    return {
        **{key: row[key] for key in (*COMPARED, "metric", "n_pairs", "ci_low", "ci_high")},
        "ours": ours,
        "published": one.value,
        "difference": None if ours is None else ours - one.value,
        "our_definition": DEFINITIONS[one.metric],
        "published_definition": one.definition,
        "source": one.source,
    }
