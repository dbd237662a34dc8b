"""The table of scores in tidy format: one row per split, run, λ, pair, metric and label; null if not applicable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from likeness.data.store import Dataset
from likeness.evaluation.scores import PairScorer
from likeness.fields import Fields
from likeness.results import Run
from likeness.userinput.errors import UserError

COLUMNS = (
    *("dataset", "split", "method", "loss", "variant", "seed", "lam"),
    *("moving", "fixed", "moving_subject", "fixed_subject", "metric", "label", "value", "unit"),
)
TYPES = {"loss": "str", "variant": "str", "seed": "Int64", "lam": "float64"}
"""Types of the columns that can be entirely null."""
SPLITS = ("val", "test")
"""Costly metrics are only computed for test pairs at the chosen λ, because nothing is selected by them."""


def score_unregistered(dataset: Dataset, run: Run) -> pd.DataFrame:
    """Score all validation and test pairs of a dataset without registration."""
    return _table(
        row
        for split in SPLITS
        for moving, fixed in dataset.pairs_of(split)
        for row in _rows(dataset, split, moving, fixed, {np.nan: None}, run, np.nan if split == "test" else None)
    )


def score_fields(
    dataset: Dataset, fields: Fields, run: Run, choose: Callable[[pd.DataFrame], float] = lambda _: np.nan
) -> pd.DataFrame:
    """Score the fields of all validation and test pairs, from any method.

    A λ that diverged scores NaN. Pairs without a field, and λ whose roughness was not attained, have no rows.

    Args:
        dataset: prepared dataset.
        fields: fields of its validation and test pairs.
        run: run that produced them.
        choose: function that chooses λ from the scores of validation pairs; by default NaN, for methods without λ.

    Raises:
        UserError: if the field of a pair is missing or not on the grid of the dataset.
    """
    if fields.shape != dataset.shape:
        msg = f"{fields.folder}: has fields on a grid of {fields.shape} voxels, but {dataset.name} has {dataset.shape}"
        raise UserError(msg + "; delete it and run again to recreate it")
    diverged = np.full((*dataset.shape, dataset.spatial_dims), np.nan, np.float32)

    def displacements(moving: str, fixed: str, only: float | None = None) -> dict[float, np.ndarray | None]:
        lams = {np.nan if search.lam is None else search.lam: search for search in fields.searches if search.attained}
        wanted = [lam for lam in lams if only is None or np.array_equal(lam, only, equal_nan=True)]
        found = {lam: fields.read(lams[lam], moving, fixed) for lam in wanted}
        return {lam: diverged if u is None else u for lam, u in found.items()}

    def scored(split: str, chosen: float | None) -> pd.DataFrame:
        there = pairs_there(dataset, fields, split)

        def reverse(moving: str, fixed: str) -> np.ndarray | None:
            # for costly metrics only
            if chosen is None or (fixed, moving) not in there:
                return None
            return next(iter(displacements(fixed, moving, chosen).values()), None)

        return _table(
            row
            for pair in there
            for row in _rows(dataset, split, *pair, displacements(*pair), run, chosen, reverse(*pair))
        )

    validation = scored("val", None)
    test = scored("test", choose(validation))
    # an empty table has no usable column types
    return pd.concat([table for table in (validation, test) if len(table)] or [test], ignore_index=True)


def pairs_there(dataset: Dataset, fields: Fields, split: str) -> list[tuple[str, str]]:
    """List the pairs of a split that a method has fields for."""
    return [pair for pair in dataset.pairs_of(split) if pair not in fields.missing]


def sample(dataset: Dataset, fields: Fields) -> dict[str, np.ndarray]:
    """Return the fields of one test pair for figures: the middle one, or the next that the method has.

    Returns:
        ``moving`` and ``fixed``: ids; ``lams`` ``(n,)``, NaN for methods without λ; ``displacements``
        ``(n, *spatial, dims)`` in voxels. Diverged λ are omitted.
    """
    pairs, there = dataset.pairs_of("test"), pairs_there(dataset, fields, "test")
    middle = len(pairs) // 2
    moving, fixed = next(pair for pair in [*pairs[middle:], *pairs[:middle]] if pair in there)
    found = {search.lam: fields.read(search, moving, fixed) for search in fields.searches if not search.empty}
    return {
        "moving": np.array(moving),
        "fixed": np.array(fixed),
        "lams": np.array([np.nan if lam is None else lam for lam in found]),
        "displacements": np.array(list(found.values())),
    }


def _rows(
    dataset: Dataset,
    split: str,
    moving: str,
    fixed: str,
    displacements: Mapping[float, np.ndarray | None],
    run: Run,
    chosen: float | None,
    reverse: np.ndarray | None = None,
) -> Iterable[dict[str, Any]]:
    """Score all displacements of one pair with shared computations; costly metrics at the chosen λ only.

    ``reverse`` is the displacement of the mirrored pair at the chosen λ.
    """
    scorer = PairScorer(dataset, dataset.load(moving), dataset.load(fixed))
    subjects = zip(("moving_subject", "fixed_subject"), dataset.subjects(moving, fixed), strict=True)
    pair = {"moving": moving, "fixed": fixed, **dict(subjects)}
    for lam, displacement in displacements.items():
        costly = chosen is not None and np.array_equal(lam, chosen, equal_nan=True)
        for score in scorer.score(displacement, costly, reverse if costly else None):
            yield {**run._asdict(), "split": split, "lam": lam, **pair, **score}


def _table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(TYPES)
