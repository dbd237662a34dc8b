"""What a page needs to rank losses anew for any choice: scores of pairs, and draws of the subjects.

Ranks and draws are those of :mod:`likeness.statistics.ranks`; the page repeats its arithmetic on what is carried here.
"""

from __future__ import annotations

import string
from typing import Any

import numpy as np
import pandas as pd

from likeness import metrics as cards
from likeness.methods.kinds import Methods
from likeness.statistics.aggregate import overall
from likeness.statistics.ranks import leading
from likeness.statistics.resampling import Contest, Draws, Tables
from likeness.statistics.selection import primary_metric

DIGITS = string.digits + string.ascii_lowercase
"""Written for how often a subject is drawn, one character a subject; more often than the last counts as that."""
SIGNIFICANT = 10
"""Digits of a score that the page carries: enough that means tie as they do in the tables."""


def carried(metrics: pd.DataFrame, methods: Methods) -> list[dict[str, Any]]:
    """Return scores and draws of every dataset and method that has losses, as plain types.

    Args:
        metrics: metrics table, with ``chosen`` filled.
        methods: methods of the study.

    Returns:
        Per dataset: ``name``, ``primary``, ``draws`` (a text per draw, a character per subject) and ``contests``. A
        contest has ``among``, ``metric``, ``sign`` (-1 where higher is better), ``ids`` of the contestants,
        ``supervision``, ``first`` and ``second`` (places of the subjects of each observation), ``costs``
        ``(observations, contestants)``, null where infinite, and ``resampled``.
    """
    rows = overall(metrics[(metrics.split == "test") & metrics.chosen])
    return [_dataset(str(name), part, methods) for name, part in rows.groupby("dataset", sort=True)]


def _dataset(name: str, part: pd.DataFrame, methods: Methods) -> dict[str, Any]:
    primary = primary_metric(part, name)
    names = list(dict.fromkeys([primary, *cards.comparable(set(part.metric))]))
    subjects = np.unique(np.concatenate([part.moving_subject, part.fixed_subject]).astype(str))
    times = Draws(name, part).weights(subjects, subjects).astype(int).clip(max=len(DIGITS) - 1)
    tables = Tables(part[part.metric.isin(names)])
    found = [
        _contest(Contest(tables, methods, among, metric), among, subjects)
        for among in leading(part, methods)
        for metric in names
    ]
    texts = ["".join(DIGITS[count] for count in draw) for draw in times.tolist()]
    return {"name": name, "primary": primary, "draws": texts, "contests": [one for one in found if one["ids"]]}


def _contest(contest: Contest, among: str | None, subjects: np.ndarray) -> dict[str, Any]:
    costs = [
        [float(f"{cost:.{SIGNIFICANT}g}") if np.isfinite(cost) else None for cost in row]
        for row in contest.costs.tolist()
    ]
    return {
        "among": among or "methods without a loss",
        "metric": contest.metric,
        "sign": contest.sign,
        "ids": [identity(one.method, one.name) for one in contest.contestants],
        "supervision": [one.supervision or "no loss" for one in contest.contestants],
        "first": np.searchsorted(subjects, contest.first).tolist(),
        "second": np.searchsorted(subjects, contest.second).tolist(),
        "costs": costs,
        "resampled": bool(contest.resampled),
        "subjects": contest.subjects,
    }


def identity(method: str, name: str) -> str:
    """Return what a row of the page is known by, in it and in its address."""
    return f"{method}:{name}"
