"""On how many pairs every loss beats every other in the primary score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from likeness.figures import style
from likeness.methods.kinds import Methods
from likeness.statistics.aggregate import name_of
from likeness.statistics.ranks import ALL

CARD = {
    "order": 46,
    "reads": ["comparisons", "ranks", "datasets", "methods"],
    "caption": """\
**Who beats whom, and how often.** One panel per dataset and method. A cell tells on which share of the test pairs the
loss of its row has a better primary score than that of its column: dark blue on all, white on half, dark orange on
none. A dot marks a difference of the means whose interval, which holds for all differences of the panel at once, does
not contain 0. The best by mean score is at the top; columns have the numbers of the rows. A loss that wins on most
pairs without a dot wins by little, or is not known well enough; a row of one colour beats the others on all kinds of
pairs.

Mirrored pairs count once. Oracles and the unregistered pairs are left out. ``tables/comparisons.csv`` has the numbers
(``wins``), of all metrics.
""",
}
COLOURS = LinearSegmentedColormap.from_list("wins", ["#b35806", "#f1a340", "#f7f7f7", "#67a9cf", "#2166ac"])
"""From losing to winning; colour-blind people can tell its ends apart (ColorBrewer)."""
CELL = 0.135
"""Width and height of a cell in inches."""
NAMES = 1.55
"""Space for names beside a panel in inches."""


@style.paper()
def draw(
    comparisons: pd.DataFrame, ranks: pd.DataFrame, datasets: Mapping[str, Mapping[str, Any]], methods: Methods
) -> Figure:
    """Draw a matrix of all losses for every dataset and method.

    Args:
        comparisons: table of :func:`likeness.statistics.comparisons.compare`.
        ranks: table of :func:`likeness.statistics.ranks.rank`.
        datasets: name → content of ``dataset.yaml``, in the order of the study.
        methods: methods of the study.
    """
    ranked = ranks[(ranks.group == ALL) & ranks["rank"].notna()] if len(ranks) else ranks
    shown = [
        (panel, lead, rows)
        for panel in style.panels(ranked, datasets, methods)
        for lead, rows in panel.rows(ranked).groupby("among", dropna=False)
        if len(rows) > 1 and (pd.isna(lead) or lead in panel.methods)
    ]
    if not shown:
        return style.nothing("The study has no two losses to compare.")
    largest = max(len(rows) for *_, rows in shown)
    side = CELL * largest
    columns = min(len(shown), max(1, int(style.WIDTH / (side + NAMES))))
    figure, grid = style.grid(len(shown), (side + NAMES, side + 0.75), extra=0.6, columns=columns)
    mesh = None
    for axes, (panel, lead, rows) in zip(grid, shown, strict=True):
        titles = _titles(rows.sort_values("rank", kind="stable"), methods)
        found = comparisons[(comparisons.dataset == panel.dataset) & (comparisons.metric == rows.metric.iloc[0])]
        found = found[found.method.isna() if pd.isna(lead) else found.method == lead]
        mesh = _matrix(axes, found, titles)
        panel.head(axes, style.metric_label(str(rows.metric.iloc[0]), short=True))
    assert mesh is not None
    bar = figure.colorbar(mesh, ax=grid, location="bottom", fraction=0.02, aspect=40, pad=0.02, ticks=[0, 0.5, 1])
    bar.set_label("Share of pairs on which the row is better than the column")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def _titles(rows: pd.DataFrame, methods: Methods) -> dict[str, str]:
    """Return the display names of what is ranked, by its name in comparisons."""
    entries = style.entries(rows, methods)
    found = {}
    for place, row in enumerate(rows.itertuples()):
        name = name_of(methods[str(row.method)], str(row.loss), row.variant)
        found[name] = next(entry.title for entry in entries if len(entry.rows(rows.iloc[[place]])))
    return found


def _matrix(axes: Axes, comparisons: pd.DataFrame, titles: Mapping[str, str]) -> QuadMesh:
    names = list(titles)
    wins = np.full((len(names),) * 2, np.nan)
    for row in comparisons[comparisons.a.isin(names) & comparisons.b.isin(names)].to_dict("records"):
        i, j = names.index(row["a"]), names.index(row["b"])
        wins[i, j], wins[j, i] = row["wins"], 1 - row["wins"]
        if row["all_low"] > 0 or row["all_high"] < 0:
            for x, y in ((i, j), (j, i)):
                dark = abs(wins[y, x] - 0.5) > 0.3
                axes.plot(x, y, marker="o", markersize=1.6, color="white" if dark else style.INK)
    edges = np.arange(len(names) + 1) - 0.5
    looks: dict[str, Any] = {"cmap": COLOURS, "vmin": 0, "vmax": 1, "edgecolors": "white", "linewidth": 0.4}
    mesh = axes.pcolormesh(edges, edges, np.ma.masked_invalid(wins), **looks)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    places = range(len(names))
    axes.set_yticks(places, [f"{title}   {place + 1}" for place, title in enumerate(titles.values())])
    axes.set_xticks(places, [str(place + 1) for place in places])
    return mesh
