"""Comparison of the trials of a loss's options on validation pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from likeness import metrics as cards
from likeness.statistics.selection import marks

COLUMNS = ["dataset", "method", "loss", "trial", "options", "metric", "score", "seeds", "feasible", "note", "chosen"]
OF = ["dataset", "method", "loss"]
"""Columns that identify what is tuned."""


def tune(selection: pd.DataFrame, tried: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> pd.DataFrame:
    """Choose the best trial of every loss, by dataset and method.

    Args:
        selection: choices of λ as returned by :func:`~likeness.statistics.selection.choose`, one row per run.
        tried: values of the tuned options, by loss and variant, the variant with default options first.

    Returns:
        One row per dataset, method, loss and trial, with the columns :data:`COLUMNS`: ``trial`` is 0 for the default
        options; ``options`` are the tuned ones, as JSON; ``score`` is the mean over validation pairs of ``metric``, at
        the λ that is best for the trial, averaged over seeds; a trial is ``feasible`` if none of its seeds diverged or
        folds too much; ``chosen`` marks the feasible trial with the best score, the earlier of equals. If none is
        feasible, none is chosen.
    """
    rows = []
    notes = marks(selection)
    for loss, variants in tried.items():
        for trial, (variant, options) in enumerate(variants.items()):
            runs = selection[(selection.loss == loss) & (selection.variant == variant)]
            for (dataset, method), found in runs.groupby(["dataset", "method"], sort=False):
                row = {"dataset": dataset, "method": method, "loss": loss, "trial": trial}
                row |= {"options": json.dumps(options), "metric": found.metric.iloc[0], "score": found.score.mean()}
                row |= {"seeds": found.seed.notna().sum(), "feasible": found.feasible.all()}
                rows.append({**row, "note": notes.get((str(dataset), str(method), loss, variant), "")})
    table = pd.DataFrame(rows, columns=COLUMNS[:-1]).sort_values([*OF, "trial"], ignore_index=True)
    cost = table.score.where(table.metric.isin(cards.lower_is_better()), -table.score).where(table.feasible)
    best = cost.dropna().groupby([table[key] for key in OF]).idxmin()
    return table.assign(chosen=table.index.isin(best))
