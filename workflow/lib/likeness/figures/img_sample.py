"""One test pair per dataset: moving and fixed image, and per loss the moved image and the deformed grid."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from scipy.ndimage import map_coordinates

from likeness.data import store
from likeness.data.store import Dataset
from likeness.figures import style
from likeness.figures.slices import FIXED, MOVING, as_picture, pixel, shown_axes
from likeness.figures.style import Entry, Panel
from likeness.methods.kinds import Methods
from likeness.metrics import card as metric_card
from likeness.results import Run
from likeness.statistics.aggregate import overall
from likeness.statistics.selection import primary_metric

CARD = {
    "order": 50,
    "reads": ["metrics", "prepared", "samples", "methods"],
    "dpi": 300,
    "caption": """\
**One test pair per dataset.** Left: the moving image above the fixed one. Then, for every loss at its chosen λ (first
seed), the moved image and below it the deformed grid: a regular grid on the fixed image, drawn at the corresponding
positions in the moving image. Contours outline up to four labels, those with the largest area in the picture: blue in
the fixed image, orange in the moving and the moved image; where registration is correct, orange covers blue. The
number is the primary score of this pair (EPE: end-point error, otherwise Dice); a single pair is an illustration, not
evidence. For volumes the middle slice across the shortest axis is shown, and for large images a detail.
""",
}

ABREAST = 9
"""Maximum number of losses per row, in addition to the pair."""
LARGEST = 1.45
"""Maximum width of a picture in inches."""
GAP = 0.05
SIDE = 192
"""Maximum height and width of the displayed detail in pixels."""
CONTOURS = 4
"""Maximum number of labels drawn, those with the largest area; more would hide the image."""
GRID_LINES = 16


@dataclass(frozen=True)
class Scene:
    """Data shared by all pictures of one dataset."""

    dataset: Dataset
    moving: store.Sample
    fixed: store.Sample
    window: tuple[slice, slice]
    labels: tuple[int, ...]
    scores: pd.DataFrame
    """Primary score of the pair for every run, at the chosen λ."""


@style.paper()
def draw(
    metrics: pd.DataFrame, prepared: Mapping[str, Dataset], samples: Sequence[tuple[Run, Path]], methods: Methods
) -> Figure:
    """Draw a block per dataset; every entry shows the most common sample pair, at its chosen λ and first seed.

    Args:
        metrics: metrics table, with ``chosen`` filled.
        prepared: name → prepared dataset, in the order of the study.
        samples: archive written from :func:`likeness.evaluation.table.sample` for every run.
        methods: methods of the study.
    """
    table = pd.DataFrame([{**run._asdict(), "path": path} for run, path in samples])
    table = table.sort_values("seed", kind="stable")
    shown = style.panels(table, {name: dataset.meta for name, dataset in prepared.items()}, methods)
    entries = style.entries(table, methods)
    strips = math.ceil(len(entries) / ABREAST)
    abreast = math.ceil(len(entries) / strips)
    width = min(LARGEST, (style.WIDTH - GAP) / (1 + abreast) - GAP)
    names = max(_fold(entry.title, width).count("\n") for entry in entries) * 0.12 + 0.14
    table["pair"] = [_pair(path) for path in table.path]
    scenes = [_scene(prepared[p.dataset], Counter(p.rows(table).pair).most_common(1)[0][0], metrics) for p in shown]
    blocks = [_block_height(scene, width, strips, names) for scene in scenes]
    size = (max((1 + abreast) * (width + GAP) + GAP, 3.8), sum(blocks) + 0.45)
    figure = Figure(figsize=size)
    top = size[1] - 0.22
    for panel, scene, height in zip(shown, scenes, blocks, strict=True):
        _block(figure, panel, scene, entries, panel.rows(table), (top, width, names, abreast))
        top -= height
    _legend(figure)
    return figure


TITLE, SCORE, BELOW = 0.2, 0.17, 0.12
"""Heights in inches of the dataset's name, of the scores, and of the space below a block."""


def _picture_height(scene: Scene, width: float) -> float:
    rows, columns = (s.stop - s.start for s in scene.window)
    tall, wide = pixel(scene.dataset)
    return width * rows * tall / (columns * wide)


