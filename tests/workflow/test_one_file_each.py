"""Whatever there are many of is one file each: adding one edits no other file, and tables and figures have it."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from additions import DATASET, FIGURE, METHOD, METRIC, NETWORK
from edits import library, write_config
from project import copy_project, files, run, snakemake

MODULES = {
    "metrics/largest_stretch.py": METRIC,
    "figures/counts.py": FIGURE,
    "networks/convolution.py": NETWORK,
    "methods/shift.py": METHOD,
    "datasets/some_bars.py": DATASET,
}
"""What is added to the library, by its place there; a loss comes beside it, from its scaffold."""
STUDY = {
    "losses": {"absolute": None},
    "methods": {"convolution": {"kernel": 5}, "shift": {"damping": [0.4, 0]}},
    "datasets": {"some-bars": {"options": {"side": 24}}},
}
"""What a study says to have them; metrics and figures it has anyway."""
KEPT = {"losses": ["mse"], "methods": ["optimisation"], "datasets": ["mni-brain"]}
"""What it has of the smoke study beside them."""
TEXTS = """
import sys
from pathlib import Path

import pandas as pd
import yaml
from matplotlib.text import Text

from likeness.config.study import Study
from likeness.data.store import Dataset
from likeness.figures import scores
from likeness.statistics.aggregate import read_csv

study = Study.load(yaml.safe_load(Path(sys.argv[1]).read_text()), sys.argv[1])
results = Path(study.results)
tables = [read_csv(results / "tables" / f"{name}.csv") for name in ("summary", "runs", "selection", "verdicts")]
metas = {name: Dataset.open(results / "data" / name).meta for name in study.datasets}
figure = scores.draw(pd.read_parquet(results / "metrics.parquet"), *tables, metas, study.methods)
print(*(text.get_text() for text in figure.findobj(Text)), sep="\\n")
"""
"""Prints what the figure of scores says."""


def sources(project: Path) -> dict[str, bytes]:
    """Read everything that a study is made of, but what Python leaves beside it."""
    found = {
        f"{part}/{name}": text
        for part in ("workflow", "envs", "config")
        for name, text in files(project / part).items()
    }
    return {name: text for name, text in found.items() if "__pycache__" not in name}


@pytest.mark.slow
@pytest.mark.campaign
def test_one_file_each_is_all_that_a_study_needs(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    before = sources(project)
    run(project, "make loss NAME=absolute")
    for place, text in MODULES.items():
        (library(project) / place).write_text(text)
    smoke = yaml.safe_load((project / "config" / "smoke.yaml").read_text())
    merged = {key: {**{name: smoke[key][name] for name in KEPT[key]}, **said} for key, said in STUDY.items()}
    contrasts = [{"a": "absolute", "b": "mse"}]
    write_config(project, "added", {**smoke, **merged, "contrasts": contrasts, "results": "results/added"})
    snakemake(project, "added", "--cores", "2")
    assert_only_added(before, sources(project))
    assert_in_tables(project / "results" / "added")
    assert_in_figures(project)


def assert_only_added(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """Assert that no file was edited, and that there is one more of each, and the rule of the loss."""
    assert {name: after[name] for name in before} == before
    added = {f"workflow/lib/likeness/{place}" for place in (*MODULES, "losses/absolute.py")}
    assert set(after) - set(before) == {*added, "workflow/rules/losses/absolute.smk", "config/added.yaml"}


def assert_in_tables(results: Path) -> None:
    """Assert that every table of scores has the new metric of every method, and the new loss in every metric."""
    metrics = pd.read_parquet(results / "metrics.parquet")
    summary = pd.read_csv(results / "tables" / "summary.csv", keep_default_na=False)
    comparisons = pd.read_csv(results / "tables" / "comparisons.csv", keep_default_na=False)
    for table in (metrics, summary):
        stretch = table[table.metric == "largest_stretch"]
        assert set(stretch.label) == {"all"}
        assert set(zip(stretch.dataset, stretch.method, strict=True)) == set(
            zip(table.dataset, table.method, strict=True)
        )
        assert set(table.metric[table.loss == "absolute"]) == set(table.metric)
    added = summary[(summary.dataset == "some-bars") & (summary.method == "convolution")]
    assert {"dice", "largest_stretch"} <= set(added.metric[added.loss == "absolute"])
    assert "largest_stretch" in set(comparisons.metric)
    assert "absolute" in set(comparisons.a) | set(comparisons.b)
    # nothing moves where nothing is registered
    assert (metrics.value[(metrics.metric == "largest_stretch") & (metrics.method == "unregistered")] == 1).all()
    assert "absolute" in set(pd.read_csv(results / "tables" / "landscape.csv").loss)


def assert_in_figures(project: Path) -> None:
    """Assert that the new figure is there, and that those there were show the new loss and metric."""
    made = project / "results" / "added" / "figures"
    assert (made / "counts.png").read_bytes().startswith(b"\x89PNG")
    assert (made / "counts.pdf").read_bytes().startswith(b"%PDF")
    (project / "texts.py").write_text(TEXTS)
    shown = run(project, f"PYTHONPATH=workflow/lib {sys.executable} texts.py config/added.yaml").splitlines()
    assert {"absolute", "some-bars"} <= set(shown)
    assert any("One convolution" in text for text in shown)
    assert "Largest stretch ↓" in shown
