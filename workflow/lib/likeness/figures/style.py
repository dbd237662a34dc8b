"""Common style of all figures: colour, marker and rank of losses, type sizes, panels, legend, saving.

Figures are at most :data:`WIDTH` inches wide, the text width of a page, so that type sizes are those in print.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text

from likeness import metrics
from likeness.figures.looks import look as look_of
from likeness.methods.kinds import UNREGISTERED, Methods, is_oracle
from likeness.runtime.atomic import atomic_write

WIDTH = 7.2
INK = "#262626"
MUTED = "#6b6b6b"
FAINT = "#d9d9d9"
SMALL = 7.0
NORMAL = 8.0

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": NORMAL,
    "axes.titlesize": NORMAL,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": NORMAL,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    # an offset would overlap the heading of the panel
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "grid.color": "#ebebeb",
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.0,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "pdf.fonttype": 42,
    "svg.hashsalt": "likeness",
}

RING: dict[str, Any] = {
    "linestyle": "",
    "markerfacecolor": "none",
    "markeredgecolor": INK,
    "markeredgewidth": 0.7,
}
"""Style of the ring around the chosen λ."""

SUPERVISION = {
    "none": "no supervision",
    "external": "external pretraining",
    "in-domain": "in-domain, unlabelled",
    "labels": "labels",
}
"""Display names of the kinds of supervision."""

LINESTYLES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (8, 2)))


@contextmanager
def paper() -> Iterator[None]:
    """Use the style of all figures, regardless of the user's Matplotlib configuration."""
    settings: Any = {**mpl.rcParamsDefault, **RC}
    with mpl.rc_context(settings):
        yield


ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
"""Arrow after the name of a metric, by the direction that is better."""


def metric_label(name: str, unit: str = "1", short: bool = False) -> str:
    """Format the name of a metric with its unit and an arrow in the direction that is better."""
    card = metrics.card(name)
    title = card["short" if short else "title"]
    measured = title if unit in {"1", ""} else f"{title} ({unit.replace('um', 'µm')})"
    return measured + ARROWS[card["better"]]