def _block_height(scene: Scene, width: float, strips: int, names: float) -> float:
    return TITLE + BELOW + strips * (names + 2 * _picture_height(scene, width) + GAP + SCORE)


def _pair(path: Path) -> tuple[str, str]:
    """Return the pair that a sample shows, moving and fixed id."""
    with np.load(path, allow_pickle=False) as archive:
        return str(archive["moving"]), str(archive["fixed"])


def _scene(dataset: Dataset, pair: tuple[str, str], metrics: pd.DataFrame) -> Scene:
    moving, fixed = map(dataset.load, pair)
    label = None if fixed.label is None else as_picture(dataset, fixed.label)
    window = _window(dataset, label)
    labels: tuple[int, ...] = ()
    if label is not None and moving.label is not None:
        areas = {k: int((label[window] == k).sum()) for k in dataset.evaluate}
        labels = tuple(sorted((k for k in areas if areas[k]), key=lambda k: (-areas[k], k))[:CONTOURS])
    rows = metrics[(metrics.dataset == dataset.name) & metrics.chosen]
    rows = rows[(rows.moving == moving.name) & (rows.fixed == fixed.name)]
    rows = rows[rows.metric == primary_metric(rows, dataset.name)]
    return Scene(dataset, moving, fixed, window, labels, overall(rows))


