"""How every loss leads to a known registration: mean profiles through it, and the measures of all profiles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from likeness.figures import style
from likeness.figures.style import Entry
from likeness.statistics.landscape import ALL, GRID, block, scaled

CARD = {
    "order": 60,
    "reads": ["profiles", "measures", "datasets"],
    "caption": """\
**What a loss sees around the truth**, without any training. Above: every loss along lines through a known
registration of test pairs, moved away from it by translations, rotations, scalings and smooth random deformations.
The axis is the mean end-point error over the content of the image, its sign the side; values are scaled to [0, 1]
over all lines of a pair and kind, and averaged over lines and pairs. Below: five measures of all lines of a dataset,
after Škerl et al. 2006 (doi:10.1109/TMI.2006.874963), and the pull of the grid; the darkest cell of a column is the
best.

*Accuracy*: root mean square distance of the lowest point of each line from the reference. *Capture range*: the
shortest distance from a lowest point to the nearest crest of its line, beyond which descent leads elsewhere; ≥: no
line has a crest so near. *Distinctiveness*: mean slope beside the lowest point, in % of the range of values. *Further
minima*: local ones, per line. *Risk* of non-convergence: how much a line falls on the way out, in % of the range of
values, per distance. *Grid*: how much higher the loss is where the moving image is shifted by half voxels, and
interpolation smooths it, than a smooth course through whole ones would have it, in % of the range of values; positive:
the grid attracts, negative: it repels. By kind of line they are in ``results/tables/landscape.csv``.

*Reference*. true field: of a simulated pair, u. same subject: two kinds of images of one subject with one and the
same label map. same image: the fixed image and itself with a little noise, where the dataset has no truth between
different images; that is easier than any registration, and results on it only rule a loss out. Losses that learn from
labels or images learnt from training subjects; the pairs are of test subjects. Nothing is chosen by what this figure
shows.

*Stress test*: simulated from a template, whose labels follow from intensity; it shows whether a loss works, not which
is better. *n/a*: the loss does not apply to the dataset, or to pairs with a reference. *–*: it was not finite
somewhere on a line.
""",
}

MEASURES: dict[str, tuple[str, str, float]] = {
    "accuracy": ("Accuracy ({unit}) ↓", "lower", 1),
    "capture_range": ("Capture range ({unit}) ↑", "higher", 1),
    "distinctiveness": ("Distinctiveness (%/{unit}) ↑", "higher", 100),
    "minima": ("Further minima ↓", "lower", 1),
    "risk": ("Risk (%/{unit}) ↓", "lower", 100),
    "attraction": ("Grid (%) → 0", "zero", 100),
}
"""How a measure is headed, what is better (``"zero"``: what is nearer to it), and by what it is multiplied."""
ABREAST = 4
"""Most datasets side by side in the table of measures."""
SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#9fd0c4"])
NAMES = 1.75
"""Inches for the names of the losses."""
LINE = 0.165
"""Inches for a line of the table."""
HEAD = 1.62
"""Inches for the heads of its columns."""
PROFILES = 1.42
"""Inches for the profiles of a dataset."""


@style.paper()
def draw(profiles: pd.DataFrame, measures: pd.DataFrame, datasets: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw a row of profiles per dataset and, below, the measures of every loss.

    Args:
        profiles: see :func:`likeness.statistics.landscape.measure`.
        measures: what that function made of them.
        datasets: name → content of ``dataset.yaml``, in the order of the study.
    """
    profiles = profiles[profiles["transform"] != GRID]
    shown = [name for name in datasets if name in set(measures.dataset)]
    entries = style.entries(measures)
    if not shown:
        return style.nothing("No test pair has what the losses need.")
    bands = [shown[i : i + ABREAST] for i in range(0, len(shown), ABREAST)]
    heights = [PROFILES * len(shown), *[HEAD + LINE * len(entries)] * len(bands)]
    figure = Figure(figsize=(style.WIDTH, sum(heights) + 0.2), layout="constrained")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    grid = parts[0].subplots(len(shown), len(set(measures["transform"]) - {ALL}), squeeze=False, sharey=True)
    for name, row in zip(shown, grid, strict=True):
        _profiles(row, entries, profiles[profiles.dataset == name], measures[measures.dataset == name], datasets[name])
    for part, band in zip(parts[1:], bands, strict=True):
        _measures(part, entries, measures[measures["transform"] == ALL], band)
    return figure


def _unit(unit: str) -> str:
    return unit.replace("um", "µm")


