"""Four marks of how far the scores of a row can be trusted: search, its failures, extractor, independent units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from likeness.statistics.aggregate import same
from likeness.statistics.mixed_model import FEWEST_SUBJECTS

GOOD, BAD, UNKNOWN, NONE = "good", "bad", "unknown", "none"
NAMES = ("converged", "search", "extractor", "units")
ENOUGH_CONVERGED = 1.0
"""Share of pairs that have converged at the chosen λ, below which a row is marked."""


@dataclass(frozen=True)
class Mark:
    """A mark: one of :data:`NAMES`, its state, and the sentence that says why."""

    name: str
    state: str
    text: str


def marks(tables: Mapping[str, pd.DataFrame], key: list[Any], subjects: float, specimen: bool) -> list[Mark]:
    """Return the four marks of a dataset, method, loss and variant.

    Args:
        tables: ``runs``, ``selection`` and ``verdicts``; a missing one leaves its mark unknown.
        key: dataset, method, loss, variant; null where one does not apply.
        subjects: number of independent subjects of its test pairs.
        specimen: whether all images of the dataset are of one specimen.
    """
    runs = _chosen(tables, key)
    return [_converged(runs), _failed(tables, key), _extractor(runs), _units(subjects, specimen)]


def _chosen(tables: Mapping[str, pd.DataFrame], key: list[Any]) -> pd.DataFrame:
    """Return the rows of the table of runs at the λ that were chosen."""
    if "runs" not in tables:
        return pd.DataFrame()
    runs = tables["runs"][same(tables["runs"], key)]
    if "selection" not in tables:
        return runs
    chosen = tables["selection"][same(tables["selection"], key)]
    places = {*_places(chosen)}
    return runs[[place in places for place in _places(runs)]] if places else runs


def _places(table: pd.DataFrame) -> list[tuple[Any, float]]:
    """Return seed and λ of every row; a null seed equals another."""
    return [(None if pd.isna(seed) else seed, round(lam, 9)) for seed, lam in zip(table.seed, table.lam, strict=True)]


def _converged(runs: pd.DataFrame) -> Mark:
    if not len(runs) or runs.converged.isna().all():
        return Mark("converged", UNKNOWN, "no search is recorded")
    if runs.diverged.astype(bool).any():
        return Mark("converged", BAD, "a search diverged")
    share = float(runs.converged.astype(float).mean())
    state = GOOD if share >= ENOUGH_CONVERGED else BAD
    return Mark("converged", state, f"{share:.0%} of the searches had converged")


def _failed(tables: Mapping[str, pd.DataFrame], key: list[Any]) -> Mark:
    verdicts = tables.get("verdicts", pd.DataFrame())
    rows = verdicts[same(verdicts, key)] if len(verdicts) else verdicts
    if not len(rows):
        return Mark("search", UNKNOWN, "searches from other starts were not made")
    failed = float(rows.search_failed.astype(float).max())
    said = f"a better objective was known but not found in {failed:.0%} of the audited pairs"
    unsettled = " and a second round still changed scores" if (rows.settled == False).any() else ""  # noqa: E712
    return Mark("search", BAD if failed > 0 or unsettled else GOOD, said + unsettled)


def _extractor(runs: pd.DataFrame) -> Mark:
    known = runs[["extractor_learning", "extractor_weak"]].dropna(how="all") if len(runs) else runs
    if not len(known):
        return Mark("extractor", NONE, "no extractor was trained for it")
    said = [
        text
        for column, text in (("extractor_learning", "was still learning"), ("extractor_weak", "had learnt little"))
        if known[column].fillna(False).astype(bool).any()
    ]
    return Mark("extractor", BAD if said else GOOD, f"the extractor {' and '.join(said) or 'had finished learning'}")


def _units(subjects: float, specimen: bool) -> Mark:
    if specimen:
        return Mark("units", BAD, "all images are of one specimen")
    if pd.isna(subjects):
        return Mark("units", UNKNOWN, "the number of subjects is not known")
    state = GOOD if subjects >= 2 * FEWEST_SUBJECTS else BAD
    return Mark("units", state, f"{int(subjects)} independent subjects")
