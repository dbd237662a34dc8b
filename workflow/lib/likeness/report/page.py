"""The report: one page with everything that a study found, which works offline and loads nothing from elsewhere.

Charts are inline SVG and the page's own script is plain JavaScript: a library for charts would be larger than all of
the rest, and would do neither the viewer nor the ranks.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from likeness import losses
from likeness import metrics as cards
from likeness.data.store import Dataset
from likeness.methods.kinds import Methods
from likeness.report import answer, marks, quality, ranking, viewer
from likeness.report.leaderboard import BESIDE
from likeness.results import Run
from likeness.statistics.aggregate import COMPARED, name_of

TEMPLATES = Path(__file__).parent / "templates"
WIDEST = 1600
"""Width in pixels to which figures are reduced in the page; the files beside it are as drawn."""
LARGEST_PDF = 150_000
"""Bytes up to which a figure's PDF is carried in the page; a larger one is linked where it lies beside the page."""


@dataclass(frozen=True)
class Study:
    """Everything that the page is made from.

    Attributes:
        title: of the study.
        demonstration: whether its results are for demonstration only.
        configuration: text of its configuration files by path.
        metrics: metrics table.
        tables: its tables by name; whatever is missing is said in its place.
        texts: the same tables as CSV, for download.
        figures: PNG and PDF by name.
        captions: reStructuredText by name of the figure.
        datasets: prepared datasets.
        sheets: numbers of their data sheets.
        samples: runs and their archives of fields.
        methods: of the study.
        looks: of its losses, see :func:`likeness.figures.looks.look`.
    """

    title: str
    demonstration: bool
    configuration: Mapping[str, str]
    metrics: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    texts: Mapping[str, str]
    figures: Mapping[str, tuple[Path, Path]]
    captions: Mapping[str, str]
    datasets: Sequence[Dataset]
    sheets: Sequence[Mapping[str, Any]]
    samples: Sequence[tuple[Run, Path]]
    methods: Methods
    looks: Mapping[str, Mapping[str, Any]]


