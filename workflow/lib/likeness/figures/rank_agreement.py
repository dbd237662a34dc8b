"""Whether rankings of the losses agree: Kendall's τ between datasets, metrics, methods, seeds, limits of roughness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from likeness import metrics as cards
from likeness.figures import style
from likeness.methods.kinds import Methods
from likeness.statistics.agreement import ALL

CARD = {
    "order": 47,
    "reads": ["agreement", "methods"],
    "caption": """\
**Do rankings agree?** Kendall's τ between two rankings of the losses by the mean over test pairs, of the primary score
unless metrics are compared: 1 is the same order, 0 (dashed) no relation, -1 the reverse order. Lines are limits over
samples of subjects, at 95 % (or the confidence level of the study); there are none where only means are known. Which
loss is best on one dataset says little about another where τ of the datasets is near 0. Rankings of two seeds show how
much of that is due to training; all pairs of seeds of a dataset share a line. *Limits*: highest roughness at which
methods are compared in ``tables/matched.csv``; *measures*: two measures of roughness there, a point for every limit.
""",
}
SIDES = (("datasets", "methods", "seeds", "measures"), ("metrics", "limits"))
"""What is compared in the left and in the right panel, which share the height of the figure."""
LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#E69F00", "P"))
"""Colours and markers of methods, which colour-blind people can tell apart (Wong, Nature Methods 2011)."""
Line = tuple[str, pd.DataFrame | None]
"""Label of a line and its rows; none of a heading."""


@style.paper()
def draw(agreement: pd.DataFrame, methods: Methods) -> Figure:
    """Draw τ of every two rankings, a line for every two things that are compared.

    Args:
        agreement: table of :func:`likeness.statistics.agreement.agree`.
        methods: methods of the study.
    """
    known = agreement[agreement.tau.notna() & (agreement.group == ALL)]
    if not len(known):
        return style.nothing("The study has no rankings to compare.")
    sides = [lines for side in SIDES if (lines := _lines(known, side, methods))]
    height = 0.19 * (max(map(len, sides)) + 1) + 0.85
    figure = Figure(figsize=(style.WIDTH * len(sides) / 2, height), layout="constrained")
    ranked = [name for name in methods if name in set(known.method.dropna())]
    looks = {name: LOOKS[place % len(LOOKS)] for place, name in enumerate(ranked)}
    for axes, lines in zip(figure.subplots(1, len(sides), squeeze=False)[0], sides, strict=True):
        _panel(axes, lines, looks)
    if len(ranked) > 1:
        handles = [
            Line2D([], [], color=colour, marker=marker, label=methods[name].title)
            for name, (colour, marker) in looks.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _lines(known: pd.DataFrame, side: Sequence[str], methods: Methods) -> list[Line]:
    """List the lines of a panel, with a heading above each kind of comparison."""
    found: list[Line] = []
    for between in side:
        rows = known[known.between == between]
        if not len(rows):
            continue
        found.append((f"between {between}", None))
        keys = ["dataset"] if between == "seeds" else ["dataset", "a", "b"]
        found += [(_label(part, methods), part) for _, part in rows.groupby(keys, sort=False, dropna=False)]
    return found


def _label(rows: pd.DataFrame, methods: Methods) -> str:
    row = rows.iloc[0]
    if row["between"] == "seeds":
        return str(row.dataset)
    named = {"methods": lambda name: methods[name].title, **dict.fromkeys(("metrics", "measures"), _short)}
    both = " – ".join(named.get(row["between"], str)(name) for name in (row.a, row.b))
    return both if row["between"] == "datasets" else f"{row.dataset}: {both}"


def _short(metric: str) -> str:
    return str(cards.card(metric)["short"])


def _panel(axes: Axes, lines: Sequence[Line], looks: dict[str, tuple[str, str]]) -> None:
    axes.axvline(0, color=style.MUTED, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    for y, (_, rows) in enumerate(lines):
        places = np.linspace(-0.28, 0.28, len(rows)) if rows is not None and len(rows) > 1 else [0.0]
        for shift, row in zip(places, [] if rows is None else rows.to_dict("records"), strict=False):
            colour, marker = looks.get(str(row["method"]), (style.INK, "o"))
            low, high, tau = row["low"], row["high"], row["tau"]
            axes.plot([low, high], [y + shift] * 2, color=colour, linewidth=0.9, alpha=0.7, zorder=2)
            axes.plot(tau, y + shift, color=colour, marker=marker, markersize=3.4, zorder=3)
    axes.set_xlim(-1.05, 1.05)
    axes.set_ylim(len(lines) - 0.5, -0.7)
    axes.set_yticks(range(len(lines)), [label for label, _ in lines])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    for label, (_, rows) in zip(axes.get_yticklabels(), lines, strict=True):
        if rows is None:
            heading: dict[str, Any] = {"style": "italic", "color": style.MUTED}
            label.set(**heading)
    axes.set_xlabel("Kendall's τ")
