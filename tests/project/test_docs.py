"""Documentation is run, and what it repeats is up to date."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import yaml
from project import ROOT, copy_project, run

from likeness import figures, losses, metrics
from likeness.datasets import recipes

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]
PAGES.sort()
LONGEST = 200
"""Lines of the README, which is to be read at once; what it leaves out has pages of its own."""


def generator() -> ModuleType:
    path = ROOT / "workflow" / "tools" / "docs.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: str) -> list[tuple[str, str]]:
    """Give language and text of every fenced block that names a language."""
    return FENCE.findall((ROOT / page).read_text())


def follow(folder: Path, language: str, text: str) -> None:
    """Write the file that a block names in its first line, or run the block."""
    if language == "bash":
        run(folder, text)
        return
    file = folder / text.partition("\n")[0].removeprefix("# ")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.partition("\n")[2])


@pytest.mark.slow
@pytest.mark.campaign
def test_the_examples_of_contributing_work_as_they_stand(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    for language, text in blocks("CONTRIBUTING.md"):
        follow(project, language, text)
    first = pd.read_csv(project / "results" / "try" / "tables" / "summary.csv")
    assert set(first.loss.dropna()) == {"mse", "charbonnier"}
    results = project / "results" / "mine"
    table = pd.read_csv(results / "tables" / "summary.csv")
    assert "charbonnier" in set(table.loss)
    scores = table[(table.metric == "dice") & (table.label == "mean")].set_index("method")
    # what was given is on all pairs, and better than nothing
    assert scores.n_missing["demons"] == 0
    assert scores["mean"]["demons"] > scores["mean"]["unregistered"]
    # the network registers with every loss of the study
    assert set(table[table.method == "dilated"].loss) == {"mse", "charbonnier"}
    assert scores["mean"]["dilated"].notna().all()
    for figure in ("img_sample", "before_after"):
        assert (results / "figures" / f"{figure}.png").is_file()
    assert (results / "datasets" / "discs.md").is_file()
    assert "| `charbonnier` | Charbonnier |" in (project / "docs" / "losses.md").read_text()
    assert "| `stretched` | Stretched |" in (project / "docs" / "evaluation.md").read_text()


def test_what_an_example_writes_is_formatted(tmp_path: Path) -> None:
    for language, text in blocks("CONTRIBUTING.md"):
        if language != "bash":
            follow(tmp_path, language, text)
    run(tmp_path, f"ruff check --ignore I001 --config {ROOT / 'pyproject.toml'} workflow")
    run(tmp_path, f"ruff format --check --config {ROOT / 'pyproject.toml'} .")


def test_contributing_has_an_example_of_everything_that_is_added() -> None:
    written = {text.partition("\n")[0].removeprefix("# ") for _, text in blocks("CONTRIBUTING.md")}
    for folder in ("losses", "networks", "figures", "metrics"):
        assert any(name.startswith(f"workflow/lib/likeness/{folder}/") for name in written), folder
    assert {"data/discs/dataset.yaml", "config/mine.yaml", "data/register.py"} <= written


@pytest.mark.parametrize("page", PAGES)
def test_generated_tables_are_up_to_date(page: str) -> None:
    assert generator().page(ROOT / page) == (ROOT / page).read_text(), f"{page} is out of date: run `make docs`"


@pytest.mark.parametrize("room", [losses, metrics, figures], ids=["losses", "metrics", "figures"])
def test_some_page_lists_everything_in_a_room_and_nothing_else(room: ModuleType) -> None:
    text = "".join((ROOT / page).read_text() for page in PAGES)
    table = text.partition(f"<!-- generated: {room.__name__.split('.')[-1]} -->")[2].partition("<!-- end -->")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == room.names()


def test_the_datasets_page_lists_every_builtin_dataset_and_marks_stress_tests() -> None:
    page = (ROOT / "docs" / "dataset.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \| [23]D \|(.*)$", page, re.MULTILINE))
    assert list(rows) == recipes.names()
    assert all("stress test" in rows[name] for name in ("mni-brain", "mni-brain-3d", "mni-head"))


def test_the_first_screen_says_what_it_is_shows_a_figure_and_the_two_commands() -> None:
    screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:20])
    for wanted in ("make try", "make figures", "make test", "![", "simulated"):
        assert wanted in screen


def test_the_readme_is_short_and_leads_to_every_other_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= LONGEST
    assert {page for page in PAGES if f"]({page}" in text} == {page for page in PAGES if page != "README.md"}


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_project_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", (ROOT / page).read_text()):
        name, _, heading = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        assert file.exists(), f"{page}: {target}"
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert heading in anchors, f"{page}: {target}"


def test_every_make_target_that_pages_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"`?make ([a-z]+)\b(?=[` \n])", "\n".join(code(page)))) <= targets


def code(page: str) -> list[str]:
    """Give everything in a page that is set as code."""
    text = (ROOT / page).read_text()
    return [match for _, match in FENCE.findall(text)] + re.findall(r"`[^`\n]+`", text)


@pytest.mark.parametrize("page", ["README.md", "docs/configuration.md"])
def test_the_example_of_a_configuration_is_one(page: str) -> None:
    from likeness.config.study import Study
    from likeness.userinput.errors import ConfigurationError

    (example,) = [text for language, text in blocks(page) if language == "yaml" and text.startswith("title:")]
    with pytest.raises(ConfigurationError, match="data/mine: no such folder"):
        Study.load(yaml.safe_load(example))


def test_make_losses_shows_every_loss_with_its_options() -> None:
    call = [sys.executable, "workflow/tools/losses.py"]
    lines = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[0] for line in lines[2:] if not line.startswith(" ")] == losses.names()
    assert any("mind " in line and "radius=2 dilation=2" in line for line in lines)
