"""How scores change over an option of datasets that are otherwise alike, such as the dose of content that one lacks.

The slope of a pair is that of the least-squares line through its scores, times the range of the option: the change
from the lowest to the highest value. The datasets must show the same subjects, as simulated ones with one seed do.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from likeness.statistics.aggregate import pivoted

PAIR = ["split", "method", "loss", "variant", "seed", "moving", "fixed", "moving_subject", "fixed_subject"]
PAIR += ["metric", "label", "unit"]


def sloped(rows: pd.DataFrame, values: Mapping[str, float]) -> pd.DataFrame:
    """Return the slopes of all scores over an option.

    Args:
        rows: of the metrics table, at one λ per run.
        values: value of the option by dataset; at least two differ.

    Returns:
        Rows like those given, one for every pair, run and metric that all of the datasets have; ``value`` is the slope,
        infinite or NaN where a score is.
    """
    names = list(values)
    x = np.array([values[name] for name in names], float)
    centred = x - x.mean()
    weights = centred / (centred**2).sum() * np.ptp(x)
    part = rows[rows.dataset.isin(names)]
    means = part.groupby([*PAIR, "dataset"], dropna=False, sort=False, observed=True)["value"].mean().reset_index()
    # a score that is NaN is there: it tells of a training that diverged
    shared = means.groupby(PAIR, dropna=False, sort=False, observed=True)["dataset"].transform("size") == len(names)
    wide = pivoted(means[shared], PAIR, "dataset").reindex(columns=[*PAIR, *names])
    with np.errstate(invalid="ignore"):
        return wide[PAIR].assign(dataset=" ".join(names), value=wide[names].to_numpy() @ weights, lam=np.nan)
