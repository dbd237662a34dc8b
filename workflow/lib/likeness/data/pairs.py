"""Image pairs to register: listed by the dataset, or drawn by its rule.

The rule is the key ``pairs`` of ``dataset.yaml``; :mod:`likeness.config.dataset_file` documents its keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

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

    Returns:
        ``(pairs, 2)`` ids, moving and fixed, in the order of the images.
    """
    table = images[images.split == split]
    allowed = ~np.eye(len(table), dtype=bool)  # rows: moving, columns: fixed
    for column, value in rule.get("moving", {}).items():
        allowed &= has_value(table[column], value)[:, None]
    for column, value in rule.get("fixed", {}).items():
        allowed &= has_value(table[column], value)[None]
    if "within" in rule:
        entry = table[rule["within"]].to_numpy()
        allowed &= (entry[:, None] == entry[None]) & (entry != "")[:, None]
    if "different" in rule:
        entry = table[rule["different"]].to_numpy()
        allowed &= (entry[:, None] != entry[None]) | (entry == "")[:, None]
    if "max_gap" in rule:
        position = table.position.to_numpy(dtype=float)
        gap = np.abs(position[:, None] - position[None])
        allowed &= (gap > 0) & (gap <= rule["max_gap"])
    ids = table.index.to_numpy(dtype=object)
    return ids[np.argwhere(allowed)]


def has_value(column: pd.Series, value: object) -> np.ndarray:
    """Return which entries equal a value of a rule, as a boolean array; numbers are compared numerically."""
    if isinstance(value, int | float):
        return pd.to_numeric(column, errors="coerce").eq(value).to_numpy()
    return column.astype(str).eq(str(value)).to_numpy()


def _sample(count: int, limit: int | None, generator: np.random.Generator) -> np.ndarray:
    if limit is None or count <= limit:
        return np.arange(count)
    return np.sort(generator.choice(count, limit, replace=False))
