"""The scores that results are based on, with averages over labels: over all of them, and over what was hardest."""

from __future__ import annotations

import pandas as pd

from likeness.methods.kinds import UNREGISTERED
from likeness.statistics.aggregate import label_means

HARDEST = "hardest 30 %"
"""Label of the mean Dice over what was hardest."""


def final(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that results are based on: test pairs at the chosen λ, per label and averaged over labels.

    Averages of Dice are over all labels and over the hardest.
    """
    rows = metrics[(metrics.split == "test") & metrics.chosen]
    return pd.concat([label_means(rows), hardest_means(rows), rows], ignore_index=True)


def hardest_means(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return Dice30: the mean Dice over what was hardest, as rows of the metrics table with the label :data:`HARDEST`.

    Hardest are those of all pairs and labels of a dataset whose Dice before registration is at most the 30th
    percentile. A pair has the mean over its own of them, and no row if it has none. The published mean over all of them
    at once (Hering et al., IEEE TMI 2022, doi:10.48550/arXiv.2112.04489) gives pairs with many more weight.

    Args:
        metrics: rows of the metrics table, of one split, with the unregistered pairs.
    """
    dice = metrics[metrics.metric == "dice"]
    before = dice[dice.method == UNREGISTERED]
    limit = before.groupby("dataset", observed=True)["value"].transform("quantile", 0.3)
    hardest = before.loc[before.value <= limit, ["dataset", "moving", "fixed", "label"]]
    return label_means(dice.merge(hardest, on=list(hardest.columns))).assign(label=HARDEST)
