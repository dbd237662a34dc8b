"""Trade-off between overlap and smoothness: Dice against the roughness of the deformation, a line over λ per loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from likeness.figures import style
from likeness.figures.style import Entry, Panel
from likeness.methods.kinds import UNREGISTERED, Methods
from likeness.statistics.aggregate import COMPARED, observations, overall, pivoted
from likeness.statistics.selection import primary_metric

CARD = {
    "order": 20,
    "reads": ["metrics", "datasets", "methods"],
    "caption": """\
**Trade-off between overlap and smoothness.** Mean Dice of the test pairs (the primary score if a dataset has no
labels) against the mean standard deviation of log J, the logarithm of the Jacobian determinant, where 0 means that no
volume changes. A line runs through all regularisation weights λ of one loss, averaged over seeds; the circle marks
the λ chosen on validation, or all chosen λ if seeds differ. Of two losses, the one whose line is higher at equal
roughness gains more overlap from the same amount of deformation. Dashed: the pairs unregistered. A diverged training
has no point.

*Stress test*: simulated from a template whose labels follow from intensity; it shows whether a loss works, not which
is better.
""",
}


@style.paper()
def draw(metrics: pd.DataFrame, datasets: Mapping[str, Mapping[str, Any]], methods: Methods) -> Figure:
    """Draw mean test Dice over mean std(log J), one line per loss through all λ of its grid.

    For a dataset without labels, draw its primary score instead.

    Args:
        metrics: metrics table, with ``chosen`` filled.
        datasets: name → content of ``dataset.yaml``, in the order of the study.
        methods: methods of the study.
    """
    test = metrics[metrics.split == "test"]
    shown, entries = style.panels(test, datasets, methods), style.entries(test, methods)
    points = _points(test)
    units = test.drop_duplicates(["dataset", "metric"]).set_index(["dataset", "metric"]).unit
    figure, grid = style.grid(len(shown), (3.2, 2.5), extra=0.6)
    for panel, axes in zip(shown, grid, strict=True):
        metric = "dice" if "dice" in set(panel.rows(test).metric) else primary_metric(test, panel.dataset)
        _panel(axes, panel, metric, units[panel.dataset, metric], points, entries)
    chosen = Line2D([], [], marker="o", markersize=6.5, label="λ chosen on validation", **style.RING)
    unregistered = Line2D([], [], color=style.MUTED, linewidth=0.9, linestyle=(0, (4, 2)), label="unregistered")
    picked = (points.chosen & points.lam.notna()).any()
    style.legend(figure, entries, *([chosen] if picked else []), unregistered)
    return figure


def _points(test: pd.DataFrame) -> pd.DataFrame:
    """Average every metric over pairs and seeds for every λ; ``chosen`` if any seed chose this λ."""
    keys = [*COMPARED, "lam"]
    merged = observations(overall(test), extra=("lam",))
    means = merged.groupby([*keys, "metric"], dropna=False)["value"].mean().reset_index()
    chosen = test.groupby(keys, dropna=False)["chosen"].any().reset_index()
    return pivoted(means, keys, "metric").merge(chosen, on=keys)


def _panel(axes: Axes, panel: Panel, metric: str, unit: str, points: pd.DataFrame, entries: list[Entry]) -> None:
    panel.head(axes)
    rows = panel.rows(points)
    unregistered = rows.loc[rows.method == UNREGISTERED, metric]
    if len(unregistered):
        axes.axhline(unregistered.iloc[0], color=style.MUTED, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    for entry in entries:
        line = entry.rows(rows).sort_values("lam").dropna(subset=["sdlogj", metric])
        axes.plot(
            line.sdlogj,
            line[metric],
            color=entry.colour,
            linestyle=entry.linestyle,
            marker=entry.marker,
            markersize=3.6,
            markeredgewidth=entry.edge,
            alpha=0.9,
        )
        best = line[line.chosen]
        axes.plot(
            best.sdlogj,
            best[metric],
            color=entry.colour,
            marker=entry.marker,
            markersize=5.5,
            linestyle="",
            markeredgewidth=entry.edge,
            zorder=3,
        )
        picked = best[best.lam.notna()]
        axes.plot(picked.sdlogj, picked[metric], marker="o", markersize=7.5, zorder=4, **style.RING)
    # room for the rings, which the default margin does not provide for points close together far from 0
    roughest = rows.sdlogj.max()
    axes.set_xlim(0, 1.05 * roughest if roughest > 0 else None)
    axes.set_xlabel("std(log J)   (rougher →)")
    axes.set_ylabel(style.metric_label(metric, unit))
