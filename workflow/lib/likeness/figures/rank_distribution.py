"""The rank of every loss in the primary score, and what it would be with other subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from likeness.figures import style
from likeness.figures.style import Entry
from likeness.methods.kinds import Methods

CARD = {
    "order": 45,
    "reads": ["ranks", "datasets", "methods"],
    "caption": """\
**Ranks, and how certain they are.** One column per dataset and method, one line per loss. Upper row: the rank among all
losses, and the methods without one, by the mean primary score of the test pairs; lower row: among the losses of the
same supervision. 1 is best. The symbol is the mean rank over 2000 samples of subjects, the line holds it in 95 % of
them (or at the confidence level of the study), and the tick is the rank on the test pairs themselves. At the right: the
share of samples in which no other is better, from 1 %. Where lines overlap widely other subjects may reverse the order.

Seeds are averaged: ranks of trained networks are about these trainings. Where pairs form chains or rings the lines are
too long rather than too short. *Diverged*: the loss has no score. *n/a*: the study leaves it out, or it does not apply
to the dataset. ``tables/ranks.csv`` has the numbers and notes.

*Stress test*: simulated from a template whose labels follow from intensity; it shows whether a loss works, not which is
better.
""",
}


@style.paper()
def draw(ranks: pd.DataFrame, datasets: Mapping[str, Mapping[str, Any]], methods: Methods) -> Figure:
    """Draw the ranks among all losses and, below, among those of the same supervision.

    Args:
        ranks: table of :func:`likeness.statistics.ranks.rank`.
        datasets: name → content of ``dataset.yaml``, in the order of the study.
        methods: methods of the study.
    """
    if not len(ranks):
        return style.nothing("The study has nothing to rank.")
    shown, lines = style.panels(ranks, datasets, methods), style.lines(style.entries(ranks, methods))
    figure, grid = style.pairs(len(shown), (2.6, style.line_height(lines)), extra=0.35)
    for panel, (upper, lower) in zip(shown, grid, strict=True):
        rows = panel.rows(ranks)
        rows = rows[rows.among.isna() | rows.among.isin(panel.methods)]
        panel.head(upper)
        _panel(upper, rows[rows.group == "all"], lines)
        _panel(lower, rows[rows.group != "all"], lines)
        upper.set_xlabel("Rank among all")
        lower.set_xlabel("Rank in its group")
    _legend(figure)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, lines: Sequence[style.Line]) -> None:
    for y, what in lines:
        if isinstance(what, Entry):
            _line(axes, y, what, what.rows(rows))
    last = rows["rank"].max()
    axes.set_xlim(0.4, (last if np.isfinite(last) else 1) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    style.separate(axes, lines)


def _line(axes: Axes, y: float, entry: Entry, found: pd.DataFrame) -> None:
    if not len(found) or np.isnan(found["rank"].iloc[0]):
        style.write(axes, y, "diverged" if len(found) else "n/a")
        return
    row = found.iloc[0]
    axes.plot(row["rank"], y, marker="|", markersize=8, color=style.INK, zorder=3)
    if np.isfinite(row.mean_rank):
        axes.plot([row.low, row.high], [y, y], color=entry.colour, linewidth=2.2, alpha=0.55, zorder=2)
        axes.plot(row.mean_rank, y, marker=entry.marker, color=entry.colour, markeredgewidth=entry.edge, zorder=4)
    if row["first"] >= 0.01:
        said = f"{100 * row['first']:.0f} %"
        place: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "fontsize": style.SMALL, "va": "center"}
        axes.annotate(said, (1, y), xytext=(2, 0), textcoords="offset points", **place)


def _legend(figure: Figure) -> None:
    grey: dict[str, Any] = {"color": style.MUTED}
    handles = [
        Line2D([], [], marker="o", linewidth=2.2, label="mean and limits over samples of subjects", **grey),
        Line2D([], [], marker="|", markersize=8, linestyle="", color=style.INK, label="on the test pairs"),
    ]
    columns = 2 if figure.get_figwidth() > 5 else 1
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.4, handlelength=1.8)
