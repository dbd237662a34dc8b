"""Box plots of the test scores: one column per dataset, one line per loss, grouped by supervision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from likeness.figures import style
from likeness.figures.style import Entry, Panel
from likeness.methods.kinds import UNREGISTERED, Methods
from likeness.metrics import ranked
from likeness.statistics.aggregate import observations, overall
from likeness.statistics.selection import ENDS, primary_metric

CARD = {
    "order": 10,
    "reads": ["metrics", "summary", "runs", "selection", "verdicts", "datasets", "methods"],
    "caption": """\
**Test scores.** One column per dataset, one line per loss, grouped by the supervision that the loss needs. Upper row:
the primary score, the end-point error against the true field if it is known, otherwise Dice; lower row: a second
score. ↓ lower is better, ↑ higher is better.

Boxes show the interquartile range and the median over test pairs, whiskers extend to the last pair within 1.5 times
the box, dots are single pairs; with fewer than six pairs every pair is a dot. A pair and its reverse count as one,
seeds are averaged first, and metrics per label are averaged over labels. The symbol is the mean, its bar the
confidence interval for other subjects, at the confidence level of the study (95 % by default; from three seeds on it
is for other trainings too). Grey: the same pairs unregistered, interquartile range (band) and mean (dashed).
λ was chosen on validation pairs only.

*Stress test*: simulated from a template whose labels follow from intensity; it shows whether a loss works, not which
is better. *†*: the extractor of the loss was still learning when its training ended, or had learnt less than half of
its task, compared with a predictor that ignores the image. *‡*: the smoothest λ was chosen; a smoother one might score
better. *§*: not converged: a training ended too early, the search for some pair reached its limit, or a second round
changed the scores of validation pairs. *¶*: there are fields for some of the test pairs only, which the line shows.
*n/a*: the study leaves it out, or the loss does not apply to the dataset; ``make check`` says which. *not attained*: no
λ yields fields as rough as any level requires. *not chosen*: no λ is chosen without validation pairs;
``smoothness_vs_dice`` shows all of them. *diverged*: no run of the loss produced fields. *+n ∞*: n pairs lie outside,
because a structure vanished and its surface distance is infinite.
""",
}

FEW = 6
"""Number of observations below which single points are shown instead of a box."""


@style.paper()
def draw(
    metrics: pd.DataFrame,
    summary: pd.DataFrame,
    runs: pd.DataFrame,
    selection: pd.DataFrame,
    verdicts: pd.DataFrame,
    datasets: Mapping[str, Mapping[str, Any]],
    methods: Methods,
) -> Figure:
    """Draw the primary score of every dataset and, below it, a second one.

    Args:
        metrics: metrics table, with ``chosen`` filled.
        summary: table of :func:`likeness.statistics.summary.summarise`, for means and intervals.
        runs: outcomes of searches, for extractors that were still learning, and levels that were not attained.
        selection: chosen λ, see :func:`likeness.statistics.selection.choose`.
        verdicts: table of :func:`likeness.statistics.verdicts.summarise`.
        datasets: name → content of ``dataset.yaml``, in the order of the study.
        methods: methods of the study.
    """
    final = metrics[(metrics.split == "test") & metrics.chosen]
    shown, lines = style.panels(final, datasets, methods), style.lines(style.entries(metrics, methods))
    scores = observations(overall(final))
    overalls = summary[summary.label.isin({"mean", "all"})]
    figure, grid = style.pairs(len(shown), (2.6, style.line_height(lines)), extra=0.35)
    for panel, (upper, lower) in zip(shown, grid, strict=True):
        panel.head(upper, _size(panel.rows(scores)))
        for axes, metric in zip((upper, lower), _metrics_of(panel.rows(scores), panel.dataset), strict=True):
            _panel(axes, panel, metric, scores, overalls, lines, panel.rows(runs))
            for y, what in lines:
                if isinstance(what, Entry):
                    tables = (runs, selection, verdicts, overalls)
                    said = _marks(*(what.rows(panel.rows(table)) for table in tables))
                    axes.annotate(said, (1, y), xycoords=axes.get_yaxis_transform(), fontsize=style.SMALL, va="center")
    _legend(figure)
    return figure


def _marks(runs: pd.DataFrame, selection: pd.DataFrame, verdicts: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Return the marks that apply to one loss on one dataset."""
    at_chosen = runs[runs.lam.isin(selection.lam)]
    earned = {
        "†": (runs.extractor_learning.eq(True) | runs.extractor_weak.eq(True)).any(),
        "‡": selection.end.eq(ENDS[0]).any(),
        "§": verdicts.settled.eq(False).any() or (at_chosen.converged < 1).any(),
        "¶": summary.n_missing.gt(0).any(),
    }
    return "".join(mark for mark, found in earned.items() if found)


