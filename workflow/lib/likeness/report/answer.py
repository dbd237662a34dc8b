"""The answer of a study, dataset by dataset: a sentence, the contrasts named beforehand, accuracy against roughness."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from likeness import metrics as cards
from likeness.methods.kinds import Methods
from likeness.report import drawing
from likeness.statistics.aggregate import COMPARED, name_of, overall
from likeness.statistics.matched import ROUGHNESS
from likeness.statistics.selection import primary_unit

BASELINE = "ncc_masked"
"""The loss beside which the answer sets the best."""
PANEL = (210, 180)
"""Size of a panel of accuracy against roughness, in CSS pixels."""


def sentences(dataset: str, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Say what the study found on a dataset: a text per method with losses, without markup."""
    picked = tables.get("picked", pd.DataFrame(columns=["dataset", "group", "over"]))
    rows = picked[(picked.dataset == dataset) & (picked.group == "all") & (picked.over == "unregistered")]
    if not len(rows):
        return ["No loss was picked on validation pairs here: the study has no table of what was picked, or no losses."]
    return [" ".join(_sentence(row, tables)) for row in rows.to_dict("records")]


def _sentence(row: Mapping[Any, Any], tables: Mapping[str, pd.DataFrame]) -> list[str]:
    title = cards.card(row["metric"])["title"]
    said = [f"By {row['method']}, {row['a']} was best on validation pairs."]
    if not pd.isna(row["gain"]):
        within = _within(row["gain"], row["low"], row["high"])
        subjects = f"{row['n_subjects']:g} subjects"
        said.append(f"On test pairs its gain in {title.lower()} over no registration is {within}, from {subjects}.")
    return [*said, *_against(row, tables), _untested(row, tables)]


def _against(row: Mapping[Any, Any], tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Compare the picked loss with the baseline, and list those that it could not be told from."""
    table = tables.get("comparisons", pd.DataFrame())
    if not len(table):
        return ["Losses were not compared: the study has no comparisons."]
    here = table[(table.dataset == row["dataset"]) & (table.method == row["method"]) & (table.metric == row["metric"])]
    mine = here[(here.a == row["a"]) | (here.b == row["a"])]
    mine = mine[(mine.a != "unregistered") & (mine.b != "unregistered")]
    sign = 1 if cards.card(row["metric"])["better"] == "higher" else -1
    said, alike = [], []
    for other in mine.to_dict("records"):
        turned = sign if other["a"] == row["a"] else -sign
        name = other["b"] if other["a"] == row["a"] else other["a"]
        low, high = sorted((turned * other["low"], turned * other["high"]))
        if name == BASELINE and not math.isnan(other["effect"]):
            said.append(f"Over masked NCC it gains {_within(turned * other['effect'], low, high)}.")
        if math.isnan(other["all_low"]) or other["all_low"] <= 0 <= other["all_high"]:
            alike.append(name)
    if row["a"] != BASELINE and not said:
        said.append("Masked NCC was not compared here.")
    told = f"It could not be told from {', '.join(alike)}" if alike else "All others could be told from it"
    return [*said, f"{told} (intervals that hold for all differences together)."]


def _untested(row: Mapping[Any, Any], tables: Mapping[str, pd.DataFrame]) -> str:
    table = tables.get("contrasts", pd.DataFrame())
    here = table[(table.dataset == row["dataset"]) & (table.method == row["method"])] if len(table) else table
    if not len(here):
        return "No contrast was named beforehand, so nothing was tested."
    silent = here[here.verdict.isna()]
    if not len(silent):
        return f"All {len(here)} named contrasts were tested."
    return f"{len(silent)} of {len(here)} named contrasts have no verdict: {_reasons(silent)}."


def _reasons(rows: pd.DataFrame) -> str:
    said = [part for note in rows.note.dropna() for part in str(note).split("; ") if "λ at" not in part]
    return "; ".join(dict.fromkeys(said)) or "no p could be given"


def _within(mean: float, low: float, high: float) -> str:
    return f"{mean:.3g}" + ("" if math.isnan(low) else f" (interval {low:.3g} to {high:.3g})")


def forest(dataset: str, tables: Mapping[str, pd.DataFrame]) -> list[dict[str, str]]:
    """Draw the contrasts of a dataset, one chart per method and metric: ``title`` and ``svg``."""
    table = tables.get("contrasts", pd.DataFrame())
    here = table[table.dataset == dataset] if len(table) else table
    charts = []
    for (method, metric), part in here.groupby(["method", "metric"], dropna=False, sort=False) if len(here) else ():
        better = cards.card(metric)["better"]
        rows = [
            {
                **{key: float(row[key]) for key in ("effect", "low", "high", "smallest")},
                "label": f"{row['a']} − {row['b']}",
                "said": row["verdict"] if isinstance(row["verdict"], str) else "no verdict",
            }
            for row in part.to_dict("records")
        ]
        unit = f"difference in {cards.card(metric)['title'].lower()}: {better or 'neither'} is better for the first"
        title = f"{dataset}, {method}: contrasts in {metric}"
        if svg := drawing.forest(rows, unit, title):
            charts.append({"title": f"{method}, {metric}", "svg": svg})
    return charts


def roughness(
    dataset: str, metrics: pd.DataFrame, methods: Methods, colours: Mapping[str, str]
) -> list[dict[str, str]]:
    """Draw accuracy against roughness along λ, a panel per loss with all others in grey behind it."""
    rows = metrics[(metrics.dataset == dataset) & (metrics.split == "test")]
    if not len(rows):
        return []
    metric, unit = primary_unit(metrics, dataset)
    scored = overall(rows[rows.metric.isin([metric, ROUGHNESS])])
    means = scored.groupby([*COMPARED, "lam", "metric"], dropna=False, observed=True)["value"].mean().reset_index()
    lines: dict[str, list[tuple[float, float]]] = {}
    looks: dict[str, str] = {}
    for key, part in means.groupby(COMPARED[1:], dropna=False, observed=True, sort=False):
        names: tuple[Any, ...] = key  # type: ignore[assignment]
        method, loss, variant = (None if pd.isna(value) else str(value) for value in names)
        if method is None or not methods[method].has_lam:
            continue
        both = part.pivot_table(index="lam", columns="metric", values="value")
        if {metric, ROUGHNESS} <= set(both.columns):
            name = f"{method}: {name_of(methods[method], loss or '', variant)}"
            known = both[[ROUGHNESS, metric]].dropna()
            lines[name] = [(float(x), float(y)) for x, y in known.to_numpy() if math.isfinite(x + y)]
            looks[name] = colours.get(loss or "", methods[method].colour)
    title = cards.card(metric)["title"]
    axes = ("roughness, std(log J)", title if unit == "1" else f"{title} ({unit.replace('um', 'µm')})")
    charts = []
    for front in lines:
        each = [{"points": lines[name], "colour": looks[name], "front": name == front} for name in lines]
        if svg := drawing.path(each, axes, front, PANEL):
            charts.append({"title": front, "svg": svg, "axis": axes[1]})
    return charts