@dataclass(frozen=True)
class Entry:
    """One loss, or one method without a loss, in one variant, as it appears in every figure.

    Variants share the colour and differ in line style.

    Attributes:
        column: column of tables that contains the name, ``loss`` or ``method``.
        name: name of the loss or method.
        variant: name of the variant.
        title: display name.
        colour: hex colour.
        marker: Matplotlib marker.
        linestyle: Matplotlib line style.
        group: group in figures: kind of supervision of losses, or other methods.
    """

    column: str
    name: str
    variant: str | None
    title: str
    colour: str
    marker: str
    linestyle: Any
    group: str

    @property
    def edge(self) -> float:
        """Edge width of the marker: 0 for filled markers; unfilled ones consist of their edge only."""
        return 0.0 if self.marker in Line2D.filled_markers else 0.9

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a table that belong to this entry."""
        variant = table.variant.isna() if self.variant is None else table.variant == self.variant
        return table[(table[self.column] == self.name) & variant]


ORACLES = "oracles"
"""Heading of losses that use the labels by which they are scored."""
OTHERS = "other methods"
"""Heading of methods without a loss."""


def entries(table: pd.DataFrame, methods: Methods | None = None) -> list[Entry]:
    """List the entries of a table: losses in the order of their cards, ``default`` first, then other methods.

    Unregistered pairs are not included; figures show them as a reference level.

    Args:
        table: table with the columns ``loss`` and ``variant``, and ``method`` if methods are given.
        methods: methods of the study; without them every row has a loss.
    """
    if methods is None:
        return _losses(table)
    uses_loss = table.method.map({name: method.uses_loss for name, method in methods.items()}).astype(bool)
    others = [methods[name] for name in table.method[~uses_loss].unique() if name != UNREGISTERED]
    found = [_marked(entry, table[uses_loss], methods) for entry in _losses(table[uses_loss])]
    for method in sorted(others, key=lambda other: (other.order, other.name)):
        for place, variant in enumerate(_variants(table[table.method == method.name])):
            look = (method.title, method.colour, method.marker, OTHERS)
            found.append(_entry("method", method.name, variant, place, look))
    return found


def _losses(table: pd.DataFrame) -> list[Entry]:
    found = []
    cards = {loss: look_of(loss) for loss in table.loss.unique()}
    for loss, card in sorted(cards.items(), key=lambda item: (item[1]["order"], item[0])):
        look = (card["title"], card["colour"], card["marker"], SUPERVISION[card["supervision"]])
        for place, variant in enumerate(_variants(table[table.loss == loss])):
            found.append(_entry("loss", loss, variant, place, look))
    return found


def _marked(entry: Entry, table: pd.DataFrame, methods: Methods) -> Entry:
    """Move a loss to the group of oracles if it is one for every method of the table."""
    oracle = all(is_oracle(methods[name], entry.name) for name in entry.rows(table).method.unique())
    return replace(entry, group=ORACLES) if oracle else entry


def _variants(table: pd.DataFrame) -> list[str | None]:
    """List the variants of a table, ``None`` and ``default`` first."""
    found = {None if pd.isna(variant) else str(variant) for variant in table.variant}
    return sorted(found, key=lambda variant: (variant is not None, variant != "default", variant or ""))


def _entry(column: str, name: str, variant: str | None, place: int, look: tuple[str, str, str, str]) -> Entry:
    title, colour, marker, group = look
    full = title if variant in (None, "default") else f"{title} · {variant}"
    return Entry(column, name, variant, full, colour, marker, LINESTYLES[place % len(LINESTYLES)], group)


Line = tuple[float, Entry | str]
"""Vertical position of a line, and its entry or the heading of a group."""


def lines(entries: Sequence[Entry]) -> list[Line]:
    """List the lines of a figure: entries, and a heading above each group."""
    found: list[Line] = []
    group = None
    for entry in entries:
        if entry.group != group:
            group = entry.group
            found.append((float(len(found)), group))
        found.append((float(len(found)), entry))
    return found


def line_height(lines: Sequence[Line]) -> float:
    """Return the height of a panel with lines, in inches."""
    return 0.19 * (len(lines) + 1) + 0.62


def separate(axes: Axes, lines: Sequence[Line]) -> None:
    """Arrange lines in a panel with a rule above each group; label them in the first column of panels."""
    for y, what in lines:
        if y and not isinstance(what, Entry):
            axes.axhline(y - 0.5, color=FAINT, linewidth=0.6)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    place = axes.get_subplotspec()
    shown = lines if place is not None and place.is_first_col() else []
    axes.set_yticks([y for y, _ in shown], [w.title if isinstance(w, Entry) else w for _, w in shown])
    for label, (_, what) in zip(axes.get_yticklabels(), shown, strict=True):
        if not isinstance(what, Entry):
            label.set(style="italic", color=MUTED)


def write(axes: Axes, y: float, why: str) -> None:
    """Write in the middle of a line why it is empty."""
    where: Any = {"transform": axes.get_yaxis_transform(), "ha": "center", "va": "center"}
    # covers lines behind the text, such as that of the unregistered pairs
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    axes.text(0.5, y, why, **where, fontsize=SMALL, color=MUTED, bbox=ground, zorder=6)


@dataclass(frozen=True)
class Panel:
    """One panel: the losses of one method on a dataset, together with the methods without a loss."""

    dataset: str
    methods: frozenset[str]
    method: str
    """Title of the method if the study has several with losses; otherwise empty."""
    stress_test: bool

    @property
    def title(self) -> str:
        """Title that identifies the panel."""
        return f"{self.dataset}, {self.method}" if self.method else self.dataset

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the panel's rows of a table."""
        return table[(table.dataset == self.dataset) & table.method.isin(self.methods)]

    def head(self, axes: Axes, detail: str = "") -> None:
        """Write the dataset's name above the panel, and in smaller type method, detail and stress test."""
        lines = [line for line in (self.method, detail, "stress test" if self.stress_test else "") if line]
        space = 12 + 9 * (bool(detail) + bool(self.method))
        axes.set_title(self.dataset, pad=space + 2)
        where: Any = {"xy": (0, 1), "xycoords": "axes fraction", "xytext": (0, space), "textcoords": "offset points"}
        axes.annotate("\n".join(lines), **where, fontsize=SMALL, color=MUTED, va="top", linespacing=1.1)


