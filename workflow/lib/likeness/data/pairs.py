"""Image pairs to register: listed by the dataset, or drawn by its rule.

The rule is the key ``pairs`` of ``dataset.yaml``; :mod:`likeness.config.dataset_file` documents its keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from likeness.data.store import ATLAS

SPLITS = ("train", "val", "test")


def evenly_spaced(items: Sequence[Any], count: int) -> list[Any]:
    """Select at most ``count`` items, evenly spaced from first to last, because neighbours are often similar."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[i] for i in chosen]


def complete(
    images: pd.DataFrame,
    listed: pd.DataFrame,
    rule: Mapping[str, Any],
    seed: int,
    most: Mapping[str, int] = MappingProxyType({}),
) -> pd.DataFrame:
    """List the pairs of every split: those of ``pairs.csv``, or those of the rule if it lists none.

    Args:
        images: indexed by id; ``split``, the columns that the rule names, and ``position`` as numbers.
        listed: ``split``, ``moving``, ``fixed``.
        rule: the key ``pairs`` of ``dataset.yaml``.
        seed: seed of the random selection if there are more pairs than wanted.
        most: maximum number of pairs by split, selected from the listed or drawn ones.

    Returns:
        ``split``, ``moving``, ``fixed``; splits in the order train, val, test; listed pairs in their order, drawn ones
        in the order of the images.
    """
    tables = []
    for number, split in enumerate(SPLITS):
        chosen = listed[listed.split == split]
        if not len(chosen):
            drawn = draw(images, rule, split)
            kept = _sample(len(drawn), rule.get("max_pairs"), np.random.default_rng([seed, number]))
            chosen = pd.DataFrame({"split": split, "moving": drawn[kept, 0], "fixed": drawn[kept, 1]})
        kept = _sample(len(chosen), most.get(split), np.random.default_rng([seed, number, 1]))
        tables.append(chosen[["split", "moving", "fixed"]].iloc[kept])
    return pd.concat(tables, ignore_index=True)


def draw(images: pd.DataFrame, rule: Mapping[str, Any], split: str) -> np.ndarray:
    """Return all pairs of a split that satisfy the rule, before ``max_pairs`` is applied.

    Where there are atlases, they are the fixed images.

    Returns:
        ``(pairs, 2)`` ids, moving and fixed, in the order of the images.
    """
    moving, atlases = images[images.split == split], images[images.split == ATLAS]
    fixed = atlases if len(atlases) else moving
    ids, others = (table.index.to_numpy(dtype=object) for table in (moving, fixed))
    allowed = ids[:, None] != others[None]  # rows: moving, columns: fixed
    for column, value in rule.get("moving", {}).items():
        allowed &= has_value(moving[column], value)[:, None]
    for column, value in rule.get("fixed", {}).items():
        allowed &= has_value(fixed[column], value)[None]
    if "within" in rule:
        entry, other = (table[rule["within"]].to_numpy() for table in (moving, fixed))
        allowed &= (entry[:, None] == other[None]) & (entry != "")[:, None]
    if "different" in rule:
        entry, other = (table[rule["different"]].to_numpy() for table in (moving, fixed))
        allowed &= (entry[:, None] != other[None]) | (entry == "")[:, None]
    if "max_gap" in rule:
        position, other = (table.position.to_numpy(dtype=float) for table in (moving, fixed))
        gap = np.abs(position[:, None] - other[None])
        allowed &= (gap > 0) & (gap <= rule["max_gap"])
    rows, columns = np.nonzero(allowed)
    return np.stack([ids[rows], others[columns]], axis=1)


def has_value(column: pd.Series, value: object) -> np.ndarray:
    """Return which entries equal a value of a rule, as a boolean array; numbers are compared numerically."""
    if isinstance(value, int | float):
        return pd.to_numeric(column, errors="coerce").eq(value).to_numpy()
    return column.astype(str).eq(str(value)).to_numpy()


def _sample(count: int, limit: int | None, generator: np.random.Generator) -> np.ndarray:
    if limit is None or count <= limit:
        return np.arange(count)
    return np.sort(generator.choice(count, limit, replace=False))
