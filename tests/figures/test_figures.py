"""The figures of a study: complete, legible, the same bytes twice, one colour per loss."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_study import (
    DATASETS,
    LOSSES,
    METHODS,
    Made,
    Study,
    audits,
    chosen,
    only_made_up_losses,
    profiles,
    subjects,
    traces,
)
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.text import Text

from likeness import figures, losses
from likeness.data.store import Dataset
from likeness.figures import (
    convergence,
    effort,
    img_sample,
    landscape,
    search,
    style,
)
from likeness.results import KEYS
from likeness.statistics.agreement import agree
from likeness.statistics.comparisons import compare
from likeness.statistics.landscape import measure
from likeness.statistics.matched import match
from likeness.statistics.ranks import rank
from likeness.statistics.selection import candidates, choose
from likeness.statistics.summary import summarise
from likeness.statistics.verdicts import summarise as summarise_verdicts

SMALL = Study([Made("mni-brain", subjects=4, pairs=3)], ["mse", "ncc"])
LARGE = Study()
MANY = Study(
    [*DATASETS, Made("brain-ptbp", dims=3, field=False, stress_test=False), Made("em", field=False, unit="um")],
    variants={"mind": ("dilation-3", "radius-1"), "deepsim_seg": ("stage-1", "stage-2"), "ncc": ("window-5",)},
    seeds=(0, 1),
)
NAMES = [name for name in figures.names() if not {"prepared", "samples"} & {*figures.card(name)["reads"]}]
"""Every figure that needs no images."""


@pytest.fixture(autouse=True)
def cards(tmp_path: Path) -> Iterator[None]:
    with only_made_up_losses(tmp_path / "losses"):
        yield


CHOSEN: dict[int, pd.DataFrame] = {}
DRAWN: dict[tuple[str, int], Figure] = {}


def drawn(name: str, study: Study) -> Figure:
    """Draw a figure once for all tests that only look at it."""
    key = (name, id(study))
    if key not in DRAWN:
        if id(study) not in CHOSEN:
            CHOSEN[id(study)] = chosen(study)
        DRAWN[key] = draw(name, study, CHOSEN[id(study)].copy())
    return DRAWN[key]


def draw(name: str, study: Study, metrics: pd.DataFrame) -> Figure:
    reads = figures.card(name)["reads"]
    figure = import_module(f"likeness.figures.{name}").draw(**{key: READERS[key](study, metrics) for key in reads})
    style.stamp(figure)
    return figure


READERS: dict[str, Callable[[Study, pd.DataFrame], Any]] = {
    "metrics": lambda _, metrics: metrics,
    "summary": lambda _, metrics: summarise(metrics, METHODS, {}),
    "comparisons": lambda _, metrics: compare(metrics, METHODS, {}),
    "ranks": lambda _, metrics: rank(metrics, METHODS, {}, ()),
    "agreement": lambda _, metrics: agree(metrics, match(metrics, METHODS), METHODS),
    "selection": lambda _, metrics: choose(candidates(metrics, METHODS), METHODS),
    "runs": lambda study, _: learners(study),
    "verdicts": lambda study, _: verdicts(study),
    "audit": lambda study, _: audits(study),
    "curves": lambda study, _: study.curves(),
    "traces": lambda study, _: traces(study)[0],
    "runtime": lambda study, _: traces(study)[1],
    "profiles": lambda study, _: profiles(study),
    "measures": lambda study, _: measure(profiles(study)),
    "datasets": lambda study, _: study.metas(),
    "methods": lambda study, _: study.methods,
}
"""What figures read, made up; see ``workflow/scripts/plot.py``."""


def verdicts(study: Study) -> pd.DataFrame:
    """Make up which searches have converged: all but those of one loss."""
    metrics = {made.name: "epe" if made.field else "dice" for made in study.datasets}
    table = summarise_verdicts(audits(study), metrics)
    return table.assign(settled=table.loss != "ncc")


def learners(study: Study) -> pd.DataFrame:
    """Make up which runs stand on an extractor that was still learning, and which left pairs unconverged."""
    runs = [run for made in study.datasets for run in study.runs(made)]
    table = pd.DataFrame(runs, columns=list(KEYS)).astype({"seed": "Int64"})
    chosen = choose(candidates(study.metrics(), METHODS), METHODS).astype({"seed": "Int64"})
    table = table.merge(chosen[[*KEYS, "lam"]], how="left")
    learning = [True if loss == "deepsim_ae" else None for loss in table.loss]
    converged = np.where(table.loss == "mse", 0.9, 1.0)
    return table.assign(extractor_learning=learning, extractor_weak=None, attained=True, converged=converged)


def texts(figure: Figure) -> list[Text]:
    """List the texts of a figure that are visible, ticks outside the axis left out."""
    found = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    hidden: set[Text] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
                hidden |= {label for label in (tick.label1, tick.label2) if not label.get_visible()}
    return [t for t in found if t not in hidden]


def assert_legible(figure: Figure) -> None:
    """Assert that every text is at least 7 points, inside the figure, and clear of every other text."""
    figure.draw_without_rendering()
    boxes = [(t, t.get_window_extent()) for t in texts(figure)]
    page = figure.bbox
    for text, box in boxes:
        assert text.get_fontsize() >= style.SMALL, text
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= page.x1 + 1, text
        assert box.y1 <= page.y1 + 1, text
    for (one, a), (other, b) in combinations(boxes, 2):
        wide, tall = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(wide, tall) < 2, f"{one} overlaps {other}"


def words(figure: Figure) -> str:
    return "\n".join(t.get_text() for t in texts(figure))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("study", [SMALL, LARGE], ids=["small", "large"])
def test_figures_are_legible_and_fit_a_page(name: str, study: Study):
    figure = drawn(name, study)
    assert_legible(figure)
    assert figure.get_figwidth() <= style.WIDTH
    said = words(figure)
    assert "Demonstration: not evidence" in said
    if "datasets" in figures.card(name)["reads"]:
        assert said.count("stress test") == sum(made.stress_test for made in study.datasets)
        assert all(LOSSES[loss][0] in said for loss in study.losses)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_six_datasets_and_variants_are_legible(name: str):
    figure = drawn(name, MANY)
    assert_legible(figure)
    assert "datasets" not in figures.card(name)["reads"] or "MIND-SSC · dilation-3" in words(figure)


def test_what_does_not_apply_and_what_diverged_is_said():
    said = words(drawn("scores", LARGE)).split("\n")
    assert said.count("n/a") == 4
    # of a loss each, two panels of each of four datasets
    assert said.count("†") == 8
    # of two losses: a second round changed one, pairs of the other ended at the cap
    assert sum("§" in line for line in said) == 16
    assert said.count("diverged") == 2
    assert "diverged" in words(drawn("tuning", LARGE))
    assert "folds too much" in words(drawn("tuning", LARGE))
    assert "diverged" in words(drawn("convergence", LARGE))


def test_the_table_of_measures_says_what_is_unknown():
    said = words(drawn("landscape", LARGE)).split("\n")
    # two losses on one dataset, one loss that is not finite on another, six measures each
    assert (said.count("n/a"), said.count("–")) == (12, 6)
    assert "≥10" in said


def test_a_study_without_searches_says_so():
    empty, took = traces(SMALL)
    metas, metrics = SMALL.metas(), chosen(SMALL)
    assert "The study has no" in words(search.draw(audits(SMALL)[:0], metrics, metas, SMALL.methods))
    assert "The study has no" in words(effort.draw(empty[:0], took, metrics, metas, SMALL.methods))


def test_a_pair_that_has_ended_keeps_its_score():
    rows = [
        (*["d", "m", "l", "v", 1], 0.1, "a", "b", 10, 0.0, 4.0),
        (*["d", "m", "l", "v", 1], 0.1, "a", "b", 20, 0.0, 2.0),
    ]
    rows += [(*["d", "m", "l", "v", 1], 0.1, "c", "b", 10, 0.0, 8.0)]
    assert effort.mean_score(pd.DataFrame(rows, columns=traces(SMALL)[0].columns)).to_dict() == {10: 6.0, 20: 5.0}


def test_a_study_without_any_gold_standard_says_so():
    nothing = profiles(SMALL)[:0]
    assert "No test pair" in words(landscape.draw(nothing, measure(nothing), SMALL.metas()))


@pytest.mark.parametrize("value", [0, 0.001, 0.02, 0.0949, 0.0951, 0.5, 9.949, 9.951, 99.6, 5000])
def test_numbers_of_the_table_are_short(value: float):
    said = landscape.short(value)
    assert len(said) <= 4
    assert said == "<.01" or abs(float(said) - value) <= 0.5


@pytest.mark.parametrize(("value", "said"), [(0, "0"), (-0.04, "0"), (0.949, "+.9"), (-0.951, "−1"), (-13.2, "−13")])
def test_the_pull_of_the_grid_has_a_sign(value: float, said: str):
    assert landscape.signed(value) == said


def test_a_single_validation_is_drawn_and_no_offset_stands_in_the_head():
    curves = SMALL.curves()
    first = curves[curves.step == curves.step.min()]
    near = first.assign(value=5.001 + 1e-5 * first.value)
    figure = convergence.draw(near, chosen(SMALL), SMALL.metas(), METHODS)
    assert_legible(figure)
    axes = figure.axes[0]
    assert axes.yaxis.get_offset_text().get_text() == ""
    assert [line.get_markevery() for line in axes.lines[: len(SMALL.losses)]] == [1] * len(SMALL.losses)


def test_datasets_without_labels_show_their_score_in_their_own_unit():
    study = Study([Made("a", unit="mm"), Made("b", unit="um")], ["mse"])
    metrics = chosen(study)
    figure = draw("smoothness_vs_dice", study, metrics[metrics.metric != "dice"])
    assert [axes.get_ylabel() for axes in figure.axes] == ["End-point error (mm) ↓", "End-point error (µm) ↓"]


def test_rings_stay_inside_the_panel():
    for axes in drawn("smoothness_vs_dice", LARGE).axes:
        roughest = max(line.get_xdata().max() for line in axes.lines[1:] if len(line.get_xdata()))
        assert axes.get_xlim()[1] >= 1.04 * roughest


def test_a_loss_has_one_colour_everywhere():
    for name in ("smoothness_vs_dice", "tuning", "convergence"):
        for handle in drawn(name, LARGE).legends[0].get_lines():
            found = [entry for entry in LOSSES.values() if entry[0] == handle.get_label()]
            assert all(same_color(handle.get_color(), entry[1]) for entry in found)


def test_entries_are_in_the_order_of_the_cards_and_variants_differ_by_line():
    entries = style.entries(MANY.metrics(), METHODS)
    assert [e.title for e in entries][:4] == ["MSE", "MSE masked", "NCC", "NCC · window-5"]
    mind = [e for e in entries if e.name == "mind"]
    assert len({e.colour for e in mind}) == 1
    assert len({str(e.linestyle) for e in mind}) == 3


def test_a_marker_without_a_face_has_an_edge():
    entry = style.entries(SMALL.metrics(), METHODS)[0]
    assert entry.edge == 0
    assert replace(entry, marker="1").edge > 0


def test_each_method_that_uses_losses_has_its_panels_and_the_others_stand_in_each():
    study = Study([Made("a")], ["mse", "ncc"], named=("voxelmorph", "given", "transmorph", "classical", "direct"))
    metrics = chosen(study)
    shown = style.panels(metrics, study.metas(), study.methods)
    assert [panel.title for panel in shown] == ["a, VoxelMorph", "a, Transmorph", "a, Direct"]
    assert set(shown[0].rows(metrics).method) == {"voxelmorph", "given", "classical", "unregistered"}
    entries = style.entries(metrics, study.methods)
    assert [entry.title for entry in entries] == ["MSE", "NCC", "Classical", "Given"]
    assert [entry.group for entry in entries][-2:] == [style.OTHERS] * 2
    for entry in entries:
        assert len(entry.rows(shown[0].rows(metrics)))


MIXED = Study(
    [Made("mni-brain"), Made("cells", field=False, unit="nm", stress_test=False)],
    ["mse", "ncc", "mind"],
    named=("voxelmorph", "given", "direct", "classical"),
)
ALONE = Study([Made("mni-brain")], [], named=("given", "classical"))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "landscape"])
@pytest.mark.parametrize("study", [MIXED, ALONE], ids=["beside a network", "alone"])
def test_methods_without_loss_or_weight_go_through_every_figure(name: str, study: Study):
    figure = draw(name, study, chosen(study))
    assert_legible(figure)
    said = words(figure)
    if name in ("scores", "smoothness_vs_dice"):
        assert {"Given", "Classical"} <= set(said.split("\n"))
    elif name == "tuning":
        assert "Classical" in said
        assert "Given" not in said
    elif study is ALONE and not {"Given", "Classical"} <= {line.split("  ")[0] for line in said.split("\n")}:
        lacks = {"convergence": "trained method.", "rank_agreement": "rankings to compare."}
        assert f"The study has no {lacks.get(name, 'per-pair optimisation.')}" in said


def test_infinite_distances_are_counted():
    study = Study([Made("a", field=False)], ["mse", "ncc"])
    metrics = chosen(study)
    worst = (metrics.loss == "mse") & (metrics.metric == "hd95") & metrics.chosen & (metrics.split == "test")
    metrics.loc[metrics.index[worst][:1], "value"] = np.inf
    assert "+1 ∞" in words(draw("scores", study, metrics))


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_the_same_bytes_twice(tmp_path: Path, suffix: str):
    for name in ("one", "two"):
        style.save(draw("tuning", SMALL, chosen(SMALL)), tmp_path / f"{name}.{suffix}", dpi=60)
    assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def blob(shape: tuple[int, ...], shift: int) -> np.ndarray:
    """Make a label map of two nested boxes, shifted along the first axis."""
    label = np.zeros(shape, np.int16)
    for value, margin in ((1, 4), (2, 8)):
        box = [slice(margin, n - margin) for n in shape]
        box[0] = slice(margin + shift, shape[0] - margin + shift)
        label[tuple(box)] = value
    return label


def write_dataset(folder: Path, made: Made, shape: tuple[int, ...], labelled: bool = True) -> Dataset:
    """Write a prepared dataset of boxes."""
    (folder / "images").mkdir(parents=True)
    meta = [f"name: {made.name}", f"shape: {list(shape)}", f"spacing: {[1.0] * made.dims}", "spacing_unit: mm"]
    meta += [f"spatial_dims: {made.dims}", f"axes: {'xyz' if made.dims == 3 else 'ij'}", "background: 0"]
    meta += [
        "labels: {0: none, 1: outer, 2: inner}",
        "evaluate: [1, 2]",
        f"stress_test: {str(made.stress_test).lower()}",
    ]
    (folder / "dataset.yaml").write_text("\n".join([*meta, "has: [image, label]"]))
    names = subjects(made, "test")
    rows = [f"{name},test,,{name}," for name in names]
    (folder / "images.csv").write_text("\n".join(["id,split,group,subject,modality", *rows]) + "\n")
    (folder / "pairs.csv").write_text(f"split,moving,fixed\ntest,{names[0]},{names[1]}\n")
    for i, name in enumerate(names[:2]):
        label = blob(shape, 2 * i)
        parts = {"label": label} if labelled else {}
        np.savez(folder / "images" / f"{name}.npz", image=label.astype(np.float32) / 2, **parts)
    return Dataset.open(folder)


@pytest.fixture
def sampled(tmp_path: Path):
    """Write two prepared datasets and a sample for every run; one diverged, one does not apply."""
    made = [Made("flat", missing=("mind",)), Made("deep", dims=3, diverged=("nmi",))]
    study = Study(made, ["mse", "nmi", "mind"], named=("voxelmorph", "given", "classical"))
    shapes = {"flat": (40, 30), "deep": (24, 30, 20)}
    datasets, samples = {}, []
    metrics = chosen(study)
    for made in study.datasets:
        datasets[made.name] = write_dataset(tmp_path / made.name, made, shapes[made.name], labelled=made.name == "flat")
        moving, fixed = subjects(made, "test")[:2]
        of_pair = (metrics.dataset == made.name) & (metrics.split == "test")
        one = metrics[of_pair].iloc[0]
        first = of_pair & (metrics.moving == one.moving) & (metrics.fixed == one.fixed)
        metrics.loc[first, ["moving", "fixed"]] = moving, fixed
        for run in study.runs(made):
            shift = np.zeros((2, *shapes[made.name], made.dims), np.float32)
            shift[..., 0] = np.nan if run.loss in made.diverged else -2
            path = tmp_path / f"{made.name}-{run.method}-{run.loss}.npz"
            lams = [1.0, 2.0] if METHODS[run.method].has_lam else [np.nan]
            np.savez(path, moving=moving, fixed=fixed, lams=np.array(lams), displacements=shift[: len(lams)])
            samples.append((run, path))
    return metrics, datasets, samples, METHODS


def test_img_sample(sampled):
    figure = img_sample.draw(*sampled)
    style.stamp(figure)
    assert_legible(figure)
    said = words(figure).split("\n")
    assert said.count("n/a") == 1
    assert said.count("diverged") == 1
    assert sum("stress test" in line for line in said) == 2
    assert sum(line.startswith("EPE") for line in said) == 8
    assert said.count("Given") == said.count("Classical") == 2


def test_the_moved_image_and_grid_are_drawn_where_the_displacement_says(sampled):
    metrics, datasets, samples, methods = sampled
    flat = [(run, path) for run, path in samples if run.dataset == "flat"]
    figure = img_sample.draw(metrics, {"flat": datasets["flat"]}, flat, methods)
    pictures = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    moving, fixed, moved = pictures[:3]
    np.testing.assert_allclose(moved, fixed, atol=1e-6)
    assert np.abs(moving - fixed).max() > 0.4
    grid = next(axes for axes in figure.axes if axes.collections and not axes.images)
    across = grid.collections[0].get_segments()[0]
    assert set(np.diff(across[:, 1])) == {0}
    assert across[0, 1] % 1 == 0


@pytest.mark.parametrize("shape", [None, (6, 8, 6), (8, 6, 6), (6, 6, 6), (5, 8, 6)])
def test_a_volume_is_seen_with_its_last_axis_upwards(sampled, shape):
    deep = sampled[1]["deep"]
    deep = replace(deep, meta={**deep.meta, "shape": shape or deep.shape})
    grid = np.stack(np.meshgrid(*map(np.arange, deep.shape), indexing="ij"), axis=-1)
    row, column = img_sample._in_picture(deep, img_sample.as_picture(deep, grid))
    np.testing.assert_array_equal(row, np.indices(row.shape)[0])
    np.testing.assert_array_equal(column, np.indices(row.shape)[1])


def test_statistics_and_figures_do_not_load_torch():
    rooms = [
        "statistics.selection",
        "statistics.summary",
        "statistics.comparisons",
        "statistics.contrasts",
        "statistics.calibration",
        "statistics.ranks",
        "statistics.agreement",
        "statistics.picked",
        "statistics.power",
    ]
    rooms += [f"figures.{name}" for name in figures.names()]
    code = f"import sys; [__import__('likeness.' + r) for r in {rooms}]; assert 'torch' not in sys.modules"
    library = Path(losses.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=library)
