"""Learning curves: validation score against training step, per loss, at the chosen λ."""

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
from likeness.results import KEYS
from likeness.statistics.selection import primary_metric

CARD = {
    "order": 30,
    "reads": ["curves", "metrics", "datasets", "methods"],
    "caption": """\
**Learning curves.** The primary score of the validation pairs (EPE: end-point error in the dataset's unit, otherwise
Dice) during training, at the λ chosen for each loss: the mean over seeds and, if there are several, their range as a
band. A black cross ends the curve of a training that diverged. Grey, dashed: all validation pairs unregistered; the
curves show at most twelve of them. A curve that still changes at its end indicates a budget too small for claims.

*Stress test*: simulated from a template whose labels follow from intensity; it shows whether a loss works, not which
is better.
""",
}

UNTRAINED = (0, (4, 2))
CROWDED = 8
"""Number of validations above which markers are drawn on some of them only."""


@style.paper()
def draw(
    curves: pd.DataFrame, metrics: pd.DataFrame, datasets: Mapping[str, Mapping[str, Any]], methods: Methods
) -> Figure:
    """Draw the mean validation score over seeds, with their range as a band.

    Args:
        curves: all learning curves: dataset, method, loss, variant, seed, lam, step, quantity, value.
        metrics: metrics table, with ``chosen`` filled.
        datasets: name → content of ``dataset.yaml``, in the order of the study.
        methods: methods of the study; only trained ones have curves.
    """
    scores = _chosen(curves[curves.quantity == "val_score"], metrics)
    if not len(scores):
        return style.nothing("The study has no trained method.")
    shown, entries = style.panels(scores, datasets, methods), style.entries(scores, methods)
    figure, grid = style.grid(len(shown), (3.2, 2.4), extra=0.6)
    for panel, axes in zip(shown, grid, strict=True):
        panel.head(axes)
        rows = panel.rows(scores)
        for entry in entries:
            _line(axes, entry, entry.rows(rows))
        _label(axes, panel, metrics)
    keys = [Line2D([], [], color=style.MUTED, linewidth=0.9, linestyle=UNTRAINED, label="unregistered")]
    if scores.value.isna().any():
        keys.append(Line2D([], [], marker="x", linestyle="", color=style.INK, label="diverged"))
    style.legend(figure, entries, *keys)
    return figure


def _chosen(curves: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Select the curves at the chosen λ; λ are compared as text, because a file may have rounded them."""
    keys = [*KEYS, "written"]
    chosen = metrics.loc[metrics.chosen, [*KEYS, "lam"]].drop_duplicates()
    chosen = chosen.assign(written=chosen.lam.map("{:.6g}".format))[keys]
    return curves.assign(written=curves.lam.map("{:.6g}".format)).merge(chosen, on=keys)


def _line(axes: Axes, entry: Entry, rows: pd.DataFrame) -> None:
    if not len(rows):
        return
    steps = rows.groupby("step")["value"].agg(["mean", "min", "max"]).sort_index()
    finite = steps.dropna()
    axes.plot(
        finite.index,
        finite["mean"],
        color=entry.colour,
        linestyle=entry.linestyle,
        marker=entry.marker,
        markeredgewidth=entry.edge,
        # fractions of the axes where markers would be crowded; not for a single point, whose line has no length
        markevery=(0.05, 0.18) if len(finite) > CROWDED else 1,
        markersize=4,
    )
    if len(set(rows.seed)) > 1:
        axes.fill_between(finite.index, finite["min"], finite["max"], color=entry.colour, alpha=0.18, linewidth=0)
    if len(finite) < len(steps) and len(finite):
        axes.plot(finite.index[-1], finite["mean"].iloc[-1], marker="x", markersize=6, color=style.INK, zorder=5)


def _label(axes: Axes, panel: Panel, metrics: pd.DataFrame) -> None:
    rows = panel.rows(metrics)
    metric = primary_metric(rows, panel.dataset)
    units = rows.unit[rows.metric == metric]
    before = rows[(rows.split == "val") & (rows.method == UNREGISTERED) & (rows.metric == metric)]
    if before.value.notna().any():
        # averaged over labels first, as in the curves
        level = before.groupby(["moving", "fixed"])["value"].mean().mean()
        axes.axhline(level, color=style.MUTED, linewidth=0.9, linestyle=UNTRAINED, zorder=1)
    axes.set_xlabel("Training step")
    axes.set_ylabel(f"Validation {style.metric_label(metric, units.iloc[0] if len(units) else '1', short=True)}")