def render(study: Study) -> str:
    """Write the page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    sections = {
        "study": study,
        "answers": [_answer(study, sheet) for sheet in study.sheets],
        "findings": quality.findings(study.tables, study.sheets),
        "runs": _hardware(study.tables.get("runtime")),
        "board": _board(study),
        "figures": [_figure(study, name, *files) for name, files in study.figures.items()],
        "losses": [{"name": name, **losses.card(name)} for name in study.looks],
        "metrics": [{"name": n, **cards.card(n)} for n in cards.names() if n in set(study.metrics.metric)],
        "bibliography": _bibliography(study),
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "scripts": [Markup(path.read_text(encoding="utf-8")) for path in sorted(TEMPLATES.glob("*.js"))],
        "carried": {
            "ranking": embedded(ranking.carried(study.metrics, study.methods)),
            "viewer": embedded(_viewed(study)),
            "tables": embedded({name: _zipped(text) for name, text in study.texts.items()}),
        },
    }
    return environment.get_template("page.html.j2").render(sections)


def embedded(value: Any) -> Markup:
    """Return a value as JSON that may stand in a script element, whatever text is in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _zipped(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _answer(study: Study, sheet: Mapping[str, Any]) -> dict[str, Any]:
    name = sheet["name"]
    colours = {loss: look["colour"] for loss, look in study.looks.items()}
    return {
        "name": name,
        "sheet": sheet,
        "sentences": answer.sentences(name, study.tables),
        "forest": answer.forest(name, study.tables),
        "contrasts": _contrasts(study, sheet),
        "roughness": answer.roughness(name, study.metrics, study.methods, colours),
    }


def _contrasts(study: Study, sheet: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the contrasts of a dataset with the four marks of both sides, the worse of the two for each."""
    table = study.tables.get("contrasts", pd.DataFrame())
    here = table[table.dataset == sheet["name"]] if len(table) else table
    found = []
    for row in here.to_dict("records"):
        sides = [_marks(study, sheet, key, row["n_subjects"]) for key in _keys(study, row)]
        worse = [max(pair, key=lambda mark: mark.state == marks.BAD) for pair in zip(*sides, strict=True)]
        found.append({**row, "marks": worse})
    return found


def _keys(study: Study, row: Mapping[Any, Any]) -> list[list[Any]]:
    """Return dataset, method, loss and variant of both sides of a contrast."""
    runs = study.metrics[study.metrics.dataset == row["dataset"]][COMPARED].drop_duplicates()
    found = []
    for side in (row["a"], row["b"]):
        for key in runs.astype(object).to_numpy().tolist():
            method = study.methods[key[1]]
            mine = key[1] == row["method"] or not method.uses_loss
            if mine and name_of(method, key[2], key[3]) == side:
                found.append(key)
    return found


def _marks(study: Study, sheet: Mapping[str, Any], key: list[Any], subjects: float) -> list[marks.Mark]:
    return marks.marks(study.tables, key, subjects, bool(sheet["within_subject"]))


def _hardware(runtime: pd.DataFrame | None) -> dict[str, Any] | None:
    """Sum up the jobs of a study: commits, processors, hours, memory, and time per rule."""
    if runtime is None or not len(runtime):
        return None
    rules = runtime.groupby("rule", sort=False).agg(
        jobs=("seconds", "size"), seconds=("seconds", "sum"), cpu=("cpu_seconds", "sum"), memory=("peak_mb", "max")
    )
    told = {key: sorted(set(runtime[key].dropna().astype(str))) for key in ("commit", "processor", "gpu")}
    ends = sorted(runtime.finished.dropna().astype(str))
    return {**told, "finished": ends[-1:] and ends[-1], "rules": rules.reset_index().to_dict("records")}


def _board(study: Study) -> dict[str, Any]:
    """Return the rows of the leaderboard with their marks, and the metrics that stand beside the gain."""
    table = study.tables.get("leaderboard", pd.DataFrame())
    sheets = {sheet["name"]: sheet for sheet in study.sheets}
    rows = []
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        key = [row[column] for column in COMPARED]
        subjects = float("nan") if row["n_subjects"] is None else row["n_subjects"]
        row["id"] = ranking.identity(row["method"], row["name"])
        row["colour"] = study.looks[row["loss"]]["colour"] if row["loss"] else study.methods[row["method"]].colour
        row["marks"] = _marks(study, sheets[row["dataset"]], key, subjects)
        rows.append(row)
    beside = [name for name in BESIDE if any(row[name] is not None for row in rows)]
    return {"rows": rows, "beside": beside}


def _figure(study: Study, name: str, png: Path, pdf: Path) -> dict[str, Any]:
    with Image.open(png) as opened:
        image = opened.convert("RGB")
    if image.width > WIDEST:
        image = image.resize((WIDEST, round(image.height * WIDEST / image.width)), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    image.save(written, "WEBP", quality=80, method=4)
    data = pdf.read_bytes()
    carried = len(data) <= LARGEST_PDF
    title, how = caption(study.captions[name])
    return {
        "name": name,
        "title": title,
        "how": how,
        "size": image.size,
        "image": f"data:image/webp;base64,{base64.b64encode(written.getvalue()).decode()}",
        "pdf": f"data:application/pdf;base64,{base64.b64encode(data).decode()}" if carried else f"figures/{pdf.name}",
        "png": f"figures/{png.name}",
    }


def caption(text: str) -> tuple[str, list[Markup]]:
    """Split a figure's caption into its title and paragraphs, with emphasis and code as HTML."""
    parts = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    head = re.match(r"\*\*(.+?)\*\*\s*", parts[0])
    title = head.group(1).rstrip(".") if head else ""
    parts[0] = parts[0][head.end() :] if head else parts[0]
    return title, [_marked(part) for part in parts if part]


def _marked(text: str) -> Markup:
    found = str(escape(text))
    found = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", found)
    found = re.sub(r"``(.+?)``", r"<code>\1</code>", found)
    return Markup(re.sub(r"\*(.+?)\*", r"<em>\1</em>", found))


def _viewed(study: Study) -> list[dict[str, Any]]:
    """Return the pair of every dataset that has samples, with the first seed of each loss."""
    found = []
    for dataset in study.datasets:
        first: dict[str, tuple[Run, str, Path]] = {}
        for run, path in study.samples:
            if run.dataset == dataset.name:
                name = name_of(study.methods[run.method], run.loss or "", run.variant)
                first.setdefault(ranking.identity(run.method, name), (run, name, path))
        carried = viewer.carried(dataset, list(first.values()))
        if carried is not None:
            carried["chosen"] = _chosen(study, dataset.name)
            found.append(carried)
    return found


def _chosen(study: Study, dataset: str) -> dict[str, float]:
    """Return the λ that was chosen, by what a row of the page is known by."""
    table = study.tables.get("selection", pd.DataFrame())
    here = table[table.dataset == dataset] if len(table) else table
    rows = here[here.lam.notna()].drop_duplicates(COMPARED).astype(object).to_dict("records") if len(here) else []
    return {
        ranking.identity(row["method"], name_of(study.methods[row["method"]], row["loss"], row["variant"])): row["lam"]
        for row in rows
    }


def _bibliography(study: Study) -> str:
    """Return BibTeX of what was used: losses and metrics by DOI, datasets by the citation on their sheet."""
    found = {}
    for kind, name, doi, title in [
        *(("loss", name, losses.card(name)["doi"], losses.card(name)["title"]) for name in study.looks),
        *(("metric", n, cards.card(n)["doi"], cards.card(n)["title"]) for n in sorted(set(study.metrics.metric))),
    ]:
        if doi and doi not in found:
            found[doi] = f"@misc{{{kind}_{name},\n  note = {{{kind} {title}}},\n  doi = {{{doi}}}\n}}"
    cited = [(sheet["name"], sheet["citation"]) for sheet in study.sheets if sheet["citation"]]
    notes = [f"@misc{{dataset_{name},\n  note = {{dataset: {citation}}}\n}}" for name, citation in cited]
    return "\n\n".join([*found.values(), *notes])
