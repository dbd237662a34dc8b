"""The forecast: more work costs more, records and measurements tell the true cost, and a measurement is one."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import make_dataset

from likeness import losses
from likeness.config.study import Study
from likeness.datasets import catalogue
from likeness.extractors import autoencoder, pretraining, sources
from likeness.methods import network
from likeness.planning import forecast as forecasts
from likeness.planning.costs import measured, recorded
from likeness.planning.forecast import Cost, Expected, Forecast, Kind, Seconds, forecast, plan
from likeness.planning.timing import MOST_VOXELS, SMALLEST, imitate, measure, reduced
from likeness.results import MODELS
from likeness.runtime.provenance import code_digest
from likeness.runtime.published import File, Source
from likeness.training.checkpoint import save_weights

ROOT = Path(__file__).parents[2]
BASE: dict[str, Any] = {
    "title": "t",
    "datasets": {"mni-brain": None},
    "losses": {"mse": None, "ncc": None},
    "training": {"steps": 100},
}
SMALL: dict[str, Any] = {
    "datasets": {"mni-brain": {"options": {"train": 4, "val": 4, "test": 4}}},
    "losses": {"deepsim_ae": {"lambda": {"grid": [0.1, 1]}}},
    "methods": {"voxelmorph": {"channels_2d": [4, 8], "norm": "none"}},
    "training": {"steps": 100, "batch": 2, "validate_every": 50},
    "pretraining": {"steps": 10, "batch": 2, "channels_2d": [4, 8]},
}


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(**changes: Any) -> Study:
    return Study.load(BASE | changes)


COST = Cost(Seconds(1.0, 0.01, 0.1), None, 4.0, 0.05, "measured")


def costing(**changes: Any) -> Forecast:
    """Forecast a study of which a unit of any work costs the same."""
    planned = plan(load(**changes))
    return forecast(planned, measured=dict.fromkeys((kind.key for kind in planned.kinds), COST))


@pytest.mark.parametrize(
    "more",
    [
        {"training": {"steps": 200}},
        {"training": {"steps": 100, "lambda": {"grid": [0.01, 0.03, 0.1, 0.3, 1, 3]}}},
        {"training": {"steps": 100, "validate_every": 10}},
        {"seeds": [1, 2]},
        {"datasets": {"mni-brain": None, "cells": None}},
        {"losses": {"mse": None, "ncc": None, "deepsim_ae": None}},
        {"datasets": {"mni-brain": {"training": {"steps": 300}}}},
    ],
    ids=str,
)
def test_more_work_takes_more_time(more: dict[str, Any]) -> None:
    assert costing(**more).core_seconds > costing().core_seconds


def test_kept_fields_take_space_at_the_end_and_others_only_while_their_jobs_run() -> None:
    gone, kept = costing(), costing(keep_fields=True)
    assert kept.peak_gb(2) == kept.kept_gb > gone.kept_gb
    extent = catalogue.size("mni-brain", {})
    fields = COST.file_mb * sum(extent.pairs.values()) * 3 / 1e3
    assert gone.peak_gb(1) - gone.kept_gb == pytest.approx(fields, rel=0.1)
    assert gone.peak_gb(2) - gone.kept_gb == pytest.approx(2 * fields, rel=0.1)


def test_what_is_left_takes_its_share() -> None:
    expected = costing(seeds=[1, 2, 3, 4])
    one = expected.left({"train_mse": 1})
    assert one.core_seconds == pytest.approx(expected.rules["train_mse"].core_seconds / 4)
    everything = {name: rule.jobs for name, rule in expected.rules.items()}
    assert expected.left(everything).core_seconds == pytest.approx(expected.core_seconds)


def test_the_forecast_names_the_rules_of_the_workflow() -> None:
    rules = ROOT / "workflow" / "rules"
    texts = [path.read_text() for path in [*rules.glob("*.smk"), *rules.glob("losses/*.smk")]]
    found = re.findall(r"^(?:use rule (?:train|optimise) as|rule) (\w+)", "\n".join(texts), re.M)
    # the report is a target of its own
    known = set(found) - {"train", "optimise", "leaderboard", "report"}
    losses = dict.fromkeys(name.removeprefix("train_") for name in known if "train_" in name)
    # some losses work in 3D alone, one where images show what others lack
    datasets = dict.fromkeys(("mni-brain", "mni-head", "mni-brain-3d"))
    methods = {"voxelmorph": None, "optimisation": None, "syn": None}
    named = set(costing(datasets=datasets, losses=losses, methods=methods).rules)
    assert named == known


def test_a_folder_of_ones_own_is_sized_by_its_images_and_pairs(tmp_path: Path) -> None:
    make_dataset(tmp_path / "small", 2, 16)
    make_dataset(tmp_path / "large", 2, 64)
    small, large = (plan(load(datasets={"own": {"folder": name}})) for name in ("small", "large"))
    assert large.sizes["own"].shape == (64, 64)
    assert large.sizes["own"].images == {"train": 3, "val": 2, "test": 2}
    assert large.sizes["own"].pairs == {"val": 2, "test": 2}
    assert large.sizes["own"].labels == 3
    assert forecast(large).kept_gb > forecast(small).kept_gb


PUBLISHED = Source("autoencoder", (File("a.pth", "https://x.org", "1" * 64, 3_000_000_000),), "", "MIT", "see x.org")
"""What the autoencoder would be, had somebody published it."""


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "source", lambda name: PUBLISHED if name == "autoencoder" else None)


@pytest.mark.usefixtures("published")
def test_published_weights_are_fetched_once_and_take_space() -> None:
    without, found = costing(), costing(losses={"mse": None, "ncc": None, "deepsim_ae": None}, seeds=[1, 2])
    assert [found.rules[name].jobs for name in ("fetch", "convert", "train_deepsim_ae")] == [1, 1, 2]
    assert "pretrain" not in found.rules
    assert without.rules["fetch"].jobs == 0
    assert found.kept_gb - without.kept_gb == pytest.approx(6, rel=0.1)
    assert found.unsized == ()
    unmeasured = forecast(plan(load(losses={"deepsim_ae": None})))
    assert (found.unmeasured, unmeasured.unmeasured) == ((), ("autoencoder",))


def tool() -> Any:
    """Import what `make check` calls."""
    spec = importlib.util.spec_from_file_location("check", ROOT / "workflow" / "tools" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    return check


def test_too_few_test_subjects_for_intervals_are_told(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "own", images={"test": 3})
    study = load(datasets={"own": {"folder": str(folder)}}, methods={"optimisation": None}, losses={"mse": None})
    assert tool().few_subjects(study) == []
    table = folder / "images.csv"
    table.write_text(table.read_text().replace(",test,", ",atlas,", 1))
    (line,) = tool().few_subjects(study)
    assert line.startswith("own has 2 test subjects, fewer than 3: ")


def test_published_files_of_unknown_size_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    files = (File("b.pth", "https://x.org", "1" * 64, None), *PUBLISHED.files)
    monkeypatch.setattr(
        sources, "source", lambda name: replace(PUBLISHED, files=files) if name == "autoencoder" else None
    )
    found = forecast(plan(load(losses={"deepsim_ae": None})))
    assert found.unsized == ("b.pth",)
    check = tool()
    said = check.summary(found, {"fetch": 1, "train_deepsim_ae": 1})
    assert " GB while running plus downloads: the size of b.pth is unknown; memory unknown." in said
    assert "neither recorded nor measured: fetch, train_deepsim_ae." in said
    assert "Of these, autoencoder can be measured after conversion of the weights." in said
    assert check.table(found, {"train_deepsim_ae": 1}).split()[-1] == "–"


@pytest.mark.usefixtures("published")
def test_steps_with_published_weights_are_measured_at_their_size(tmp_path: Path, monkeypatch) -> None:
    full = {"name": "autoencoder", "channels": [4, 8], "strides": [[2, 2], [2, 2]], "norm": "none", "classes": 2}
    monkeypatch.setattr("likeness.extractors.autoencoder.FULL", full, raising=False)
    [kind] = [kind for kind in plan(load(**SMALL)).kinds if kind.job == "train"]
    assert kind.task["extractor"] == {"name": "autoencoder", "weights": None}
    assert measure(kind.task | {"shape": [24, 32]}, tmp_path / "random").core.unit > 0
    converted = Path("results/extractors/autoencoder.safetensors")
    save_weights(autoencoder.build(full).state_dict(), converted)
    write(converted.with_suffix(".json"), json.dumps({"architecture": full}))
    monkeypatch.delattr("likeness.extractors.autoencoder.FULL")
    [kind] = [kind for kind in plan(load(**SMALL)).kinds if kind.job == "train"]
    assert measure(kind.task | {"shape": [24, 32]}, tmp_path / "converted").core.unit > 0


def test_an_extractor_of_a_dataset_that_is_not_run_is_trained_there() -> None:
    variant = {"deepsim_ae": {"variants": {"moved": {"trained_on": "cells"}}}}
    datasets = {"mni-brain": None, "cells": None}
    found = costing(losses=variant, datasets=datasets, only_datasets="mni-brain")
    names = ("simulate", "prepare", "data_sheet", "pretrain", "train_deepsim_ae", "score_unregistered")
    assert [found.rules[name].jobs for name in names] == [2, 2, 1, 2, 2, 1]


def train_records(study: Study, recipe: Mapping[str, Any] | None = None, **record: Any) -> None:
    """Leave what a run of the study would: the sizes of its data, and of every training its recipe and record."""
    results = Path(study.results)
    extent = catalogue.size("mni-brain", {})
    rows = [f"{split},a,b" for split, count in extent.pairs.items() for _ in range(count)]
    write(results / "data/mni-brain/dataset.yaml", yaml.safe_dump({"shape": list(extent.shape)}))
    write(results / "data/mni-brain/pairs.csv", "\n".join(["split,moving,fixed", *rows]))
    for run in study.runs():
        said = {
            "options": losses.options(run.loss),
            "recipe": study.training(run.dataset, run.method, run.loss) | (recipe or {}),
        }
        write(results / run.path(MODELS) / "provenance.json", json.dumps(said))
        measures = {"seconds": 1e6, "cpu_seconds": 1e6, "peak_mb": 700.0, "gpu": ""} | record
        write(results / "runtimes/train" / f"{run.place}.json", json.dumps(measures))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def trained(study: Study) -> float:
    planned = plan(study)
    return forecast(planned, recorded(planned)).rules["train_mse"].core_seconds


def test_records_of_a_former_run_tell_the_cost() -> None:
    study = load()
    train_records(study)
    planned = plan(study)
    known = recorded(planned)
    assert {cost.peak_mb for cost in known.values()} == {700}
    found = forecast(planned, known)
    assert found.core_seconds == pytest.approx(2e6, rel=1e-3)
    assert found.sources == {"recorded": 2, "unknown": 5}
    assert found.left({"train_mse": 1, "plot": 1}).unknown == 1
    assert found.left({"train_mse": 1}).gpu_seconds is None


def test_a_record_of_another_seed_and_a_shorter_training_is_made_use_of() -> None:
    train_records(load())
    assert trained(load(seeds=[1, 2])) == pytest.approx(2e6, rel=1e-3)
    assert trained(load(training={"steps": 300})) == pytest.approx(3e6, rel=1e-3)
    assert trained(load(training={"steps": 100, "lambda": {"grid": [1]}})) == pytest.approx(1e6 / 3, rel=1e-3)


@pytest.mark.parametrize(
    "changed",
    [
        {"training": {"steps": 100, "batch": 1}},
        {"methods": {"voxelmorph": {"channels_2d": [4, 8]}}},
        {"losses": {"mse": None, "ncc": {"options": {"window": 5}}}},
        {"datasets": {"mni-brain": {"options": {"test": 20}}}},
    ],
    ids=str,
)
def test_a_record_of_another_kind_of_step_is_not(changed: dict[str, Any]) -> None:
    train_records(load())
    study = load(**changed)
    planned = plan(study)
    assert not {who for who in recorded(planned) if "mse" not in who or "losses" not in changed}


def test_records_from_a_gpu_give_gpu_hours() -> None:
    study = load()
    train_records(study, gpu="some GPU", seconds=100.0, cpu_seconds=120.0)
    planned = plan(study)
    found = forecast(planned, recorded(planned)).left({"train_mse": 1, "register": 1})
    assert found.gpu_seconds == pytest.approx(100)
    assert found.core_seconds == pytest.approx(120)
    assert found.unknown == 1


def test_nothing_is_guessed_of_what_nobody_recorded_or_measured() -> None:
    planned = plan(load())
    first = next(kind for kind in planned.kinds if kind.rule == "train_mse")
    found = forecast(planned, measured={first.key: COST})
    assert found.core_seconds == found.rules["train_mse"].core_seconds == COST.core.of(first.work)
    assert found.rules["train_ncc"] == Expected(1, unknown=1)
    assert found.sources == {"measured": 1, "unknown": 6}
    nothing = forecast(planned)
    assert (nothing.core_seconds, nothing.peak_mb) == (0, None)
    assert nothing.kept_gb > 0


def test_it_counts_as_many_validations_as_jobs_make() -> None:
    """Stated twice, because the forecast does without torch."""
    assert forecasts.VALIDATED == {"train": network.VALIDATED, "pretrain": pretraining.VALIDATED}


MEASURED = Cost(Seconds(1.0, 2.0, 3.0), None, 4.0, 5.0, "measured")
MEASURER = f"""
import json, sys, time
for number, task in enumerate(json.load(sys.stdin)):
    with open("calls.txt", "a") as calls:
        calls.write(task["job"] + "\\n")
    print({json.dumps(asdict(MEASURED))!r}, flush=True)
    if number == HANGS_AFTER:
        time.sleep(60)