def _metrics_of(rows: pd.DataFrame, dataset: str) -> tuple[str, str]:
    """Return the primary score and the next-ranked other score that the dataset has."""
    primary = primary_metric(rows, dataset)
    known = set(rows.metric) - {primary}
    return primary, next(metric for metric in ranked() if metric in known)


def _size(rows: pd.DataFrame) -> str:
    observed = rows[rows.value.notna()]
    subjects = len(set(observed["first"]) | set(observed["second"]))
    return f"{observed.observation.nunique()} pairs, {subjects} subjects"


def _panel(
    axes: Axes,
    panel: Panel,
    metric: str,
    scores: pd.DataFrame,
    summary: pd.DataFrame,
    lines: Sequence[style.Line],
    runs: pd.DataFrame,
) -> None:
    rows = panel.rows(scores)
    rows = rows[rows.metric == metric]
    means = panel.rows(summary)
    means = means[means.metric == metric]
    _unregistered(axes, rows.value[rows.method == UNREGISTERED].to_numpy())
    for y, what in lines:
        if isinstance(what, Entry):
            ended = what.rows(runs)
            absent = "not chosen" if len(ended) else "n/a"
            absent = "not attained" if len(ended) and not ended.attained.any() else absent
            _line(axes, y, what, what.rows(rows).value.to_numpy(), what.rows(means), absent)
    style.separate(axes, lines)
    unit = rows.unit.iloc[0] if len(rows) else "1"
    axes.set_xlabel(style.metric_label(metric, unit))


def _unregistered(axes: Axes, values: np.ndarray) -> None:
    values = values[np.isfinite(values)]
    if len(values):
        low, high = np.quantile(values, [0.25, 0.75])
        axes.axvspan(low, high, color="#efefef", zorder=0, linewidth=0)
        axes.axvline(values.mean(), color=style.MUTED, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)


def _line(axes: Axes, y: float, entry: Entry, values: np.ndarray, mean: pd.DataFrame, absent: str) -> None:
    finite = values[np.isfinite(values)]
    if not len(finite):
        style.write(axes, y, "diverged" if len(values) else absent)
        return
    if len(finite) < FEW:
        axes.scatter(finite, np.full(len(finite), y - 0.27), s=9, color=entry.colour, linewidth=0, zorder=2)
    else:
        _box(axes, y, entry, finite)
    row = mean.iloc[0]
    if np.isfinite([row.ci_low, row.ci_high]).all():
        axes.plot([row.ci_low, row.ci_high], [y, y], color=style.INK, linewidth=1.1, solid_capstyle="butt", zorder=4)
    if np.isfinite(row["mean"]):
        axes.plot(
            row["mean"],
            y,
            marker=entry.marker,
            color="white",
            markeredgecolor=style.INK,
            markeredgewidth=0.7,
            markersize=4.6,
            zorder=5,
        )
    infinite = int(np.isinf(values).sum())
    if infinite:
        axes.text(1.0, y, f"+{infinite} ∞", transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=7)


def _box(axes: Axes, y: float, entry: Entry, values: np.ndarray) -> None:
    edge = {"color": entry.colour, "linewidth": 0.9}
    fill = {
        "facecolor": to_rgba(entry.colour, 0.35),
        "edgecolor": entry.colour,
        "linewidth": 0.9,
        "linestyle": entry.linestyle,
    }
    flier = {"marker": ".", "markersize": 3.5, "markerfacecolor": entry.colour, "markeredgewidth": 0}
    sns.boxplot(
        x=values,
        y=np.full(len(values), y),
        orient="y",
        native_scale=True,
        width=0.62,
        ax=axes,
        boxprops=fill,
        whiskerprops=edge,
        capprops=edge,
        flierprops=flier,
        medianprops={"color": entry.colour, "linewidth": 1.6},
        zorder=2,
    )


def _legend(figure: Figure) -> None:
    handles = [
        Patch(facecolor="#bdbdbd", edgecolor=style.MUTED, linewidth=0.8, label="median, interquartile range"),
        Line2D(
            [],
            [],
            color=style.INK,
            marker="o",
            markerfacecolor="white",
            markeredgewidth=0.7,
            linewidth=1.1,
            label="mean, confidence interval",
        ),
        Patch(facecolor="#efefef", label="unregistered, interquartile range"),
        Line2D([], [], color=style.MUTED, linewidth=0.9, linestyle=(0, (4, 2)), label="unregistered, mean"),
    ]
    columns = 4 if figure.get_figwidth() > 7 else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.4, handlelength=1.8)
