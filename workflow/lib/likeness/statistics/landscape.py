"""What profiles of a loss around the truth tell: five measures of how well it leads there, and its pull to the grid.

Škerl, Likar and Pernuš, A protocol for evaluation of similarity measures for rigid registration, IEEE TMI 2006,
doi:10.1109/TMI.2006.874963, turned upside down: there a similarity has maxima, here a dissimilarity has minima.

Profiles are ``(lines, points)``: the values of a loss at points δ apart along lines, the reference in the middle.
They are scaled to [0, 1] by the lowest and the highest value over all lines of a pair and kind of line, so that neither
offset nor scale of a loss matters. v(n, m) is the scaled value of point m on line n of N, o(n) the point of the lowest
value, the optimum, and r = k δ a distance. What lies beyond the end of a line does not count.

Attraction to the grid is how much higher values are half-way between voxels than a smooth course through those on
voxels would have it, relative to the range of the values along all lines of the pair.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

SAME = 1e-5
"""Scaled values that differ by less are equal: losses are computed in single precision."""
ROUNDING = 1e-6
"""Values that differ by less than this share of them differ by rounding alone."""
NEAR = 4
"""The distinctiveness is taken at this part of a line's half, the other measures over all of it."""
GRID = "grid"
"""What profiles call shifts by whole and half voxels."""
ALL = "all"
"""What the table calls all lines of a pair, whatever their kind."""
METHOD = ["dataset", "loss", "variant"]
COLUMNS = [
    *METHOD,
    "transform",
    "reference",
    "pairs",
    "lines",
    "accuracy",
    "distinctiveness",
    "capture_range",
    "minima",
    "risk",
    "attraction",
    "radius",
    "reach",
    "unit",
]


def scaled(values: np.ndarray) -> np.ndarray:
    """Scale profiles ``(lines, points)`` of one pair and kind of line to [0, 1]; zero where they do not vary.

    What varies by no more than float32 rounds does not.

    Raises:
        ValueError: if a value is not finite.
    """
    if not np.isfinite(values).all():
        msg = "a profile has values that are not finite; it has no measures"
        raise ValueError(msg)
    low, high = values.min(), values.max()
    # differences of huge values must not overflow
    spread = high / 2 - low / 2
    return np.zeros_like(values) if spread <= ROUNDING * np.abs(values / 2).max() else (values / 2 - low / 2) / spread


def optimum(profiles: np.ndarray) -> np.ndarray:
    """Find the point of the lowest value of every line, ``(lines,)``.

    Of points that are equally low the one farthest from the reference counts: a loss that cannot tell them apart
    may end at any of them.
    """
    middle = profiles.shape[1] // 2
    away = np.abs(np.arange(profiles.shape[1]) - middle)
    lowest = profiles <= profiles.min(1, keepdims=True) + SAME
    return np.where(lowest, away, -1).argmax(1)


