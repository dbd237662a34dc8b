"""Selection of λ: validation score against the regularisation weight, per loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from likeness.figures import style
from likeness.figures.style import Entry, Panel
from likeness.methods.kinds import Methods
from likeness.statistics.aggregate import COMPARED
from likeness.statistics.selection import candidates, choose

CARD = {
    "order": 40,
    "reads": ["metrics", "datasets", "methods"],
    "caption": """\
**Selection of λ.** The primary score of the validation pairs (EPE: end-point error in the dataset's unit, otherwise
Dice) against the regularisation weight λ, on a logarithmic axis; the mean over seeds. On the balanced scale λ is given
relative to the λ at which dissimilarity and regulariser have equal gradient norms, so that all losses share one scale;
on the scale of roughness it is given by the roughness of the fields, as the standard deviation of log J. A method with
another weight in place of λ has separate panels: SyN smooths the total field after every step. The circle marks the λ
chosen for test: the best score among those whose mean non-diffeomorphic volume (area in 2D) is at most 0.1 %. Hollow
symbols fold more than that for at least one seed; if every λ does, the one that folds least is chosen, as stated in
``results/tables/selection.csv``. Crosses at the lower edge are trainings that diverged. If the smoothest or the
roughest λ was chosen, the column ``end`` in that table says so, and a wider grid may score better.

*Stress test*: simulated from a template whose labels follow from intensity; it shows whether a loss works, not which
is better.
""",
}

POINT = [*COMPARED, "lam"]
AXES = {
    "balanced": "λ as a multiple of λ₀",
    "raw": "λ",
    "roughness": "std(log J) on validation   (rougher →)",
    "smoothing": "Smoothing, variance (voxels²)",
}
"""Axis label by scale of λ."""


@style.paper()
def draw(metrics: pd.DataFrame, datasets: Mapping[str, Mapping[str, Any]], methods: Methods) -> Figure:
    """Draw the mean validation score of every λ, ring the chosen one and show hollow those that fold too much.

    Args:
        metrics: metrics table.
        datasets: name → content of ``dataset.yaml``, in the order of the study.
        methods: methods of the study; those without λ are omitted.
    """
    scored = candidates(metrics, methods)
    if not len(scored):
        return style.nothing("The study has no method with a regularisation weight.")
    chosen = choose(scored, methods).assign(chosen=True)[[*POINT, "seed", "chosen"]]
    scored = scored.merge(chosen, how="left", on=[*POINT, "seed"])
    scored["chosen"] = scored.chosen.notna() & scored.score.notna()
    columns = {"score": "mean", "metric": "first", "feasible": "all", "chosen": "any"}
    points = scored.groupby(POINT, as_index=False, dropna=False).agg(columns)
    units = metrics[metrics.metric.isin(points.metric)].drop_duplicates(["dataset", "metric"])
    points = points.merge(units[["dataset", "metric", "unit"]], on=["dataset", "metric"])
    shown, entries = _panels(points, datasets, methods), style.entries(points, methods)
    figure, grid = style.grid(len(shown), (3.2, 2.5), extra=0.6)
    for panel, axes in zip(shown, grid, strict=True):
        scale = next(methods[name].scale for name in sorted(panel.methods) if methods[name].has_lam)
        _panel(axes, panel, panel.rows(points), entries, scale or "raw")
    style.legend(figure, entries, *_keys(points))
    return figure


def _panels(points: pd.DataFrame, datasets: Mapping[str, Mapping[str, Any]], methods: Methods) -> list[Panel]:
    """List a panel per dataset and method; methods without a loss have separate ones, as their λ differs in meaning."""
    alone = [name for name, method in methods.items() if not method.uses_loss and method.has_lam]
    led = {name: method for name, method in methods.items() if name not in alone}
    found = style.panels(points[points.method.isin(led)], datasets, led)
    several = len({*points.method}) > 1
    for name in alone:
        panels = style.panels(points[points.method == name], datasets, {name: methods[name]})
        found += [replace(panel, method=methods[name].title if several else "") for panel in panels]
    return found


def _keys(points: pd.DataFrame) -> list[Line2D]:
    hollow: dict[str, Any] = {
        "linestyle": "",
        "markerfacecolor": "white",
        "markeredgecolor": style.INK,
        "markeredgewidth": 0.9,
    }
    keys = [Line2D([], [], marker="o", markersize=6.5, label="chosen", **style.RING)]
    if (~points.feasible & points.score.notna()).any():
        keys.append(Line2D([], [], marker="o", markersize=4, label="folds too much", **hollow))
    if points.score.isna().any():
        keys.append(Line2D([], [], marker="x", markersize=4, linestyle="", color=style.INK, label="diverged"))
    return keys


def _panel(axes: Axes, panel: Panel, points: pd.DataFrame, entries: list[Entry], scale: str) -> None:
    panel.head(axes)
    grid = np.unique(points.lam)
    if grid[0] > 0 or len(grid) == 1:
        axes.set_xscale("log" if grid[0] > 0 else "linear")
    else:
        # a smoothing can be 0
        axes.set_xscale("symlog", linthresh=grid[1], linscale=0.5)
    diverged = []
    for entry in entries:
        line = entry.rows(points).sort_values("lam")
        diverged += [(lam, entry.colour) for lam in line.lam[line.score.isna()]]
        _line(axes, entry, line.dropna(subset="score"))
    _diverged(axes, diverged)
    if len(grid) <= 12:
        axes.set_xticks(grid, [f"{lam:g}" for lam in grid])
        axes.set_xticks([], minor=True)
    axes.set_xlabel(AXES[scale])
    metric, unit = points.iloc[0][["metric", "unit"]]
    axes.set_ylabel(f"Validation {style.metric_label(metric, unit, short=True)}")


def _line(axes: Axes, entry: Entry, line: pd.DataFrame) -> None:
    shape: dict[str, Any] = {"color": entry.colour, "marker": entry.marker}
    axes.plot(line.lam, line.score, color=entry.colour, linestyle=entry.linestyle)
    good, bad, best = line[line.feasible], line[~line.feasible], line[line.chosen]
    axes.plot(good.lam, good.score, **shape, linestyle="", markeredgewidth=entry.edge, zorder=3)
    axes.plot(bad.lam, bad.score, **shape, linestyle="", markerfacecolor="white", markeredgewidth=0.9, zorder=3)
    axes.plot(best.lam, best.score, marker="o", markersize=7.5, zorder=4, **style.RING)


def _diverged(axes: Axes, where: list[tuple[float, str]]) -> None:
    """Draw a cross for every diverged training at the lower edge of the panel, stacked where they coincide."""
    if where:
        axes.margins(y=0.12)
    height: dict[float, int] = {}
    for lam, colour in where:
        place = 0.03 + 0.045 * height.get(lam, 0)
        height[lam] = height.get(lam, 0) + 1
        axes.plot(lam, place, marker="x", color=colour, transform=axes.get_xaxis_transform(), clip_on=False, zorder=5)
