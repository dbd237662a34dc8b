"""Diagnosis of per-pair optimisation: does the search fail or the loss? Results of searches from several starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from likeness.figures import style
from likeness.figures.style import Entry
from likeness.methods.kinds import Methods
from likeness.statistics.selection import primary_unit
from likeness.statistics.verdicts import REFERENCES, VERDICTS

CARD = {
    "order": 15,
    "reads": ["audit", "metrics", "datasets", "methods"],
    "caption": """\
**Is it the search or the loss?** Validation pairs at the λ that is best for them, optimised again with the same effort
from other starts. One column per dataset and method, one line per loss. Upper row: the mean primary score of the run's
result (filled), of a second round from there (bar), of a search from the identity only (cross), and of a search from
the true field or, if no truth is known, from the field of the other loss that is best on validation (ring). Dashed:
unregistered. Seeds are pooled.

Lower row: fractions of pairs. *Search failed*: another start led to an objective that is lower, by more than 1 % of
its decrease from the identity, and to a different score; a better search would find it. *Loss wrong*: from the truth,
or that other field, the search ends at a better score and a higher objective; no search can help, because the loss
prefers another solution. *Diverged*: no search produced a field. *Sound*: none of these. Scores count as different from
2 % of an error or .003 of Dice. A lower objective after a second round is not a failure of the search: it had not yet
converged.
""",
}

COLOURS = {"sound": "#D8DEE6", "search failed": "#DDAA33", "loss wrong": "#BB5566", "diverged": "#222222"}


@style.paper()
def draw(
    audit: pd.DataFrame, metrics: pd.DataFrame, datasets: Mapping[str, Mapping[str, Any]], methods: Methods
) -> Figure:
    """Draw the results of searches and, below, fractions of pairs.

    Args:
        audit: table of :func:`likeness.statistics.verdicts.endings`.
        metrics: metrics table, for units.
        datasets: name → content of ``dataset.yaml``, in the order of the study.
        methods: methods of the study.
    """
    if not len(audit):
        return style.nothing("The study has no per-pair optimisation.")
    shown, lines = style.panels(audit, datasets, methods), style.lines(style.entries(audit, methods))
    figure, grid = style.pairs(len(shown), (2.6, style.line_height(lines)), extra=0.35)
    for panel, (upper, lower) in zip(shown, grid, strict=True):
        found = panel.rows(audit)
        pairs = len(found[["moving", "fixed"]].drop_duplicates())
        panel.head(upper, f"{pairs} validation pair{'' if pairs == 1 else 's'}")
        for axes in (upper, lower):
            style.separate(axes, lines)
        _ends(upper, found, lines)
        metric, unit = primary_unit(metrics, panel.dataset)
        upper.set_xlabel(style.metric_label(metric, unit))
        _shares(lower, found, lines)
    figure.legend(handles=_keys(audit), loc="outside lower center", ncols=4 if len(shown) > 2 else 2)
    return figure


def _ends(axes: Axes, found: pd.DataFrame, lines: Sequence[style.Line]) -> None:
    before = found.score[found.start == "unregistered"].mean()
    axes.axvline(before, color=style.MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
    for y, what in lines:
        if not isinstance(what, Entry):
            continue
        means = what.rows(found).groupby("start").score.mean()
        if not len(means):
            style.write(axes, y, "n/a")
            continue
        reference = next((means[name] for name in REFERENCES if name in means.index), np.nan)
        axes.plot([means["path"], reference], [y, y], color=what.colour, linewidth=1, zorder=2)
        axes.plot(means["identity"], y, marker="x", markersize=4.5, color=what.colour, zorder=3)
        axes.plot(means["again"], y, marker="|", markersize=8, color=what.colour, zorder=3)
        axes.plot(means["path"], y, marker="o", markersize=4, color=what.colour, zorder=4)
        ring: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": what.colour, "markeredgewidth": 1.1}
        axes.plot(reference, y, marker="o", markersize=5, **ring, zorder=3)


def _shares(axes: Axes, found: pd.DataFrame, lines: Sequence[style.Line]) -> None:
    for y, what in lines:
        if not isinstance(what, Entry):
            continue
        verdicts = what.rows(found[found.start == "path"]).verdict
        if not len(verdicts):
            style.write(axes, y, "n/a")
            continue
        left = 0.0
        for verdict in VERDICTS:
            share = 100 * (verdicts == verdict).mean()
            axes.barh(y, share, left=left, height=0.7, color=COLOURS[verdict], linewidth=0)
            left += share
    axes.set_xlim(0, 100)
    axes.set_xlabel("Pairs (%)")


def _keys(audit: pd.DataFrame) -> list[Line2D | Patch]:
    plain: dict[str, Any] = {"linestyle": "", "color": style.INK}
    references = {"truth": "from the truth", "other": "from the best other loss"}
    said = " or ".join(references[name] for name in REFERENCES if (audit.start == name).any())
    keys: list[Line2D | Patch] = [
        Line2D([], [], marker="o", markersize=4, label="result of the run", **plain),
        Line2D([], [], marker="|", markersize=8, label="second round", **plain),
        Line2D([], [], marker="x", markersize=4.5, label="from the identity only", **plain),
    ]
    if said:
        ring: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": style.INK, "markeredgewidth": 1.1}
        keys.append(Line2D([], [], marker="o", markersize=5, linestyle="", label=said, **ring))
    seen = [verdict for verdict in VERDICTS if verdict != "diverged" or (audit.verdict == verdict).any()]
    return keys + [Patch(color=COLOURS[verdict], label=verdict) for verdict in seen]