def accuracy(profiles: np.ndarray, step: float) -> float:
    """Give the root mean square distance of the optima from the reference: ``√(1/N Σₙ ‖x(n, o(n)) − x₀‖²)``.

    Args:
        profiles: see above.
        step: δ, in any unit, which is that of the result.
    """
    away = (optimum(profiles) - profiles.shape[1] // 2) * step
    return float(np.sqrt(np.square(away).mean()))


def distinctiveness(profiles: np.ndarray, step: float, k: int) -> float:
    """Give the mean slope from the optimum to distance r: ``1/(2rN) Σₙ (v(n, o−k) + v(n, o+k) − 2 v(n, o))``.

    At an optimum closer than r to the end of its line the slope of the other side counts.
    """
    slopes = []
    for line, best in zip(profiles, optimum(profiles), strict=True):
        ends = [end for end in (best - k, best + k) if 0 <= end < len(line)]
        slopes.append(np.mean([line[end] - line[best] for end in ends]) / (k * step) if ends else 0.0)
    return float(np.mean(slopes))


def capture_range(profiles: np.ndarray, step: float) -> float:
    """Give the smallest distance, over all lines, at which the way back to the optimum stops to fall.

    That is the nearest crest, ``minₙ ‖x(n, o(n)) − x(n, c(n))‖`` with c(n) the local maximum next to o(n), on either
    side: beyond it a descent ends elsewhere. A plateau is no way back either. A line that rises to both of its ends
    counts with its shorter side: its crest is at least that far. One that is lowest at an end so counts 0: nothing
    shows that the values rise again behind it.
    """
    return min(_crest(line, best) for line, best in zip(profiles, optimum(profiles), strict=True)) * step


def _crest(line: np.ndarray, best: int) -> int:
    """Count the steps from the optimum to the nearest crest, or to the nearest end if there is none."""
    found = [best, len(line) - 1 - best]
    for arm in (line[best::-1], line[best:]):
        stops = np.flatnonzero(np.diff(arm) <= SAME)
        found += stops[:1].tolist()
    return int(min(found))


def minima(profiles: np.ndarray, k: int) -> float:
    """Give the mean number of local minima of a line, other than the optimum, within distance r = k δ of it.

    Škerl et al. count the minima of a similarity, which upside down are the crests of a loss. Here the further wells
    are counted, in which a descent may end. A run of equal values counts once; the end of a line is no minimum.
    """
    found = []
    for line, best in zip(profiles, optimum(profiles), strict=True):
        starts = _starts(line)
        others = np.setdiff1d(_minima(line), starts[starts <= best][-1:])
        found.append(int((np.abs(others - best) <= k).sum()))
    return float(np.mean(found))


def _starts(line: np.ndarray) -> np.ndarray:
    """Find the first point of every run of equal values."""
    return np.flatnonzero(np.append(True, np.abs(np.diff(line)) > SAME))


def _minima(line: np.ndarray) -> np.ndarray:
    """Find the local minima inside a line, of a run of equal values its first point."""
    kept = _starts(line)
    values = line[kept]
    lower = (values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])
    return kept[1:-1][lower]


def risk(profiles: np.ndarray, step: float, k: int) -> float:
    """Give the risk of non-convergence: how much a line falls on the way out from its optimum, per length.

    ``1/(2rN) Σₙ Σₘ max(0, v(n, m ∓ 1) − v(n, m))`` over the points m within r of the optimum, where m ∓ 1 is the
    neighbour on the side of the optimum: a descent that starts there leads away.
    """
    total = 0.0
    for line, best in zip(profiles, optimum(profiles), strict=True):
        for arm in (line[max(0, best - k) : best + 1][::-1], line[best : best + k + 1]):
            falls = -np.diff(arm)
            total += falls[falls > SAME].sum()
    return float(total / (2 * k * step * len(profiles)))


def attraction(shifted: np.ndarray, spread: float) -> float:
    """Give by what share of ``spread`` a loss is higher half-way between voxels than on them; negative: lower.

    The smooth course is the cubic through four neighbouring values on voxels, ``(9 (b + c) - a - d) / 16`` half-way
    between b and c. The mean over half-way points and axes.

    Args:
        shifted: ``(axes, points)``, values at shifts half a voxel apart, a whole one first and last.
        spread: range of values that means something, as of all lines through the reference.
    """
    whole, half = shifted[:, ::2], shifted[:, 3:-3:2]
    inner, outer = whole[:, 1:-2] + whole[:, 2:-1], whole[:, :-3] + whole[:, 3:]
    return float((half - (9 * inner - outer) / 16).mean() / spread) if spread > 0 else 0.0


