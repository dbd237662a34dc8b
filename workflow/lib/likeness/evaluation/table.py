"""The table of scores: one tidy row per split, weight, pair, metric and label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from likeness.data.store import Dataset
from likeness.evaluation.scores import PairScorer

COLUMNS = (
    *("dataset", "split", "method", "network", "loss", "variant", "lam", "seed"),
    *("pair", "moving", "fixed", "moving_person", "fixed_person", "metric", "label", "value", "unit"),
)
SPLITS = ("val", "test")
"""The surface distance, the costliest score, is left out on validation, where nothing is chosen by it."""
UNREGISTERED = {"method": "unregistered", "network": "", "loss": "", "variant": "", "seed": -1}
"""What names the unregistered pairs in the table."""


def score_unregistered(dataset: Dataset) -> pd.DataFrame:
    """Score all validation and test pairs of a dataset as they are."""
    who = {"dataset": dataset.name, **UNREGISTERED}
    return _table(
        row
        for split in SPLITS
        for moving, fixed in dataset.pairs_of(split)
        for row in _rows(dataset, split, moving, fixed, {np.nan: None}, who)
    )


def score_fields(dataset: Dataset, folder: Path, weights: Mapping[float, bool], who: Mapping[str, Any]) -> pd.DataFrame:
    """Score the fields ``<weight>/<split>/<moving>__<fixed>.npz`` of all validation and test pairs.

    Args:
        dataset: the prepared dataset.
        folder: where the fields lie.
        weights: every regularisation weight, and whether its training succeeded; one that diverged scores NaN.
        who: ``dataset``, ``network``, ``loss``, ``variant`` and ``seed``.

    Raises:
        FileNotFoundError: if the field of a pair is missing.
    """
    diverged = np.full((*dataset.shape, dataset.spatial_dims), np.nan, np.float32)

    def field(weight: float, pair: Path) -> np.ndarray:
        return _read(folder / f"{weight:g}" / pair) if weights[weight] else diverged

    return _table(
        row
        for split in SPLITS
        for moving, fixed in dataset.pairs_of(split)
        for row in _rows(
            dataset,
            split,
            moving,
            fixed,
            {weight: field(weight, Path(split) / f"{moving}__{fixed}.npz") for weight in weights},
            {**who, "method": "learned"},
        )
    )


def _read(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return file["displacement"]


def _rows(
    dataset: Dataset,
    split: str,
    moving: str,
    fixed: str,
    displacements: Mapping[float, np.ndarray | None],
    who: Mapping[str, Any],
) -> Iterable[dict[str, Any]]:
    """Score all displacements of one pair, so that what they share is computed once."""
    scorer = PairScorer(dataset, dataset.load(moving), dataset.load(fixed))
    pair = {
        "pair": f"{moving}>{fixed}",
        "moving": moving,
        "fixed": fixed,
        "moving_person": dataset.subject(moving),
        "fixed_person": dataset.subject(fixed),
    }
    for weight, displacement in displacements.items():
        for score in scorer.score(displacement, hd95=split == "test"):
            yield {**who, "split": split, "lam": weight, **pair, **score}


def _table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(COLUMNS))
