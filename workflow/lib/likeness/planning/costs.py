"""Costs of kinds of jobs: from records of earlier jobs of the study, or measured from a few steps on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from math import prod
from pathlib import Path
from statistics import mean
from threading import Timer
from typing import Any

import yaml

from likeness import losses, metrics, results
from likeness.datasets.catalogue import Size
from likeness.planning.forecast import Cost, Kind, Plan, Seconds, deciding
from likeness.runtime import gpus
from likeness.runtime.atomic import write_json
from likeness.runtime.jobs import processor
from likeness.runtime.provenance import code_digest, digest


def recorded(planned: Plan) -> dict[tuple[str | None, ...], Cost]:
    """Find the recorded costs of earlier jobs of the study, on any machine, by job and :attr:`Kind.who`.

    A record counts if the job did the same as it would now, apart from the length of the training and its grid, to
    which the cost is proportional.
    """
    folder, seeds = Path(planned.study.results), [*planned.study.seeds, None]
    alike = {name: _prepared_alike(folder / "data" / name, extent) for name, extent in planned.sizes.items()}
    found = {}
    for kind in planned.kinds:
        if alike[kind.dataset]:
            seen = [cost for seed in seeds if (cost := _record(folder, kind, seed))]
            if seen:
                found[(kind.job, *kind.who)] = _average(seen)
    return found


def _prepared_alike(folder: Path, extent: Size) -> bool:
    """Return whether prepared data have the size that the configuration implies."""
    try:
        shape = yaml.safe_load((folder / "dataset.yaml").read_text())["shape"]
        splits = Counter(line.split(",", 1)[0] for line in (folder / "pairs.csv").read_text().splitlines())
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return False
    return tuple(shape) == tuple(extent.shape) and all(splits[k] == n for k, n in extent.pairs.items())


def _record(folder: Path, kind: Kind, seed: int | None) -> Cost | None:
    """Read the cost of a recorded job; ``None`` if there is no record, or the job did something else."""
    place = kind.place(seed)
    try:
        record = json.loads((folder / results.record(kind.job, place)).read_text())
        done, weight = _done(folder, kind, place)
    except (OSError, ValueError, KeyError):
        return None
    if done is None:
        return None
    more = kind.work.units / done
    gpu = Seconds(more * record["seconds"]) if record["gpu"] else None
    return Cost(Seconds(more * record["cpu_seconds"]), gpu, record["peak_mb"], weight, "recorded")


def _done(folder: Path, kind: Kind, place: str) -> tuple[float | None, float | None]:
    """Return the amount of work of a recorded job, ``None`` if not comparable, and the size of its weights in MB."""
    if kind.job == "pretrain":
        weights = folder / "extractors" / f"{place}.safetensors"
        recipe = json.loads(weights.with_suffix(".json").read_text())["recipe"]
        same = deciding(recipe) == kind.task["recipe"]
        return (recipe["steps"] if same else None), weights.stat().st_size / 1e6
    if kind.job == "score" and len(kind.who) == 2:
        # unregistered pairs or given fields, which depend on no recipe
        return kind.work.units, None
    if kind.job in ("optimise", "audit", "classical") or (
        kind.job == "score" and (folder / "fields" / place / "fields.json").is_file()
    ):
        return _searched(folder / "fields" / place, kind)
    models = folder / "models" / place
    said = json.loads((models / "provenance.json").read_text())
    recipe, grid = said["recipe"], len(said["recipe"]["lambda"]["grid"])
    if kind.job == "train":
        files = [file.stat().st_size for file in models.glob("*.safetensors")]
        same = deciding(recipe) == kind.task["recipe"] and said["options"] == kind.task["options"]
        return (grid * recipe["steps"] if same else None), (mean(files) / 1e6 if files else None)
    same = kind.job == "score" or deciding(recipe) == kind.task["recipe"]
    return (grid * kind.work.checks if same else None), None


def _searched(fields: Path, kind: Kind) -> tuple[float | None, float | None]:
    """Like :func:`_done`, for an optimisation; its recorded cost is used as it is, as the search would be equal."""
    said = json.loads((fields / "provenance.json").read_text())
    if kind.job == "score":
        levels = json.loads((fields / "fields.json").read_text())["searches"]
        return len(levels) * kind.work.checks, None
    same = said["recipe"] == kind.task["recipe"] and said.get("options") == kind.task.get("options")
    files = [file.stat().st_size for file in fields.glob("*/*.npz")]
    # the duration of a search depends on its path, so records of other paths are not comparable
    return (kind.work.units if same else None), (mean(files) / 1e6 if files else None)


def _average(costs: list[Cost]) -> Cost:
    gpu = [cost.gpu.start for cost in costs if cost.gpu is not None]
    return Cost(
        Seconds(mean(cost.core.start for cost in costs)),
        Seconds(mean(gpu)) if gpu else None,
        max(cost.peak_mb or 0.0 for cost in costs),
        costs[0].file_mb,
        "recorded",
    )


def measured(
    wanted: Iterable[Kind],
    script: Path,
    cache: Path,
    limit: float,
    told: Callable[[int, int], object],
) -> dict[str, Cost]:
    """Measure the costs of kinds of jobs on this machine, the most expensive first; results are cached.

    Args:
        wanted: kinds of jobs.
        script: script that reads tasks and writes a cost for each, see ``workflow/tools/measure.py``.
        cache: JSON file of earlier measurements, by task, machine and code; created if missing.
        limit: time limit in seconds, after which the remaining kinds stay unmeasured.
        told: called with the number of finished measurements and the total.

    Returns:
        Costs by :attr:`Kind.key`.
    """
    known: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        known = json.loads(cache.read_text())
    machine = [processor(), *gpus.present()]
    weight = Counter[str]()
    tasks = {}
    for kind in wanted:
        # a step of a training processes a batch, other units of work one pair
        batch = kind.task["recipe"]["batch"] if kind.job in ("train", "pretrain") else 1
        weight[kind.key] += round(kind.jobs * kind.work.units * batch * prod(kind.task["shape"]))
        tasks[kind.key] = kind.task
    names = {key: digest(task, machine, code_digest(script, *_modules(task))) for key, task in tasks.items()}
    missing = [key for key, _ in weight.most_common() if names[key] not in known]
    if missing:
        found = _run(script, [tasks[key] for key in missing], limit, told)
        known |= {names[key]: asdict(cost) for key, cost in zip(missing, found, strict=False) if cost}
        with suppress(OSError):
            write_json(cache, known)
    return {key: Cost.of(known[name]) for key, name in names.items() if name in known}


def _modules(task: Mapping[str, Any]) -> list[str]:
    """List the modules that a task imports dynamically."""
    network = task.get("recipe", {}).get("network")
    found = [f"likeness.networks.{network}"] if network else []
    found += losses.modules(task["loss"]) if "loss" in task else []
    found += metrics.modules()
    return [*found, f"likeness.extractors.{task['name']}"] if "name" in task else found


def _run(
    script: Path, tasks: Sequence[Mapping[str, Any]], limit: float, told: Callable[[int, int], object]
) -> list[Cost | None]:
    """Measure in a separate process, which can be killed for its time or memory; return the results up to then."""
    told(0, len(tasks))
    found: list[Cost | None] = []
    call = [sys.executable, str(script)]
    with subprocess.Popen(
        call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        timer = Timer(limit, process.kill)
        timer.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(tasks))
                process.stdin.close()
            for line in process.stdout:
                cost = json.loads(line)
                found.append(Cost.of(cost) if cost else None)
                told(len(found), len(tasks))
        finally:
            timer.cancel()
            process.kill()
    return found
