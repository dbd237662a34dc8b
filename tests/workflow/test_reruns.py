"""An edit reruns what it changes, and nothing else: asked of the smoke study, which has run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from edits import change, change_manners, edited, library, restored, reword, todo, write_config
from tracing import complete

AFTER_SCORES = {
    "collect": 1,
    "runtime": 1,
    "summary": 1,
    "comparisons": 1,
    "contrasts": 1,
    "claims": 1,
    "matched": 1,
    "reproduction": 1,
    "ranks": 1,
    "agreement": 1,
    "picked": 1,
    "power": 1,
    "plot": 11,
    "all": 1,
}
AFTER_ALL = {**AFTER_SCORES, "profiles": 1, "plot": 12}
COMPARED = {"summary": 1, "reproduction": 1, "comparisons": 1, "contrasts": 1, "claims": 1, "ranks": 1, "agreement": 1}
COMPARED |= {"picked": 1, "power": 1}
"""Tables in the order of the study."""
ELSEWHERE = {"fetch", "convert", "consistency", "warp_consistency", "robustness", "tuning", "leaderboard", "report"}
"""Scripts that the smoke study does not run."""
UNUSED = (
    ('"range": [0, 1]', '"range": [0, 2]'),
    ('"invariances": ["offset", "scale", "inversion"]', '"invariances": ["offset"]'),
    ('{"default": 9, "odd": True, "minimum": 3,', '{"default": 9, "odd": True, "minimum": 5,'),
    # this study states a grid of its own
    ('"supervision": "none"', '"supervision": "none", "grid": [0.1]'),
)
"""Edits of a card that no job of the study uses."""
TRAININGS = {"train_mse": 2, "train_ncc": 2, "train_deepsim_ae": 2, "register": 6}
OPTIMISATIONS = {"optimise_mse": 2, "optimise_ncc": 2, "optimise_deepsim_ae": 2, "audit": 6, "verdicts": 1}
OF_NCC = {"train_ncc": 2, "optimise_ncc": 2, "audit": 2, "verdicts": 1, "register": 2, "score": 4, "export": 4}
OF_NCC["sample_landscape"] = 1
# fields of networks and given ones are temporary, so that they are made anew to be scored; what was searched for stays
SCORINGS = {"register": 6, "given": 4, "score": 18, "export": 18, "score_unregistered": 2, "data_sheet": 2}
RUNS = {**TRAININGS, **OPTIMISATIONS, "classical": 2, "given": 4, "score": 18, "export": 18}


@pytest.mark.slow
def test_words_progress_and_tries_rerun_nothing(smoke: Path) -> None:
    lib, scripts = library(smoke), smoke / "workflow" / "scripts"
    remark = ("\nfrom __future__ import", "\n# a remark\n\nfrom __future__ import")
    with restored(lib, scripts):
        change_manners(lib)
        reword(scripts)
        change(lib / "losses" / "ncc.py", remark, ('"""', '"""Reworded: '))
        change(lib / "training" / "trainer.py", remark, ('    """Train one', '    """Reworded: train one'))
        change(lib / "data" / "preparation.py", remark)
        change(scripts / "train.py", ("def main", "# a remark\ndef main"))
        change(scripts / "summary.py", ('"""', '"""Reworded: '))
        change(lib / "losses" / "ncc.py", *UNUSED)
        change(lib / "metrics" / "hd95.py", remark)
        assert todo(smoke) == {}


@pytest.mark.slow
def test_an_edited_range_of_a_metric_summarises_anew(smoke: Path) -> None:
    metric = library(smoke) / "metrics" / "hd95.py"
    with edited(metric, ('"range": [0, None]', '"range": [0, 1000]')):
        # intervals end where the metric does
        assert todo(smoke) == {"summary": 1, "reproduction": 1, "plot": 1, "all": 1}


@pytest.mark.slow
def test_an_edited_loss_reruns_what_depends_on_it(smoke: Path) -> None:
    with edited(library(smoke) / "losses" / "ncc.py"):
        assert todo(smoke) == {**OF_NCC, **AFTER_ALL}


@pytest.mark.slow
def test_an_edited_extractor_reruns_its_pretraining_and_its_losses(smoke: Path) -> None:
    with edited(library(smoke) / "extractors" / "autoencoder.py"):
        jobs = {"pretrain": 2, "train_deepsim_ae": 2, "optimise_deepsim_ae": 2, "audit": 2, "verdicts": 1}
        assert todo(smoke) == {**jobs, "register": 2, "score": 4, "export": 4, "sample_landscape": 1, **AFTER_ALL}


@pytest.mark.slow
def test_an_edited_trainer_reruns_every_training_and_probes_what_was_pretrained(smoke: Path) -> None:
    with edited(library(smoke) / "training" / "trainer.py"):
        jobs = {
            "pretrain": 2,
            **TRAININGS,
            "optimise_deepsim_ae": 2,
            "audit": 2,
            "verdicts": 1,
            "score": 8,
            "export": 8,
        }
        assert todo(smoke) == {**jobs, "sample_landscape": 1, **AFTER_ALL}


@pytest.mark.slow
def test_an_edited_search_optimises_anew_and_trains_nothing(smoke: Path) -> None:
    with edited(library(smoke) / "methods" / "search.py"):
        assert todo(smoke) == {**OPTIMISATIONS, "score": 6, "export": 6, **AFTER_SCORES}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["surface", "dice"])
def test_an_edited_metric_scores_anew_and_trains_nothing(module: str, smoke: Path) -> None:
    with edited(library(smoke) / "metrics" / f"{module}.py"):
        assert todo(smoke) == {**SCORINGS, **AFTER_SCORES}


@pytest.mark.slow
def test_a_further_metric_scores_anew_and_trains_nothing(smoke: Path) -> None:
    folder = library(smoke) / "metrics"
    folder.joinpath("further.py").write_text(folder.joinpath("folding.py").read_text())
    try:
        # verdicts know the smallest difference that matters of every metric
        assert todo(smoke) == {**SCORINGS, **AFTER_SCORES, "verdicts": 1}
    finally:
        folder.joinpath("further.py").unlink()


@pytest.mark.slow
def test_an_edit_of_the_metric_that_judges_trains_anew(smoke: Path) -> None:
    with edited(library(smoke) / "metrics" / "epe.py"):
        left = todo(smoke)
    assert {**TRAININGS, **OPTIMISATIONS}.items() <= left.items()
    assert "pretrain" not in left


@pytest.mark.slow
def test_an_edited_classical_method_runs_alone(smoke: Path) -> None:
    with edited(library(smoke) / "methods" / "syn.py"):
        assert todo(smoke) == {"classical": 2, "score": 2, "export": 2, **AFTER_SCORES}


@pytest.mark.slow
def test_a_changed_field_of_somebody_else_is_ranked_anew_and_nothing_else_runs(smoke: Path) -> None:
    field = next((smoke / "given" / "given-voxels").rglob("*.npz"))
    status = field.stat()
    os.utime(field, (status.st_atime, status.st_mtime + 1))
    try:
        assert todo(smoke) == {"given": 1, "score": 1, "export": 1, **AFTER_SCORES}
    finally:
        os.utime(field, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.slow
def test_an_edited_reader_prepares_anew_and_simulates_nothing(smoke: Path) -> None:
    with edited(library(smoke) / "userinput" / "documents.py"):
        jobs = {"prepare": 2, "data_sheet": 2, "pretrain": 2, **RUNS, "score_unregistered": 2, "sample_landscape": 3}
        assert todo(smoke) == {**jobs, **AFTER_ALL, "calibration": 1}


@pytest.mark.slow
def test_an_edited_plot_redraws_one_figure(smoke: Path) -> None:
    with edited(library(smoke) / "figures" / "img_sample.py"):
        assert todo(smoke) == {"plot": 1, "all": 1}


@pytest.mark.slow
def test_an_edited_measure_probes_and_trains_nothing(smoke: Path) -> None:
    with edited(library(smoke) / "statistics" / "landscape.py"):
        assert todo(smoke) == {"profiles": 1, "plot": 1, "all": 1}


@pytest.mark.slow
def test_another_sampling_of_a_dataset_trains_nothing(smoke: Path) -> None:
    config = yaml.safe_load((smoke / "config" / "smoke.yaml").read_text())
    config["datasets"]["mni-brain"]["landscape"] = {"steps": 3}
    write_config(smoke, "denser", config)
    assert todo(smoke, "denser") == {"sample_landscape": 3, "runtime": 1, "profiles": 1, "plot": 2, "all": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("card", "old", "new", "jobs"),
    [
        ("losses/ncc", '"marker": "^"', '"marker": "v"', {"plot": 12}),
        (
            "losses/ncc",
            '"supervision": "none"',
            '"supervision": "labels"',
            {"plot": 12, "summary": 1, "reproduction": 1, "ranks": 1, "agreement": 1, "picked": 1},
        ),
        ("losses/ncc", '"order": 110', '"order": 999', {"plot": 12, **COMPARED}),
        (
            "losses/ncc",
            '"supervision": "none"',
            '"supervision": "none", "requires": {"mask": ""}',
            {"sample_landscape": 1, "runtime": 1, "profiles": 1, "plot": 2},
        ),
        ("losses/ncc", '"default": 9', '"default": 7', {**OF_NCC, **AFTER_ALL}),
        ("networks/voxelmorph", '"title"', '"marker": "v", "title"', {"plot": 11}),
        (
            "networks/voxelmorph",
            '"title"',
            '"order": 99, "title"',
            {"plot": 11, **COMPARED},
        ),
        ("metrics/sdlogj", '"title": "std(log J)"', '"title": "Roughness"', {"plot": 9, "data_sheet": 2}),
        ("figures/img_sample", '"dpi": 300', '"dpi": 200', {"plot": 1}),
    ],
)
def test_an_edited_card_reruns_what_uses_it(card: str, old: str, new: str, jobs: dict[str, int], smoke: Path) -> None:
    with edited(library(smoke) / f"{card}.py", (old, new)):
        assert todo(smoke) == {**jobs, "all": 1}


@pytest.mark.slow
def test_a_changed_grid_of_one_loss_retrains_that_loss(smoke: Path) -> None:
    config = yaml.safe_load((smoke / "config" / "smoke.yaml").read_text())
    write_config(smoke, "grid", config | {"losses": config["losses"] | {"ncc": {"lambda": {"grid": [0.2]}}}})
    assert todo(smoke, "grid") == {"train_ncc": 2, "register": 2, "score": 2, "export": 2, **AFTER_SCORES}


@pytest.mark.slow
def test_a_further_loss_runs_alone(smoke: Path) -> None:
    """Tables and figures exist already; the new loss runs all the same."""
    config = yaml.safe_load((smoke / "config" / "smoke.yaml").read_text())
    write_config(smoke, "further", config | {"losses": config["losses"] | {"mind": None}})
    jobs = {"train_mind": 2, "optimise_mind": 2, "audit": 2, "verdicts": 1, "register": 2, "score": 4, "export": 4}
    assert todo(smoke, "further") == {**jobs, "sample_landscape": 1, **AFTER_ALL}


@pytest.mark.slow
def test_the_digest_of_a_job_has_every_module_that_it_loads(smoke: Path) -> None:
    scripts = {path.stem for path in (smoke / "workflow" / "scripts").glob("*.py")}
    assert complete(smoke / "loaded") == dict.fromkeys(scripts - ELSEWHERE, True)
