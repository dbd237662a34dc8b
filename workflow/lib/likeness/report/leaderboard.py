"""The leaderboard: what every loss gains over no registration, how sure that is, what it costs and what it needs.

``gain`` is the improvement of the primary score over the unregistered pairs, positive where registration helped, with
the λ of :mod:`likeness.statistics.matched`: the best among those with roughness of at most :data:`LIMIT`. Everything
else is at the λ that was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from likeness import losses
from likeness import metrics as cards
from likeness.methods.kinds import UNREGISTERED, Methods
from likeness.statistics.aggregate import COMPARED, name_of, overall, same
from likeness.statistics.inference import Estimate, Table
from likeness.statistics.matched import ROUGHNESS, TOO_ROUGH
from likeness.statistics.ranks import ALL

LIMIT = 0.2
"""Highest roughness, std(log J), at which gains are compared."""
BESIDE = ("hd95", "dice_instance", "tre", "ndv", "nda")
"""Metrics that stand beside the gain where a dataset has them."""
COLUMNS = [*COMPARED, "name", "supervision", "metric", "unit", "at_most", "n_subjects", "gain", "gain_low", "gain_high"]
COLUMNS += [*BESIDE, "rank", "rank_low", "rank_high", "seconds_per_pair", "peak_mb", "needs", "use_when", "note"]


def board(
    metrics: pd.DataFrame, tables: Mapping[str, pd.DataFrame], methods: Methods, confidence: float = 0.95
) -> pd.DataFrame:
    """Put the tables of a study beside each other.

    Args:
        metrics: metrics table, with ``chosen`` filled.
        tables: ``matched``, ``summary``, ``ranks`` and ``runtime``.
        methods: methods of the study.
        confidence: confidence level of the gains.

    Returns:
        The columns :data:`COLUMNS`, a row per dataset and method, loss and variant, in the order of the ranks; ``gain``
        is in the unit of the primary score, and null where no λ was smooth enough or the λ differs between seeds.
    """
    matched = tables["matched"]
    matched = matched[(matched.limit.astype(str) == f"{LIMIT:g}") & (matched.measure == ROUGHNESS)]
    matched = matched[matched.method != UNREGISTERED]
    rows = []
    for row in matched.to_dict("records"):
        key = [row[column] for column in COMPARED]
        method = methods[row["method"]]
        found: dict[str, Any] = dict(zip(COMPARED, key, strict=True))
        found |= {"name": name_of(method, row["loss"], row["variant"]), "metric": row["metric"], "at_most": LIMIT}
        found |= _gained(metrics, row, confidence) | _beside(tables["summary"], key, row["metric"])
        found |= (
            _ranked(tables["ranks"], key)
            | _cost(metrics, tables["runtime"], key)
            | _told(method.uses_loss, row["loss"])
        )
        rows.append(found)
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["dataset", "method", "rank", "name"], kind="stable", na_position="last")


def _gained(metrics: pd.DataFrame, row: Mapping[Any, Any], confidence: float) -> dict[str, Any]:
    """Return the gain of a row of the matched table over no registration, of the same pairs."""
    note = "" if pd.isna(row["note"]) else row["note"]
    test = metrics[(metrics.dataset == row["dataset"]) & (metrics.split == "test") & (metrics.metric == row["metric"])]
    own = same(test, [row[column] for column in COMPARED])
    if not pd.isna(row["lam"]):
        own &= np.isclose(test.lam.astype(float), row["lam"])
    mean = Estimate(np.nan, np.nan, np.nan, 0, 0, (), False)
    if TOO_ROUGH not in note and own.any():
        table = Table(overall(test[own | (test.method == UNREGISTERED)]))
        places = [place for place, name in enumerate(table.names) if name[4] in ("all", "mean")]
        before = next((place for place in places if table.names[place][0] == UNREGISTERED), None)
        after = next((place for place in places if place != before), None)
        if before is not None and after is not None:
            mean = table.differences([(after, before)])[0]
            note = "; ".join(filter(None, dict.fromkeys([note, *mean.notes])))
    elif not own.any():
        note = "; ".join(filter(None, [note, "no gain: λ differs between seeds, or diverged"]))
    sign = 1 if cards.card(row["metric"])["better"] == "higher" else -1
    ends = sorted(sign * end for end in mean.interval(confidence)) if not np.isnan(mean.mean) else [np.nan, np.nan]
    found = {"gain": sign * mean.mean, "gain_low": ends[0], "gain_high": ends[1], "n_subjects": row["n_subjects"]}
    return {**found, "note": note}


def _beside(summary: pd.DataFrame, key: list[Any], primary: str) -> dict[str, Any]:
    rows = summary[same(summary, key) & summary.label.isin(["all", "mean"])]
    means = rows.drop_duplicates("metric").set_index("metric")
    units = means.unit.to_dict()
    return {"unit": units.get(primary)} | {name: means["mean"].get(name, np.nan) for name in BESIDE}


def _ranked(ranks: pd.DataFrame, key: list[Any]) -> dict[str, Any]:
    rows = ranks[same(ranks, key) & (ranks.group == ALL)]
    if not len(rows):
        return {}
    first = rows.iloc[0]
    return {"rank": first["rank"], "rank_low": first["low"], "rank_high": first["high"]}


def _cost(metrics: pd.DataFrame, runtime: pd.DataFrame, key: list[Any]) -> dict[str, Any]:
    """Return memory and seconds per pair, of all λ and seeds, of the jobs that make the fields, without training."""
    rows = runtime[same(runtime, key) & runtime.rule.isin(["optimise", "register", "classical"])]
    pairs = len(metrics[same(metrics, key)][["moving", "fixed"]].drop_duplicates())
    seconds = rows.seconds.sum() / pairs if pairs and len(rows) else np.nan
    return {"seconds_per_pair": seconds, "peak_mb": rows.peak_mb.max()}


def _told(uses_loss: bool, loss: str) -> dict[str, Any]:
    """Say what a loss needs and when its card speaks for it."""
    if not uses_loss:
        return {
            "supervision": None,
            "needs": "",
            "use_when": "a method without a loss of the study is to be compared with",
        }
    card = losses.card(loss)
    needs = list(card["requires"])
    needs += [f"extractor {card['extractor']}"] if card["extractor"] else []
    return {"supervision": card["supervision"], "needs": ", ".join(needs), "use_when": "; ".join(_when(card))}


def _when(card: Mapping[str, Any]) -> Iterator[str]:
    said = {
        "none": "there are no labels and nothing to train on",
        "external": "published weights fit the images",
        "in-domain": "there are unlabelled images to train features on",
        "labels": "there are labelled images to train on",
    }
    if card.get("oracle"):
        yield "never for a ranking: it reads the labels of the pair that it registers"
        return
    yield said[card["supervision"]]
    if card["invariances"]:
        yield f"intensities may differ by {', '.join(card['invariances'])}"
    if card["requires"]:
        yield f"there are {', '.join(card['requires'])} of both images"


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the leaderboard with numbers as text and intervals in one column, for reading."""
    said = {
        "Dataset": table.dataset,
        "Method": table.method,
        "Loss": table.name,
        "Supervision": table.supervision.astype(object).fillna("–"),
        "Gain": [_interval(*row) for row in table[["gain", "gain_low", "gain_high"]].itertuples(index=False)],
        "Unit": [
            f"{unit} {metric}" for unit, metric in zip(table.unit.astype(object).fillna(""), table.metric, strict=True)
        ],
        **{name: table[name].map(_number) for name in BESIDE if table[name].notna().any()},
        "Rank": [_ranks(*row) for row in table[["rank", "rank_low", "rank_high"]].itertuples(index=False)],
        "s/pair": table.seconds_per_pair.map(_number),
        "MB": table.peak_mb.map(_number),
        "Needs": table.needs,
        "Use when": table.use_when,
    }
    return pd.DataFrame(said)


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _interval(mean: float, low: float, high: float) -> str:
    within = "" if pd.isna(low) else f" ({_number(low)} to {_number(high)})"
    return _number(mean) + within


def _ranks(rank: float, low: float, high: float) -> str:
    return _number(rank) + ("" if pd.isna(low) else f" ({_number(low)}–{_number(high)})")


def markdown(table: pd.DataFrame) -> str:
    """Write the leaderboard as a Markdown table."""
    read = shown(table)
    lines = [list(read.columns), ["---"] * len(read.columns), *read.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def latex(table: pd.DataFrame) -> str:
    """Write the leaderboard as a LaTeX table that needs the package booktabs alone."""
    read = shown(table).drop(columns=["Use when"]).astype(str)
    escapes = str.maketrans({**{c: f"\\{c}" for c in "&%$#_{}"}, "–": "--", "²": "$^2$", "µ": "$\\mu$"})
    lines = [" & ".join(cell.translate(escapes) for cell in line) + r" \\" for line in read.to_numpy().tolist()]
    head = " & ".join(column.translate(escapes) for column in read.columns) + r" \\"
    top = [rf"\begin{{tabular}}{{{'l' * len(read.columns)}}}", r"\toprule", head, r"\midrule"]
    return "\n".join([*top, *lines, r"\bottomrule", r"\end{tabular}"]) + "\n"