"""


def ask(kinds: list[Kind], hangs_after: int = 99, limit: float = 30.0) -> tuple[dict[str, Cost], int]:
    """Give the costs and how many tasks were measured for them."""
    script = Path("measurer.py")
    script.write_text(MEASURER.replace("HANGS_AFTER", str(hangs_after)))
    calls = Path("calls.txt")
    calls.write_text("")
    costs = measured(kinds, script, Path("cache.json"), limit, lambda *_: None)
    return costs, len(calls.read_text().splitlines())


def test_what_was_measured_once_is_remembered() -> None:
    kinds = plan(load()).kinds
    different = {kind.key for kind in kinds}
    costs, calls = ask(kinds)
    assert (costs, calls) == (dict.fromkeys(different, MEASURED), len(different))
    assert ask(kinds) == (costs, 0)
    more = plan(load(losses={"mse": None, "ncc": None, "nmi": None})).kinds
    assert ask(more)[1] == 1


def test_edited_code_is_measured_anew(monkeypatch) -> None:
    kinds = plan(load()).kinds
    ask(kinds)
    monkeypatch.setattr(
        "likeness.planning.costs.code_digest",
        lambda script, *modules: code_digest(script, *modules) + str("likeness.losses.ncc" in modules),
    )
    # the digest of every task has changed; of the two trainings both
    assert ask(kinds)[1] == len({kind.key for kind in kinds})


def test_a_measurement_that_takes_too_long_is_ended_and_what_it_had_is_kept() -> None:
    kinds = plan(load()).kinds
    costs, calls = ask(kinds, hangs_after=1, limit=2.0)
    assert (len(costs), calls) == (2, 2)
    # what most of the study depends on is first
    assert {kind.rule for kind in kinds if kind.key in costs} == {"train_mse", "train_ncc"}
    assert len(ask(kinds)[0]) == len({kind.key for kind in kinds})


@pytest.mark.parametrize("dims", [2, 3])
def test_steps_of_every_kind_of_job_are_measured(tmp_path: Path, dims: int) -> None:
    shape = [24, 32, 16][:dims]
    study = load(**SMALL | {"methods": SMALL["methods"] | {"optimisation": None}})
    for number, kind in enumerate({kind.key: kind for kind in plan(study).kinds}.values()):
        task = kind.task | {"shape": shape}
        cost = measure(task, tmp_path / str(number))
        assert cost.core.unit > 0
        assert (cost.gpu, cost.source) == (None, "measured")
        assert cost.peak_mb is not None
        assert cost.peak_mb > 100
        expected = dict.fromkeys(("train", "pretrain", "register"), (1e-3, 1)) | {"score": (0, 0)}
        expected |= {"optimise": (1e-4, 1), "audit": (1e-4, 1)}
        assert expected[kind.job][0] <= (cost.file_mb or 0) <= expected[kind.job][1]


def test_large_images_are_measured_at_a_fraction_of_their_size() -> None:
    kind = next(kind for kind in plan(load(**SMALL)).kinds if kind.job == "train")
    smaller = reduced(kind.task | {"shape": [8192, 4096]})
    assert smaller[0] == pytest.approx(2 * smaller[1], rel=0.01)
    assert MOST_VOXELS / 4 < kind.task["recipe"]["batch"] * prod(smaller) <= MOST_VOXELS
    assert reduced(kind.task) == tuple(kind.task["shape"])
    assert all(n >= SMALLEST for n in reduced(kind.task | {"shape": [100_000, 20, 100_000]}))


def test_an_imitation_has_what_the_dataset_has(tmp_path: Path) -> None:
    parts = ["field", "image", "label", "landmarks", "mask"]
    dataset = imitate({"parts": parts, "labels": 5}, (20, 16), tmp_path)
    assert dataset.has == set(parts)
    assert (dataset.shape, len(dataset.labels), dataset.primary) == ((20, 16), 5, "epe")
    sample = dataset.load("val1")
    assert sample.image.shape == (20, 16)
    assert sample.instances is None


def test_measuring_runs_as_the_script_does(tmp_path: Path) -> None:
    kinds = [kind for kind in plan(load(**SMALL)).kinds if kind.job == "score"]
    told: list[tuple[int, int]] = []
    script = ROOT / "workflow" / "tools" / "measure.py"
    costs = measured(kinds, script, tmp_path / "cache.json", 60.0, lambda *done: told.append(done))
    assert set(costs) == {kind.key for kind in kinds}
    assert told == [(0, 2), (1, 2), (2, 2)]