def panels(table: pd.DataFrame, datasets: Mapping[str, Mapping[str, Any]], methods: Methods) -> list[Panel]:
    """List the panels of a study: one per dataset and method with losses, and one per dataset without any of these.

    Args:
        table: any table with the columns ``dataset`` and ``method``.
        datasets: name → content of ``dataset.yaml``, in the order of the study.
        methods: methods of the study.
    """
    present = set(table[["dataset", "method"]].itertuples(index=False, name=None))
    others = [name for name, method in methods.items() if not method.uses_loss]
    leading = [name for name, method in methods.items() if method.uses_loss and name in set(table.method)]
    found = []
    for lead in [*([name] for name in leading), []]:
        for name in datasets:
            led = {dataset for dataset, method in present if method in leading}
            if any((name, method) in present for method in (lead or others)) and (lead or name not in led):
                title = methods[lead[0]].title if lead and len(leading) > 1 else ""
                found.append(Panel(name, frozenset([*lead, *others]), title, bool(datasets[name].get("stress_test"))))
    return found


def grid(
    count: int, panel: tuple[float, float], extra: float = 0.0, columns: int | None = None
) -> tuple[Figure, list[Axes]]:
    """Create a figure with a grid of panels.

    Args:
        count: number of panels.
        panel: approximate width and height of a panel in inches.
        extra: additional height in inches for content outside the panels.
        columns: number of panels per row; by default at most three.
    """
    columns = columns or {1: 1, 2: 2, 4: 2}.get(count, 3)
    rows = math.ceil(count / columns)
    size = (min(WIDTH, max(columns * panel[0], 3.6)), rows * panel[1] + extra)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def pairs(count: int, panel: tuple[float, float], extra: float) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """Create a figure with pairs of panels, one above the other, at most four pairs per row.

    Args:
        count: number of pairs.
        panel: width and height of a panel in inches.
        extra: additional height in inches for content outside the panels.
    """
    columns = min(4, math.ceil(count / math.ceil(count / 4)))
    rows = math.ceil(count / columns)
    size = (min(WIDTH, 1.5 + panel[0] * columns), 2 * rows * panel[1] + extra)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(2 * rows, columns, squeeze=False)
    places = [(axes[2 * row, column], axes[2 * row + 1, column]) for row in range(rows) for column in range(columns)]
    for unused in places[count:]:
        for one in unused:
            one.remove()
    return figure, places[:count]


def nothing(why: str) -> Figure:
    """Create an empty figure that states why there is nothing to show."""
    figure = Figure(figsize=(WIDTH, 1))
    figure.text(0.5, 0.4, why, ha="center")
    return figure


def legend(figure: Figure, shown: Sequence[Entry], *others: Line2D) -> None:
    """Add a legend of colours, markers and line styles below the panels, in the order of the cards."""
    handles = [
        Line2D([], [], color=e.colour, marker=e.marker, linestyle=e.linestyle, markeredgewidth=e.edge, label=e.title)
        for e in shown
    ]
    handles += others
    widest = max((len(str(h.get_label())) for h in handles), default=1)
    columns = max(1, min(len(handles), int(figure.get_figwidth() / (0.062 * widest + 0.42))))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.2, handlelength=2.2)


def beside(name: Text, detail: str) -> None:
    """Write a detail in smaller type to the right of a text, on the same line."""
    where: Any = {"xy": (1, 0), "xycoords": name, "xytext": (6, 0), "textcoords": "offset points"}
    assert name.figure is not None
    note = Annotation(detail, **where, fontsize=SMALL, color=MUTED, va="bottom")
    name.figure.add_artist(note)


@paper()
def stamp(figure: Figure) -> None:
    """Mark a figure as a demonstration along its upper edge, outside the panels."""
    share = 0.2 / figure.get_figheight()
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0, 0, 1, 1 - share))
    figure.text(
        0.995,
        1 - 0.15 * share,
        "Demonstration: not evidence",
        ha="right",
        va="top",
        fontsize=SMALL,
        fontweight="bold",
        color="#a33b20",
    )


def save(figure: Figure, *paths: str | Path, dpi: int = 200) -> None:
    """Write a figure as PNG or PDF, by the suffix; atomically and reproducibly, without a creation date."""
    for path in paths:
        metadata = {"CreationDate": None} if Path(path).suffix == ".pdf" else {"Software": None}
        with atomic_write(path) as temporary, paper():
            figure.savefig(temporary, dpi=dpi, metadata=metadata)
