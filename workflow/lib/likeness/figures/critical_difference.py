"""Which losses do not differ in rank, over pairs without a common subject: the diagram of Demšar, a line per loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from likeness.figures import style
from likeness.figures.style import Entry, Panel
from likeness.methods.kinds import Methods

CARD = {
    "order": 46,
    "reads": ["ranks", "datasets", "methods"],
    "caption": """\
**Critical difference.** One panel per dataset and method; the losses, and the methods without one, by their average
rank in the primary score over test pairs without a common subject, the best first. Bars at the right join losses whose
ranks do not differ: Nemenyi's test after Friedman's (Demšar 2006), at 5 % (or the level of the study). Two losses
without a common bar differ. Hollow symbols: there are fewer than ten such pairs, or fewer than three losses, so that
there is no test; the ranks are those of the means over all test pairs. The test knows ranks only, not how large
differences are, which ``tables/comparisons.csv`` says.

*Stress test*: simulated from a template whose labels follow from intensity; it shows whether a loss works, not which is
better.
""",
}
COLUMNS = 2
GAP = 0.045
"""Distance between two bars, as a part of the width of a panel."""


@style.paper()
def draw(ranks: pd.DataFrame, datasets: Mapping[str, Mapping[str, Any]], methods: Methods) -> Figure:
    """Draw the average ranks, and bars that join losses that do not differ.

    Args:
        ranks: table of :func:`likeness.statistics.ranks.rank`.
        datasets: name → content of ``dataset.yaml``, in the order of the study.
        methods: methods of the study.
    """
    if not len(ranks):
        return style.nothing("The study has nothing to rank.")
    overall = ranks[ranks.group == "all"]
    shown, entries = style.panels(overall, datasets, methods), style.entries(overall, methods)
    figure, grid = _grid(len(shown), 0.19 * (len(entries) + 1) + 1.0)
    for panel, axes in zip(shown, grid, strict=True):
        rows = panel.rows(overall)
        _panel(axes, panel, rows[rows.among.isna() | rows.among.isin(panel.methods)], entries)
    return figure


def _grid(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """Create a figure with panels that each have labels of their own, for which three would be too narrow."""
    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(style.WIDTH * columns / COLUMNS, rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def _panel(axes: Axes, panel: Panel, rows: pd.DataFrame, entries: Sequence[Entry]) -> None:
    panel.head(axes)
    tested = bool(rows.average_rank.notna().any())
    column = "average_rank" if tested else "rank"
    found = [(entry.rows(rows).iloc[0], entry) for entry in entries if len(entry.rows(rows))]
    found.sort(key=lambda pair: (np.isnan(pair[0][column]), pair[0][column]))
    for y, (row, entry) in enumerate(found):
        if np.isnan(row[column]):
            style.write(axes, y, "diverged")
        else:
            face = entry.colour if tested else "white"
            edge: dict[str, Any] = {"markeredgecolor": entry.colour, "markeredgewidth": entry.edge if tested else 0.9}
            axes.plot(row[column], y, marker=entry.marker, markerfacecolor=face, **edge, linestyle="")
    if tested:
        _bars(axes, [str(row.alike).split() if isinstance(row.alike, str) else [] for row, _ in found])
    axes.set_yticks(range(len(found)), [entry.title for _, entry in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(0.4, len(found) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(fill(_said(rows, tested), 44))


def _bars(axes: Axes, alike: Sequence[Sequence[str]]) -> None:
    """Draw a bar at the right for every group of several losses; ``alike`` has the groups of every line."""
    names = sorted({name for groups in alike for name in groups}, key=lambda name: int(name[1:]))
    members = [[y for y, groups in enumerate(alike) if name in groups] for name in names]
    for place, lines in enumerate(lines for lines in members if len(lines) > 1):
        where: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "clip_on": False}
        x = 1 + GAP * (place + 0.6)
        ends = [lines[0] - 0.3, lines[-1] + 0.3]
        axes.plot([x, x], ends, color=style.INK, linewidth=2, solid_capstyle="butt", **where)


def _said(rows: pd.DataFrame, tested: bool) -> str:
    if tested:
        row = rows[rows.average_rank.notna()].iloc[0]
        pairs = f"Average rank over {row.n_independent:.0f} pairs without a common subject"
        return f"{pairs}; critical difference {row.critical_difference:.1f}"
    notes = {part for note in rows.note.dropna() for part in note.split("; ") if part.startswith("no critical")}
    return "; ".join(["Rank on all test pairs", *sorted(notes)])
