"""Measures of a loss landscape: five measures of profiles around the truth, and the attraction to the voxel grid.

Škerl, Likar and Pernuš, A protocol for evaluation of similarity measures for rigid registration, IEEE TMI 2006,
doi:10.1109/TMI.2006.874963, with inverted sign: similarities have maxima, whereas dissimilarities have minima.

Profiles are ``(lines, points)``: values of a loss at points with spacing δ along lines, the reference in the middle.
They are scaled to [0, 1] by the minimum and maximum over all lines of a pair and kind of line, so that measures do not
depend on offset and scale of the loss. v(n, m) is the scaled value of point m on line n of N, o(n) the point with the
lowest value, the optimum, and r = k δ a distance. Points beyond the ends of a line are ignored.

The attraction to the grid is the deviation of the loss at half-voxel shifts from a smooth curve through whole-voxel
shifts, relative to the range of values along all lines of the pair.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

SAME = 1e-5
"""Tolerance below which scaled values count as equal, because losses are computed in single precision."""
ROUNDING = 1e-6
"""Relative tolerance below which values differ by rounding only."""
NEAR = 4
"""Ratio of half the length of a line to the radius of the distinctiveness; other measures use the whole line."""
GRID = "grid"
"""Kind of line for shifts by whole and half voxels."""
ALL = "all"
"""Kind of line in tables for the measures over all lines of a pair."""
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
    """Scale profiles ``(lines, points)`` of one pair and kind of line to [0, 1]; zero if they are constant.

    Variation within the rounding error of float32 counts as constant.

    Raises:
        ValueError: if a value is not finite.
    """
    if not np.isfinite(values).all():
        msg = "a profile has non-finite values, so its measures are undefined"
        raise ValueError(msg)
    low, high = values.min(), values.max()
    # differences of huge values must not overflow
    spread = high / 2 - low / 2
    return np.zeros_like(values) if spread <= ROUNDING * np.abs(values / 2).max() else (values / 2 - low / 2) / spread


def optimum(profiles: np.ndarray) -> np.ndarray:
    """Find the index of the lowest value of every line, ``(lines,)``.

    Of several equal minima the one farthest from the reference counts, because an optimisation can end at any of them.
    """
    middle = profiles.shape[1] // 2
    away = np.abs(np.arange(profiles.shape[1]) - middle)
    lowest = profiles <= profiles.min(1, keepdims=True) + SAME
    return np.where(lowest, away, -1).argmax(1)


def accuracy(profiles: np.ndarray, step: float) -> float:
    """Return the root mean square distance of the optima from the reference: ``√(1/N Σₙ ‖x(n, o(n)) − x₀‖²)``.

    Args:
        profiles: ``(lines, points)``, scaled.
        step: δ, in any unit; the result has the same.
    """
    away = (optimum(profiles) - profiles.shape[1] // 2) * step
    return float(np.sqrt(np.square(away).mean()))


def distinctiveness(profiles: np.ndarray, step: float, k: int) -> float:
    """Return the mean slope from the optimum to distance r: ``1/(2rN) Σₙ (v(n, o−k) + v(n, o+k) − 2 v(n, o))``.

    For an optimum closer than r to the end of its line, only the slope of the other side is used.

    Args:
        profiles: ``(lines, points)``, scaled.
        step: δ, in any unit; the result is in its inverse.
        k: number of steps of r.
    """
    slopes = []
    for line, best in zip(profiles, optimum(profiles), strict=True):
        ends = [end for end in (best - k, best + k) if 0 <= end < len(line)]
        slopes.append(np.mean([line[end] - line[best] for end in ends]) / (k * step) if ends else 0.0)
    return float(np.mean(slopes))


def capture_range(profiles: np.ndarray, step: float) -> float:
    """Return the smallest distance, over all lines, from which descent still leads to the optimum.

    This is the distance to the nearest local maximum, ``minₙ ‖x(n, o(n)) − x(n, c(n))‖`` with c(n) the local maximum
    next to o(n), on either side; plateaus count as maxima. A line that increases up to both ends counts with its
    shorter side, as a lower bound. A line with its optimum at an end counts as 0, because values beyond it are unknown.

    Args:
        profiles: ``(lines, points)``, scaled.
        step: δ, in any unit; the result has the same.
    """
    return min(_crest(line, best) for line, best in zip(profiles, optimum(profiles), strict=True)) * step


def _crest(line: np.ndarray, best: int) -> int:
    """Return the number of steps from the optimum to the nearest local maximum, or else to the nearest end."""
    found = [best, len(line) - 1 - best]
    for arm in (line[best::-1], line[best:]):
        stops = np.flatnonzero(np.diff(arm) <= SAME)
        found += stops[:1].tolist()
    return int(min(found))


def minima(profiles: np.ndarray, k: int) -> float:
    """Return the mean number of local minima per line, other than the optimum, within distance r = k δ of it.

    Škerl et al. count the minima of a similarity, which correspond to maxima of a loss. Here minima of the loss are
    counted, in which descent can end. A run of equal values counts once; the ends of a line are no minima.
    """
    found = []
    for line, best in zip(profiles, optimum(profiles), strict=True):
        starts = _starts(line)
        others = np.setdiff1d(_minima(line), starts[starts <= best][-1:])
        found.append(int((np.abs(others - best) <= k).sum()))
    return float(np.mean(found))


def _starts(line: np.ndarray) -> np.ndarray:
    """Return the index of the first point of every run of equal values."""
    return np.flatnonzero(np.append(True, np.abs(np.diff(line)) > SAME))


def _minima(line: np.ndarray) -> np.ndarray:
    """Return the indices of local minima inside a line; for a run of equal values that of its first point."""
    kept = _starts(line)
    values = line[kept]
    lower = (values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])
    return kept[1:-1][lower]


def risk(profiles: np.ndarray, step: float, k: int) -> float:
    """Return the risk of non-convergence: the mean decrease of the loss with increasing distance from the optimum.

    ``1/(2rN) Σₙ Σₘ max(0, v(n, m ∓ 1) − v(n, m))`` over the points m within r of the optimum, where m ∓ 1 is the
    neighbour on the side of the optimum: a descent from there leads away from it.

    Args:
        profiles: ``(lines, points)``, scaled.
        step: δ, in any unit; the result is in its inverse.
        k: number of steps of r.
    """
    total = 0.0
    for line, best in zip(profiles, optimum(profiles), strict=True):
        for arm in (line[max(0, best - k) : best + 1][::-1], line[best : best + k + 1]):
            falls = -np.diff(arm)
            total += falls[falls > SAME].sum()
    return float(total / (2 * k * step * len(profiles)))


def attraction(shifted: np.ndarray, spread: float) -> float:
    """Return the excess of a loss at half-voxel shifts, as a fraction of ``spread``; negative if it is lower there.

    The reference is the cubic interpolation of four neighbouring whole-voxel shifts, ``(9 (b + c) - a - d) / 16``
    between b and c. The result is averaged over half-voxel shifts and axes.

    Args:
        shifted: values at shifts half a voxel apart, starting and ending at whole ones, ``(axes, points)``.
        spread: reference range of values, for example over all lines through the reference.
    """
    whole, half = shifted[:, ::2], shifted[:, 3:-3:2]
    inner, outer = whole[:, 1:-2] + whole[:, 2:-1], whole[:, :-3] + whole[:, 3:]
    return float((half - (9 * inner - outer) / 16).mean() / spread) if spread > 0 else 0.0


def measure(profiles: pd.DataFrame) -> pd.DataFrame:
    """Measure the profiles of every loss, for each kind of line and for all of them together.

    Args:
        profiles: ``dataset``, ``loss``, ``variant``, ``reference``, ``pair``, ``transform``, ``line``, ``distance``,
            ``value``, ``unit``, in the order of :func:`likeness.evaluation.landscape.sampled`.

    Returns:
        The columns :data:`COLUMNS`: ``pairs`` and ``lines`` are numbers; ``accuracy``, ``capture_range``, ``radius`` (r
        of the distinctiveness, averaged over pairs) and ``reach`` (half the length of the shortest line; a capture
        range of this size is a lower bound) are in ``unit``, ``distinctiveness`` and ``risk`` in 1/``unit``;
        ``attraction`` is averaged over pairs, in the row of all lines only. Measures are NaN if the loss was not finite
        at a point.
    """
    groups = [table for _, table in profiles.groupby(METHOD, sort=False)]
    return pd.DataFrame([row for table in groups for row in _measured(table)], columns=COLUMNS)


def block(table: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column of the profiles of one loss as ``(pairs, kinds, lines, points)``.

    Raises:
        ValueError: if a point occurs twice.
    """
    if table.duplicated(["pair", "transform", "line", "distance"]).any():
        msg = "a point of a line occurs twice; sample every pair only once"
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
        # all kinds and pairs have equal numbers of lines, so the mean of means is the mean over lines
        summary = dict(zip(names, chosen.mean((0, 1)), strict=True))
        summary["accuracy"] = np.sqrt(np.square(chosen[..., names.index("accuracy")]).mean())
        for name in ("capture_range", "reach"):
            summary[name] = chosen[..., names.index(name)].min()
        summary["attraction"] = float(np.mean(pulls)) if transform == ALL else np.nan
        counts = {"pairs": pairs, "lines": pairs * lines * (kinds if transform == ALL else 1)}
        who = {**first[METHOD], "transform": transform, "reference": first.reference}
        yield {**who, **counts, **summary, "unit": first.unit}


def _attraction(lines: np.ndarray, shifted: np.ndarray) -> float:
    """Compute the attraction to the grid for one pair, from all its lines and its shifts ``(axes, points)``."""
    if not (np.isfinite(lines).all() and np.isfinite(shifted).all()):
        return np.nan
    return attraction(shifted, float(lines.max() - lines.min()))


def _measures(values: np.ndarray, distances: np.ndarray) -> dict[str, float]:
    """Compute the measures of lines ``(lines, points)`` of one pair and kind."""
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
