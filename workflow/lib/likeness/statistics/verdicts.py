"""What an audit says of a run: whether its search has ended, failed, or found what the loss wrongly prefers.

Of every pair:

- ``diverged``: no search has left a field;
- ``search failed``: another start has led to a lower objective and another score, or the run's search alone diverged;
  that a second round from its end does is no failure, but tells that it had not converged;
- ``loss wrong``: from the truth, or from the field of another loss, the search has ended at a better score, but a
  higher objective;
- ``sound``: neither.

An objective is lower if it is so by more than :data:`MARGIN` of its fall from the identity to where the run's search
ended, and a score is another one if it differs by more than :func:`smallest`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from likeness import metrics as cards
from likeness.results import KEYS

MARGIN = 0.01
"""Share of an objective's fall that counts as a difference."""
SMALLEST_SHARE = 0.02
"""Share of a score that is its smallest difference that matters, where the card of the metric states none."""
REFERENCES = ("truth", "other")
OTHERS = ("identity", *REFERENCES)
"""The starts whose ends are compared with the run's own."""
VERDICTS = ("sound", "search failed", "loss wrong", "diverged")
PAIR = ["moving", "fixed"]
RUN = [*KEYS, "lam"]
COLUMNS = [*RUN, "metric", "pairs", "score", "again", "identity", "reference", "reference_score"]
COLUMNS += ["settled", "path_worse", "draws", "search_failed", "loss_wrong", "diverged"]


def smallest(metric: str, score: float) -> float:
    """Give the smallest difference from a score that matters."""
    stated = cards.card(metric)["smallest"]
    return SMALLEST_SHARE * abs(score) if stated is None else stated


def endings(audits: pd.DataFrame, metrics: dict[str, str]) -> pd.DataFrame:
    """Add a column ``verdict`` to the rows of audits, one for all starts of a pair.

    Args:
        audits: rows of :class:`likeness.methods.audit.Audit` with the columns that name a run.
        metrics: the primary score of every dataset.
    """
    found = []
    for _, rows in audits.groupby([*RUN, *PAIR], dropna=False, sort=False):
        found.append(rows.assign(verdict=_verdict(rows.set_index("start"), metrics[rows.dataset.iloc[0]])))
    return pd.concat(found, ignore_index=True) if found else audits.assign(verdict=pd.Series(dtype="str"))


def _verdict(starts: pd.DataFrame, metric: str) -> str:
    path: Any = starts.loc["path"]
    if not np.isfinite(path.objective):
        return "search failed" if np.isfinite(starts.objective.drop("unregistered")).any() else "diverged"
    margin = MARGIN * max(starts.objective["unregistered"] - path.objective, 0.0)
    others = starts.loc[[name for name in starts.index if name in OTHERS]]
    least = smallest(metric, path.score)
    if ((others.objective < path.objective - margin) & ((others.score - path.score).abs() > least)).any():
        return "search failed"
    sign = 1 if metric in cards.lower_is_better() else -1
    for name in REFERENCES:
        if name in starts.index:
            there: Any = starts.loc[name]
            if sign * (path.score - there.score) > least and there.objective > path.objective + margin:
                return "loss wrong"
    return "sound"


def summarise(audited: pd.DataFrame, metrics: dict[str, str]) -> pd.DataFrame:
    """Give one row for every run, the columns :data:`COLUMNS`.

    ``score`` is the mean primary score of the audited pairs where the run's search ended; ``again``, ``identity`` and
    ``draws`` say by how much it differs, over the pairs that have both, after a second round, without the path, and
    with more draws of noise; ``reference_score`` is it with what differs from the ``reference``. ``settled``: a second
    round changes a pair, on average and whatever the direction, by less than the smallest difference that matters.
    ``path_worse``: without the path the score is better by more than that, so that the loss should start separately.
    ``search_failed``, ``loss_wrong`` and ``diverged`` are shares of pairs.
    """
    rows = []
    for key, run in audited.groupby(RUN, dropna=False, sort=False):
        who: dict[str, Any] = dict(zip(RUN, key, strict=True))
        metric = metrics[who["dataset"]]
        scores = run.pivot_table(index=PAIR, columns="start", values="score", dropna=False)
        changes = scores.sub(scores["path"], axis=0)
        change, sign = changes.mean(), -1 if metric in cards.lower_is_better() else 1
        reference = next((name for name in REFERENCES if name in scores), None)
        verdict, score = run[run.start == "path"].verdict, scores["path"].mean()
        numbers = {
            "metric": metric,
            "pairs": len(verdict),
            "score": score,
            "again": change["again"],
            "identity": change["identity"],
            "reference": reference,
            "reference_score": score + change[reference] if reference else np.nan,
            "settled": changes["again"].abs().mean() <= smallest(metric, score),
            "path_worse": sign * change["identity"] > smallest(metric, score),
            "draws": change.get("draws", np.nan),
            "search_failed": (verdict == "search failed").mean(),
            "loss_wrong": (verdict == "loss wrong").mean(),
            "diverged": (verdict == "diverged").mean(),
        }
        rows.append({**who, **numbers})
    return pd.DataFrame(rows, columns=COLUMNS).astype({"seed": "Int64"})