def _profiles(
    row: Sequence[Axes], entries: Sequence[Entry], profiles: pd.DataFrame, table: pd.DataFrame, meta: Mapping[str, Any]
) -> None:
    """Draw the mean profile of every loss, a panel for each kind of line."""
    for place, entry in enumerate(entries):
        for axes, (distances, values) in zip(row, _means(entry.rows(profiles)), strict=False):
            axes.plot(
                distances,
                values,
                color=entry.colour,
                linestyle=entry.linestyle,
                linewidth=0.9,
                marker=entry.marker,
                markersize=2.6,
                markeredgewidth=entry.edge,
                # a marker on either side, at another place for every loss, so that they do not cover each other
                markevery=(1 + place % (len(values) // 2), len(values) // 2),
            )
    first = table.iloc[0]
    for axes, transform in zip(row, dict.fromkeys(profiles["transform"]), strict=True):
        axes.axvline(0, color=style.MUTED, linewidth=0.7, zorder=1)
        axes.set_xlabel(f"{str(transform).capitalize()} ({_unit(first.unit)})", labelpad=1)
        axes.set_yticks([0, 1])
        axes.set_ylim(-0.04, 1.04)
    row[0].set_ylabel("Loss, scaled")
    title = row[0].set_title(str(first.dataset))
    lines = table.lines[table["transform"] != ALL].max()
    said = [f"reference: {first.reference}", _count(first.pairs, "pair"), f"{_count(lines, 'line')} of each kind"]
    style.beside(title, ", ".join([*said, *["stress test"] * bool(meta.get("stress_test"))]))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _means(profiles: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Give, for each kind of line, mean distances and mean scaled values over all lines; none where not finite."""
    if not len(profiles) or not np.isfinite(profiles.value).all():
        return []
    values, distances = block(profiles, "value"), block(profiles, "distance")
    found = []
    for kind in range(values.shape[1]):
        lines = np.concatenate([scaled(pair) for pair in values[:, kind]])
        found.append((distances[:, kind].mean((0, 1)), lines.mean(0)))
    return found


def _measures(part: SubFigure, entries: Sequence[Entry], table: pd.DataFrame, band: Sequence[str]) -> None:
    """Write the measures over all lines, a block of columns for each dataset, shaded from worst to best."""
    axes = part.subplots()
    wide = (style.WIDTH - NAMES) / ABREAST / (len(MEASURES) + 0.35)
    total = style.WIDTH / wide
    left = NAMES / wide
    axes.set(xlim=(0, total), ylim=(len(entries), -HEAD / LINE))
    axes.axis("off")
    for place, entry in enumerate(entries):
        _name(axes, entry, place + 0.5)
    for start, name in zip(left + (len(MEASURES) + 0.35) * np.arange(len(band)), band, strict=False):
        rows = table[table.dataset == name]
        axes.text(start, -HEAD / LINE + 0.6, name, fontweight="bold", va="center")
        for column, (key, (head, better, factor)) in enumerate(MEASURES.items()):
            head = head.format(unit=_unit(rows.unit.iloc[0]))
            axes.text(start + column + 0.5, -0.3, head, rotation=90, ha="center", va="bottom", fontsize=style.SMALL)
            reach = rows.reach if key == "capture_range" else None
            _column(axes, start + column, entries, rows.assign(shown=rows[key] * factor, reach=reach), better)


def _name(axes: Axes, entry: Entry, y: float) -> None:
    key = {"color": entry.colour, "linestyle": entry.linestyle, "marker": entry.marker, "markeredgewidth": entry.edge}
    axes.add_line(Line2D([0.1, 0.7, 1.3], [y, y, y], markersize=3.6, markevery=[1], clip_on=False, **key))
    axes.text(1.6, y, entry.title, va="center", fontsize=style.SMALL)


def _column(axes: Axes, x: float, entries: Sequence[Entry], rows: pd.DataFrame, better: str) -> None:
    goodness = _goodness(rows.shown, better)
    for place, entry in enumerate(entries):
        found = entry.rows(rows)
        said, muted = "n/a", True
        if len(found):
            value, reach = found[["shown", "reach"]].iloc[0]
            muted = not math.isfinite(value)
            said = "–" if muted else signed(value) if better == "zero" else short(value)
            if not muted:
                shade = SHADES(float(goodness[found.index[0]]))
                axes.add_patch(Rectangle((x, place), 1, 1, facecolor=shade, edgecolor="white", linewidth=0.8))
                # a crest that no line reached is farther away
                said = f"≥{said}" if reach is not None and value >= reach else said
        colour = style.MUTED if muted else style.INK
        axes.text(x + 0.5, place + 0.54, said, ha="center", va="center", fontsize=style.SMALL, color=colour)


def _goodness(values: pd.Series, better: str) -> pd.Series:
    """Give where each value lies between the worst, 0, and the best, 1, of those that are finite."""
    good = values if better == "higher" else -values.abs()
    known = good[np.isfinite(values)]
    spread = known.max() - known.min() if len(known) else 0.0
    return (good - known.min()) / spread if spread > 0 else values * 0 + 1.0


def signed(value: float) -> str:
    """Write a number with its sign in at most four characters, if it is below a thousand."""
    size = f"{abs(value):.1f}".lstrip("0") if abs(value) < 0.95 else f"{abs(value):.0f}"
    return "0" if size == ".0" else f"{'−' if value < 0 else '+'}{size}"


def short(value: float) -> str:
    """Write a number that is not negative in at most four characters, if it is below ten thousand."""
    if value == 0:
        return "0"
    if value < 0.005:
        return "<.01"
    return f"{value:.2f}"[1:] if value < 0.095 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