def _window(dataset: Dataset, label: np.ndarray | None) -> tuple[slice, slice]:
    """Select the detail to show: around the labels, at most :data:`SIDE` pixels wide and high."""
    shape = as_picture(dataset, np.empty(dataset.shape, dtype=bool)).shape
    background = dataset.meta.get("background")
    inside = np.ones(shape, dtype=bool) if label is None or background is None else label != background
    if not inside.any():
        inside[:] = True
    slices = []
    for axis, size in enumerate(shape):
        places = np.flatnonzero(inside.any(axis=1 - axis))
        margin = round(0.04 * size)
        low, high = max(places[0] - margin, 0), min(places[-1] + 1 + margin, size)
        surplus = max(high - low - SIDE, 0)
        slices.append(slice(int(low + surplus // 2), int(high - (surplus - surplus // 2))))
    return slices[0], slices[1]


def _block(
    figure: Figure,
    panel: Panel,
    scene: Scene,
    entries: Sequence[Entry],
    table: pd.DataFrame,
    place: tuple[float, float, float, int],
) -> None:
    top, width, names, abreast = place
    tall, wide = figure.get_figheight(), figure.get_figwidth()
    height = _picture_height(scene, width)

    def axes_at(column: int, y: float) -> Axes:
        left = GAP + column * (width + GAP)
        return figure.add_axes((left / wide, (y - height) / tall, width / wide, height / tall))

    detail = ("stress test · " if panel.stress_test else "") + f"{scene.moving.name} → {scene.fixed.name}"
    name = figure.text(GAP / wide, top / tall, panel.title, va="top", fontweight="bold")
    style.beside(name, detail)
    y = top - TITLE - names
    for start in range(0, len(entries), abreast):
        for row, (text, subject) in enumerate((("moving", scene.moving), ("fixed", scene.fixed))):
            if start == 0:
                _input(axes_at(0, y - row * (height + GAP)), scene, subject, text)
        for column, entry in enumerate(entries[start : start + abreast], start=1):
            pair = axes_at(column, y), axes_at(column, y - height - GAP)
            pair[0].set_title(_fold(entry.title, width), fontsize=style.SMALL, fontweight="normal", loc="center", pad=3)
            _result(pair, scene, entry, entry.rows(table))
        y -= 2 * height + GAP + SCORE + names


def _fold(title: str, width: float) -> str:
    return "\n".join(textwrap.wrap(title, max(int(width / 0.058), 8))[:2])


def _input(axes: Axes, scene: Scene, subject: store.Sample, text: str) -> None:
    _image(axes, as_picture(scene.dataset, subject.image)[scene.window])
    if subject.label is not None:
        _contours(axes, scene, as_picture(scene.dataset, subject.label), MOVING if text == "moving" else FIXED)
    outline = [withStroke(linewidth=1.5, foreground="black")]
    axes.text(0.04, 0.96, text, transform=axes.transAxes, va="top", color="white", fontsize=7, path_effects=outline)


def _result(pair: tuple[Axes, Axes], scene: Scene, entry: Entry, rows: pd.DataFrame) -> None:
    """Draw the moved image above and the deformed grid below, or state why there is none."""
    for axes in pair:
        _frame(axes)
    scores = entry.rows(scene.scores).sort_values("seed", kind="stable")
    # given fields can lack this pair
    rows = rows[[pair == (scene.moving.name, scene.fixed.name) for pair in rows.pair]]
    if not len(rows) or not len(scores):
        # there are fields, but no chosen λ to show
        said = "not chosen" if len(rows) else "n/a"
        pair[0].text(0.5, 0.5, said, transform=pair[0].transAxes, ha="center", va="center", color=style.MUTED)
        return
    score = scores.iloc[0]
    field = _displacement(rows.path.iloc[0], score.lam)
    if field is None or not np.isfinite(field).all():
        pair[0].text(0.5, 0.5, "diverged", transform=pair[0].transAxes, ha="center", va="center", color=style.MUTED)
        return
    grid = np.stack(np.meshgrid(*map(np.arange, scene.dataset.shape), indexing="ij"), axis=-1)
    points = as_picture(scene.dataset, grid + field)
    _moved(pair[0], scene, points)
    _grid(pair[1], scene, points, entry.colour)
    unit = "" if score.unit == "1" else " " + score.unit.replace("um", "µm")
    text = f"{metric_card(score.metric)['short']} {score.value:.2f}{unit}"
    pair[1].set_xlabel(text, fontsize=style.SMALL, labelpad=2)


def _displacement(path: Path, lam: float) -> np.ndarray | None:
    with np.load(path, allow_pickle=False) as archive:
        found = np.flatnonzero(np.isclose(archive["lams"], lam, rtol=1e-5, equal_nan=True))
        return archive["displacements"][found[0]].astype(float) if len(found) else None


def _moved(axes: Axes, scene: Scene, points: np.ndarray) -> None:
    where = np.moveaxis(points, -1, 0)
    _image(axes, map_coordinates(scene.moving.image, where, order=1, mode="nearest")[scene.window])
    if scene.moving.label is None or scene.fixed.label is None:
        return
    _contours(axes, scene, as_picture(scene.dataset, scene.fixed.label), FIXED)
    label = map_coordinates(scene.moving.label, where, order=0, mode="constant", cval=0)
    _contours(axes, scene, label, MOVING)


def _image(axes: Axes, picture: np.ndarray) -> None:
    _frame(axes)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="antialiased")


def _frame(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set(visible=True, linewidth=0.4, color=style.FAINT)


def _contours(axes: Axes, scene: Scene, label: np.ndarray, colour: Any) -> None:
    for value in scene.labels:
        inside = (label[scene.window] == value).astype(float)
        if 0 < inside.mean() < 1:
            axes.contour(inside, [0.5], colors=[tuple(colour)], linewidths=0.55)


def _grid(axes: Axes, scene: Scene, points: np.ndarray, colour: str) -> None:
    """Draw the lines of a regular grid on the fixed image at their positions in the moving image."""
    rows, columns = (np.arange(s.start, s.stop) for s in scene.window)
    y, x = _in_picture(scene.dataset, points)
    step = max(len(rows), len(columns)) / GRID_LINES
    across = rows[(np.arange(step / 2, len(rows), step)).astype(int)]
    down = columns[(np.arange(step / 2, len(columns), step)).astype(int)]
    lines = [np.stack([x[r, columns], y[r, columns]], axis=1) for r in across]
    lines += [np.stack([x[rows, c], y[rows, c]], axis=1) for c in down]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.6))
    axes.set(xlim=(columns[0] - 0.5, columns[-1] + 0.5), ylim=(rows[-1] + 0.5, rows[0] - 0.5))


def _in_picture(dataset: Dataset, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert points ``(rows, columns, dims)`` in voxels of the image to row and column in the picture."""
    axes = shown_axes(dataset)
    first, second = (points[..., axis] for axis in axes)
    return (first, second) if dataset.axes == "ij" else (dataset.shape[axes[1]] - 1 - second, first)


def _legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=tuple(FIXED), label="labels of the fixed image"),
        Line2D([], [], color=tuple(MOVING), label="labels of the moving and moved image"),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=2, bbox_to_anchor=(0.5, 0), borderaxespad=0.2)
