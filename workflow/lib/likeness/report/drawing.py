"""Charts of the page as inline SVG: text stays text, colours follow light and dark, and no library is carried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

ROW, LEFT, PLOT, RIGHT = 24, 210, 330, 170
"""Height of a row, and widths of labels, of the plot and of the numbers beside it, in CSS pixels."""


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from ``low`` to ``high``, at most ``most`` of them."""
    span = (high - low) or 1.0
    step = 10 ** math.floor(math.log10(span / most))
    step = next(step * times for times in (1, 2, 5, 10, 20) if span / (step * times) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def forest(rows: Sequence[Mapping[str, Any]], unit: str, title: str) -> str:
    """Draw differences with their intervals, a row each; empty without rows.

    Args:
        rows: ``label``, ``effect``, ``low``, ``high`` (NaN where unknown), ``smallest`` (or NaN), ``said``.
        unit: of the differences.
        title: the text alternative.
    """
    known = [row[key] for row in rows for key in ("effect", "low", "high") if math.isfinite(row[key])]
    if not known:
        return ""
    low, high = min([0.0, *known]), max([0.0, *known])
    pad = 0.05 * ((high - low) or 1.0)
    low, high = low - pad, high + pad

    def at(value: float) -> float:
        return LEFT + PLOT * (min(max(value, low), high) - low) / (high - low)

    tall = ROW * len(rows) + 44
    parts = [f'<line class="zero" x1="{at(0):.1f}" x2="{at(0):.1f}" y1="4" y2="{tall - 40}"/>']
    for number, row in enumerate(rows):
        parts.append(_difference(row, 16 + ROW * number, at))
    axis = tall - 36
    for tick in ticks(low, high):
        parts.append(f'<line class="tick" x1="{at(tick):.1f}" x2="{at(tick):.1f}" y1="{axis}" y2="{axis + 4}"/>')
        parts.append(f'<text class="num" x="{at(tick):.1f}" y="{axis + 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text class="note" x="{LEFT + PLOT / 2}" y="{tall - 4}" text-anchor="middle">{escape(unit)}</text>')
    return _svg(LEFT + PLOT + RIGHT, tall, title, parts)


def _difference(row: Mapping[str, Any], y: float, at: Any) -> str:
    label = f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(row["label"])}</text>'
    said = f'<text class="note" x="{LEFT + PLOT + 10}" y="{y + 4}">{escape(row["said"])}</text>'
    if not math.isfinite(row["effect"]):
        return label + said
    bar = ""
    if math.isfinite(row["smallest"]):
        one, other = at(-row["smallest"]), at(row["smallest"])
        bar = f'<rect class="equal" x="{one:.1f}" y="{y - 9}" width="{other - one:.1f}" height="18"/>'
    if math.isfinite(row["low"]):
        bar += f'<line class="bar" x1="{at(row["low"]):.1f}" x2="{at(row["high"]):.1f}" y1="{y}" y2="{y}"/>'
    return f'{bar}<circle class="dot" cx="{at(row["effect"]):.1f}" cy="{y}" r="4"/>{label}{said}'


def path(lines: Sequence[Mapping[str, Any]], axes: tuple[str, str], title: str, size: tuple[int, int]) -> str:
    """Draw one panel of small multiples: lines with points, one in colour before all others in grey.

    Args:
        lines: ``points`` (x, y), ``colour``, ``front`` (whether it stands in front, in its colour) and ``title``.
        axes: labels of the horizontal and the vertical axis.
        title: the text alternative, also written above.
        size: width and height in CSS pixels.
    """
    points = [point for line in lines for point in line["points"]]
    if not points:
        return ""
    wide, tall = size
    (x0, x1), (y0, y1) = (_range([point[place] for point in points]) for place in (0, 1))
    left, top, right, bottom = 44, 22, wide - 8, tall - 34

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * (x - x0) / (x1 - x0), bottom - (bottom - top) * (y - y0) / (y1 - y0)

    parts = [f'<rect class="frame" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/>']
    for tick in ticks(x0, x1, 4):
        parts.append(
            f'<text class="num" x="{place(tick, y0)[0]:.1f}" y="{bottom + 13}" text-anchor="middle">{tick:g}</text>'
        )
    for tick in ticks(y0, y1, 4):
        parts.append(
            f'<text class="num" x="{left - 4}" y="{place(x0, tick)[1] + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    parts += [_line(line, place) for line in sorted(lines, key=lambda line: line["front"])]
    parts.append(f'<text x="{left}" y="14">{escape(title)}</text>')
    parts.append(
        f'<text class="note" x="{(left + right) / 2}" y="{tall - 5}" text-anchor="middle">{escape(axes[0])}</text>'
    )
    return _svg(wide, tall, f"{title}: {axes[1]} against {axes[0]}", parts)


def _line(line: Mapping[str, Any], place: Any) -> str:
    placed = [place(*point) for point in line["points"]]
    where = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    if not line["front"]:
        return f'<polyline class="behind" points="{where}"/>'
    colour = escape(line["colour"])
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed)
    return f'<polyline class="front" stroke="{colour}" points="{where}"/>{dots}'


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = 0.06 * ((high - low) or abs(high) or 1.0)
    return low - pad, high + pad


def _svg(wide: float, tall: float, title: str, parts: Sequence[str]) -> str:
    head = f'<svg role="img" viewBox="0 0 {wide:g} {tall:g}" width="{wide:g}" aria-label="{escape(title)}">'
    return f"{head}<title>{escape(title)}</title>{''.join(parts)}</svg>"
