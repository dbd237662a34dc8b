"""Cost of per-pair optimisation: score against evaluations of the objective, and against seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from likeness.figures import style
from likeness.figures.style import Entry
from likeness.methods.kinds import Methods
from likeness.results import KEYS
from likeness.statistics.selection import primary_unit

CARD = {
    "order": 35,
    "reads": ["traces", "runtime", "metrics", "datasets", "methods"],
    "caption": """\
**Cost of per-pair optimisation.** The mean primary score of validation pairs while they are optimised from the
identity, at the λ that is best for them; upper row: against evaluations of the objective; lower row: against seconds
per pair, which are evaluations times their average duration over all resolution levels on the machine that ran the
study. A pair that has converged keeps its score; the symbol marks the convergence of the last one. Coarse levels come
first; at the beginning of the next level, its first long steps can throw a pair back. Losses are compared after
convergence, never at equal effort.
""",
}


@style.paper()
def draw(
    traces: pd.DataFrame,
    runtime: pd.DataFrame,
    metrics: pd.DataFrame,
    datasets: Mapping[str, Mapping[str, Any]],
    methods: Methods,
) -> Figure:
    """Draw the mean score against evaluations and against seconds.

    Args:
        traces: rows of :class:`likeness.methods.audit.Audit` with the columns that identify a run.
        runtime: duration of every job.
        metrics: metrics table, for units.
        datasets: name → content of ``dataset.yaml``, in the order of the study.
        methods: methods of the study.
    """
    if not len(traces):
        return style.nothing("The study has no per-pair optimisation.")
    shown, entries = style.panels(traces, datasets, methods), style.entries(traces, methods)
    took = runtime[runtime.rule == "audit"].groupby(["dataset", "method", "loss", "variant"]).evaluation_ms.mean() / 1e3
    figure, grid = style.pairs(len(shown), (2.4, 2.1), extra=0.6)
    for panel, both in zip(shown, grid, strict=True):
        panel.head(both[0])
        metric, unit = primary_unit(metrics, panel.dataset)
        for axes, spent, scale in zip(both, ("Evaluations", "Seconds"), (None, took), strict=True):
            _lines(axes, panel.rows(traces), entries, scale)
            axes.set_xlabel(f"{spent} per pair")
            axes.set_ylabel(f"Validation {style.metric_label(metric, unit, short=True)}")
    style.legend(figure, entries)
    return figure


def _lines(axes: Axes, traces: pd.DataFrame, entries: list[Entry], took: pd.Series | None) -> None:
    """Draw a line per loss; against seconds if ``took``, the seconds per evaluation, is given."""
    for entry in entries:
        rows = entry.rows(traces)
        if not len(rows):
            continue
        line = mean_score(rows)
        if not len(line):
            continue
        scale = 1.0 if took is None else took[tuple(rows.iloc[0][["dataset", "method", "loss", "variant"]])]
        axes.plot(scale * line.index.to_numpy(), line.to_numpy(), color=entry.colour, linestyle=entry.linestyle)
        end: Any = {"marker": entry.marker, "color": entry.colour, "markeredgewidth": entry.edge, "zorder": 3}
        axes.plot(scale * line.index[-1], line.iloc[-1], **end)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def mean_score(traces: pd.DataFrame) -> pd.Series:
    """Return the mean score over pairs by number of evaluations; a pair that has ended keeps its last score.

    The series starts at the first number of evaluations at which every pair has a score.
    """
    columns = [*KEYS, "moving", "fixed"]
    table = traces.assign(seed=traces.seed.astype("Float64").fillna(-1))
    wide = table.pivot_table(index="evaluations", columns=columns, values="score", dropna=True)
    return wide.ffill().dropna().mean(axis=1).replace([np.inf, -np.inf], np.nan).dropna()
