"""Verdicts of an audit on per-pair optimisation: did the search converge or fail, or is the loss at fault?

For every pair:

- ``diverged``: no search produced a field;
- ``search failed``: another start led to a lower objective and a different score, or only the run's search diverged; a
  lower objective after a second round is not a failure but means that the search had not converged;
- ``loss wrong``: from the truth, or the field of another loss, the search ended at a better score but a higher
objective; - ``sound``: none of these.

An objective counts as lower if the difference exceeds :data:`MARGIN` times the decrease from the identity to the result
of the run's search; scores count as different if they differ by more than :func:`smallest`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from likeness import metrics as cards
from likeness.results import KEYS

MARGIN = 0.01
"""Fraction of an objective's decrease that counts as a difference."""
SMALLEST_SHARE = 0.02
"""Smallest relevant difference as a fraction of a score, for metrics whose card states none."""
ROUNDING = 1e-6
"""Difference below which two scores are the same, whatever the metric: fields are in single precision."""
REFERENCES = ("truth", "other")
OTHERS = ("identity", *REFERENCES)
"""Starts whose results are compared with that of the run."""
VERDICTS = ("sound", "search failed", "loss wrong", "diverged")
PAIR = ["moving", "fixed"]
RUN = [*KEYS, "lam"]
COLUMNS = [*RUN, "metric", "pairs", "score", "again", "identity", "reference", "reference_score"]
COLUMNS += ["settled", "path_worse", "draws", "search_failed", "loss_wrong", "diverged"]


def smallest(metric: str, score: float) -> float:
    """Return the smallest relevant difference from a score."""
    stated = cards.card(metric)["smallest"]
    return max(SMALLEST_SHARE * abs(score), ROUNDING) if stated is None else stated


def endings(audits: pd.DataFrame, metrics: dict[str, str]) -> pd.DataFrame:
    """Add a column ``verdict`` to the rows of audits, the same for all starts of a pair.

    Args:
        audits: rows of :class:`likeness.methods.audit.Audit` with the columns that identify a run.
        metrics: primary score of every dataset.
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
    """Summarise verdicts: one row per run, with the columns :data:`COLUMNS`.

    ``score`` is the mean primary score of the audited pairs after the run's search. ``again``, ``identity`` and
    ``draws`` are mean changes of the score, over the pairs that have both, by a second round, without the path, and
    with more noise samples. ``reference_score`` is ``score`` plus the change from the start ``reference``. ``settled``:
    the mean absolute change by a second round is at most the smallest relevant difference. ``path_worse``: without the
    path the score is better by more than that, so the loss should be listed under ``separate``. ``search_failed``,
    ``loss_wrong`` and ``diverged`` are fractions of pairs.
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
