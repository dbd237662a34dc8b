"""What limits a study: failures and doubts, each with a severity, from the tables alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from likeness.statistics.mixed_model import FEWEST_SUBJECTS

SEVERITIES = ("serious", "caution", "note")
FEW = 10
"""Number of subjects below which intervals are wide whatever was measured."""


class Finding(NamedTuple):
    """Something that limits what may be concluded."""

    severity: str
    what: str
    where: str
    means: str


def findings(tables: Mapping[str, pd.DataFrame], sheets: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """List what limits a study, the most severe first.

    Args:
        tables: the study's tables by name; missing ones are a finding themselves.
        sheets: numbers of the data sheets.
    """
    found = [*_runs(tables), *_ends(tables), *_searches(tables), *_data(sheets), *_tests(tables)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _names(rows: pd.DataFrame) -> str:
    each = rows[["dataset", "method", "loss", "variant"]].drop_duplicates().astype(object)
    said = ["/".join(str(v) for v in row if not pd.isna(v) and v != "default") for row in each.to_numpy().tolist()]
    return ", ".join(said[:8]) + (f" and {len(said) - 8} more" if len(said) > 8 else "")


def _runs(tables: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    runs = tables.get("runs")
    if runs is None:
        yield Finding("serious", "runs.csv is missing", "whole study", "It is not known which searches converged.")
        return
    diverged, attained = runs.diverged.fillna(False).astype(bool), runs.attained.fillna(True).astype(bool)
    if diverged.any():
        yield Finding("serious", "diverged", _names(runs[diverged]), "There are no fields at some λ.")
    if (~attained).any():
        yield Finding("caution", "roughness not attained", _names(runs[~attained]), "A level of λ is not scored.")
    partly = runs.converged.astype(float) < 1
    if (partly & ~diverged).any():
        means = "Some searches stopped at their limit; with more evaluations scores may change."
        yield Finding("caution", "not converged", _names(runs[partly & ~diverged]), means)
    for column, what in (("extractor_learning", "extractor still learning"), ("extractor_weak", "extractor weak")):
        marked = runs[column].fillna(False).astype(bool)
        if marked.any():
            yield Finding("caution", what, _names(runs[marked]), "A better trained extractor may score better.")


def _ends(tables: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    chosen = tables.get("selection")
    if chosen is None:
        yield Finding("serious", "selection.csv is missing", "whole study", "It is not known how λ was chosen.")
        return
    ended = chosen[chosen.end.notna()]
    if len(ended):
        means = "The best λ may lie outside the grid that was tried."
        yield Finding("caution", "λ at an end of its grid", _names(ended), means)
    bad = chosen[~chosen.feasible.astype(bool)]
    if len(bad):
        yield Finding("serious", "every λ folds too much, or diverged", _names(bad), "No λ gave acceptable fields.")


def _searches(tables: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    verdicts = tables.get("verdicts")
    if verdicts is None or not len(verdicts):
        means = "A failed search is not told from a wrong loss."
        yield Finding("note", "searches were not audited", "whole study", means)
        return
    failed = verdicts[verdicts.search_failed.astype(float) > 0]
    if len(failed):
        means = "A better objective was known but not found: the score is the search's fault, not the loss's."
        yield Finding("caution", "search failed", _names(failed), means)


def _data(sheets: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for sheet in sheets:
        subjects, name = sheet["splits"]["test"]["subjects"], sheet["name"]
        if sheet["subjects_in_several_splits"]:
            yield Finding("serious", "leakage", name, "Subjects occur in more than one split.")
        if sheet["within_subject"]:
            yield Finding("serious", "one specimen", name, "No interval speaks of other specimens.")
        if subjects is not None and subjects < FEW:
            severity = "serious" if subjects < FEWEST_SUBJECTS else "caution"
            yield Finding(severity, "few subjects", f"{name}: {subjects}", "Intervals are wide, tests weak.")
        if sheet["stress_test"]:
            means = "Results show where a loss breaks, not which is better on other images."
            yield Finding("note", "stress test", name, means)


def _tests(tables: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    contrasts = tables.get("contrasts")
    if contrasts is None or not len(contrasts):
        yield Finding("note", "no contrasts", "whole study", "No difference was named beforehand: nothing is tested.")
        return
    silent = contrasts[contrasts.verdict.isna()]
    if len(silent):
        where = f"{len(silent)} of {len(contrasts)} contrasts"
        yield Finding("caution", "no verdict", where, "p is missing or descriptive; contrasts.csv says why.")