def measure(profiles: pd.DataFrame) -> pd.DataFrame:
    """Measure the profiles of every loss, for each kind of line and for all of them together.

    Args:
        profiles: ``dataset``, ``loss``, ``variant``, ``reference``, ``pair``, ``transform``, ``line``, ``distance``,
            ``value``, ``unit``, in the order in which :func:`likeness.evaluation.landscape.sampled` gives them.

    Returns:
        The columns :data:`COLUMNS`: ``pairs`` and ``lines`` count what was measured, ``accuracy``, ``capture_range``,
        ``radius`` (r of the distinctiveness, the mean over pairs) and ``reach`` (half the length of the shortest
        line; a capture range as large is a lower bound) are in ``unit``, ``distinctiveness`` and ``risk`` in
        1/``unit``; ``attraction`` is the mean over pairs, in the row of all lines alone. Measures are NaN where the
        loss was not finite at a point.
    """
    groups = [table for _, table in profiles.groupby(METHOD, sort=False)]
    return pd.DataFrame([row for table in groups for row in _measured(table)], columns=COLUMNS)


def block(table: pd.DataFrame, column: str) -> np.ndarray:
    """Give a column of the profiles of one loss as ``(pairs, kinds, lines, points)``.

    Raises:
        ValueError: if a point is there twice.
    """
    if table.duplicated(["pair", "transform", "line", "distance"]).any():
        msg = "a point of a line is there twice; every pair may be sampled once"
        raise ValueError(msg)
    sizes = [table[key].nunique() for key in ("pair", "transform", "line")]
    return table[column].to_numpy().reshape(*sizes, -1)


def _measured(table: pd.DataFrame) -> Iterator[dict[str, object]]:
    lines_of, shifts = table[table["transform"] != GRID], table[table["transform"] == GRID]
    values, distances = block(lines_of, "value"), block(lines_of, "distance")
    pairs, kinds, lines, _ = values.shape
    pulls = [_attraction(*both) for both in zip(values, block(shifts, "value")[:, 0], strict=True)]
    measured = [
        [_measures(*of_kind) for of_kind in zip(*of_pair, strict=True)]
        for of_pair in zip(values, distances, strict=True)
    ]
    found = np.array([[list(measures.values()) for measures in row] for row in measured])
    names = list(measured[0][0])
    first = table.iloc[0]
    for place, transform in enumerate([*dict.fromkeys(lines_of["transform"]), ALL]):
        chosen = found[:, [place]] if transform != ALL else found
        # every kind of every pair has as many lines, so that the mean of means is the mean over lines
        summary = dict(zip(names, chosen.mean((0, 1)), strict=True))
        summary["accuracy"] = np.sqrt(np.square(chosen[..., names.index("accuracy")]).mean())
        for name in ("capture_range", "reach"):
            summary[name] = chosen[..., names.index(name)].min()
        summary["attraction"] = float(np.mean(pulls)) if transform == ALL else np.nan
        counts = {"pairs": pairs, "lines": pairs * lines * (kinds if transform == ALL else 1)}
        who = {**first[METHOD], "transform": transform, "reference": first.reference}
        yield {**who, **counts, **summary, "unit": first.unit}


def _attraction(lines: np.ndarray, shifted: np.ndarray) -> float:
    """Measure the pull to the grid of one pair, by all of its lines and its shifts ``(axes, points)``."""
    if not (np.isfinite(lines).all() and np.isfinite(shifted).all()):
        return np.nan
    return attraction(shifted, float(lines.max() - lines.min()))


def _measures(values: np.ndarray, distances: np.ndarray) -> dict[str, float]:
    """Measure the lines ``(lines, points)`` of one pair and kind."""
    half = values.shape[1] // 2
    reach = float(distances.max())
    step, k = reach / half, max(1, round(half / NEAR))
    measures = dict.fromkeys(("accuracy", "distinctiveness", "capture_range", "minima", "risk"), np.nan)
    if np.isfinite(values).all():
        lines = scaled(values)
        measures = {
            "accuracy": accuracy(lines, step),
            "distinctiveness": distinctiveness(lines, step, k),
            "capture_range": capture_range(lines, step),
            "minima": minima(lines, half),
            "risk": risk(lines, step, half),
        }
    return {**measures, "radius": k * step, "reach": reach}
