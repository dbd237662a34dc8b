"""The picture of the data sheet: example test pairs, with overlay and labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from likeness.data.store import Dataset, Sample
from likeness.figures import style
from likeness.figures.slices import FIXED, MOVING, as_picture, extent

ROWS = 3
LABEL_COLOURS = ("#009e73", "#cc79a7", "#f0e442", "#56b4e9", "#d55e00", "#0072b2", "#e69f00")
OPACITY = 0.45
"""Opacity of label colours on the image."""
NAMED = len(LABEL_COLOURS)


def draw(dataset: Dataset) -> Figure:
    """Draw test pairs: moving, fixed, their overlay, and the fixed image with its labels.

    For volumes the middle slice across the shortest axis is shown. Scale bars are in the dataset's unit.
    """
    pairs = dataset.pairs_of("test")
    chosen = [pairs[i] for i in sorted(set(np.linspace(0, len(pairs) - 1, ROWS).astype(int)))]
    height, width = extent(dataset)
    columns = 4 if "label" in dataset.has else 3
    panel = (style.WIDTH - 0.25) / columns - 0.06
    size = (style.WIDTH, (panel * height / width + 0.06) * len(chosen) + 0.65)
    with style.paper():
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0))
        grid = figure.subplots(len(chosen), columns, squeeze=False)
        for row, (moving, fixed) in zip(grid, chosen, strict=True):
            _draw_pair(row, dataset, dataset.load(moving), dataset.load(fixed))
        for axes, title in zip(grid[0], ("Moving", "Fixed", "Overlay", "Fixed, labelled"), strict=False):
            axes.set_title(title)
        _explain(figure, dataset)
    return figure


def scale_bar(axes: Axes, dataset: Dataset) -> None:
    """Draw a scale bar with a round length of up to a quarter of the width."""
    height, width = extent(dataset)
    length = round_length(width / 4)
    x, y, thick = 0.05 * width, 0.93 * height, 0.02 * height
    unit = dataset.spacing_unit.replace("um", "µm")
    axes.add_patch(Rectangle((x, y), length, thick, color="white", ec="black", lw=0.3))
    outline = [withStroke(linewidth=1.2, foreground="black")]
    axes.text(
        x, y - 0.5 * thick, f"{length:g} {unit}", color="white", size=style.SMALL - 1, va="bottom", path_effects=outline
    )


def round_length(about: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that does not exceed a length."""
    power = 10.0 ** np.floor(np.log10(about))
    return float(max(step * power for step in (1, 2, 5) if step * power <= about * (1 + 1e-9)))


def _draw_pair(row: Sequence[Axes], dataset: Dataset, moving: Sample, fixed: Sample) -> None:
    a, b = (as_picture(dataset, s.image).astype(float) for s in (moving, fixed))
    overlay = np.clip(a[..., None] * MOVING + b[..., None] * FIXED, 0, 1)
    for axes, picture in zip(row, (a, b, overlay, b), strict=False):
        _show(axes, dataset, picture)
    row[0].set_ylabel(f"{moving.name} → {fixed.name}", fontsize=style.SMALL, color=style.MUTED)
    scale_bar(row[0], dataset)
    if len(row) == 4 and fixed.label is not None:
        _tint(row[3], dataset, as_picture(dataset, fixed.label))


def _show(axes: Axes, dataset: Dataset, picture: np.ndarray) -> None:
    height, width = extent(dataset)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0), interpolation="antialiased")
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _tint(axes: Axes, dataset: Dataset, label: np.ndarray) -> None:
    """Overlay an image with the colours of its labels."""
    tint = np.zeros((*label.shape, 4))
    for value, colour in _colours(dataset).items():
        tint[label == value] = to_rgba(colour, OPACITY)
    _show(axes, dataset, tint)


def _colours(dataset: Dataset) -> dict[int, str]:
    return {value: LABEL_COLOURS[i % len(LABEL_COLOURS)] for i, value in enumerate(dataset.evaluate)}


def _explain(figure: Figure, dataset: Dataset) -> None:
    """Add a legend of the colours of the overlay and, if there are few, of the labels."""
    named = {"brighter in moving": tuple(MOVING), "brighter in fixed": tuple(FIXED)}
    if "label" in dataset.has and len(dataset.evaluate) <= NAMED:
        named |= {dataset.labels[value]: to_rgba(colour) for value, colour in _colours(dataset).items()}
    handles = [Line2D([], [], color=colour, lw=4, label=name) for name, colour in named.items()]
    inches = sum(0.06 * len(name) + 0.42 for name in named)
    columns = len(named) if inches < style.WIDTH else -(-len(named) // 2)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.2, handlelength=1.2)
