"""What the contrasts of a study say of the claims that they were stated for.

A contrast supports its claim if a is better than b. It speaks against it if b is better, or if both are equivalent; in
a metric of which neither more nor less is better, only the latter. A
claim ``holds`` on a dataset if all of its contrasts hold there, and ``fails`` if one fails; it is ``undecided`` if
neither can be said, and ``not tested here`` as long as a contrast that might still fail was not scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from likeness.statistics.contrasts import NOT_SCORED

COLUMNS = ["claim", "says", "dataset", "method", "contrast", "metric", "effect", "low", "high", "smallest"]
COLUMNS += ["n_pairs", "n_subjects", "verdict", "note"]
WHOLE = "all"
"""Name of the contrast in the row that has the verdict of the whole claim."""
HOLDS, FAILS, UNDECIDED, NOT_TESTED = "holds", "fails", "undecided", "not tested here"
VERDICTS = {"a better": HOLDS, "b better": FAILS, "equivalent": FAILS, "undecided": UNDECIDED}


def judge(contrasts: pd.DataFrame, claims: Mapping[str, str]) -> pd.DataFrame:
    """Judge the claims of a study.

    Args:
        contrasts: result of :func:`likeness.statistics.contrasts.confirm`.
        claims: what is claimed, by name.

    Returns:
        The columns :data:`COLUMNS`: for every claim, dataset and method a row with the contrast :data:`WHOLE`, followed
        by one for each of its contrasts. A claim without contrasts on any dataset has one row, ``not tested here``.
    """
    found: list[dict[str, Any]] = []
    for claim, says in claims.items():
        rows = contrasts[contrasts.claim == claim]
        if not len(rows):
            found.append({"claim": claim, "says": says, "contrast": WHOLE, "verdict": NOT_TESTED})
        for (dataset, method), part in rows.groupby(["dataset", "method"], dropna=False, sort=False):
            about = {"claim": claim, "says": says, "dataset": dataset, "method": method}
            each = [_judged(row) for row in part.to_dict("records")]
            found.append({**about, "contrast": WHOLE, "verdict": whole([str(row["verdict"]) for row in each])})
            found += [{**about, **row} for row in each]
    return pd.DataFrame(found, columns=COLUMNS)


def whole(verdicts: list[str]) -> str:
    """Return the verdict on a claim from those on its contrasts."""
    order = (FAILS, NOT_TESTED, UNDECIDED)
    return next((verdict for verdict in order if verdict in verdicts), HOLDS)


def _judged(row: Mapping[Any, Any]) -> dict[str, Any]:
    note = "" if pd.isna(row["note"]) else str(row["note"])
    verdict = UNDECIDED if pd.isna(row["verdict"]) else VERDICTS.get(row["verdict"], UNDECIDED)
    if NOT_SCORED in note:
        verdict = NOT_TESTED
    b = "the best" if pd.isna(row["b"]) else row["b"]
    kept = {key: row[key] for key in ("metric", "effect", "low", "high", "smallest", "n_pairs", "n_subjects")}
    return {**kept, "contrast": f"{row['a']} against {b}", "verdict": verdict, "note": note}
