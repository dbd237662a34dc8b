"""Our per-pair optimisation beside what a user would pick instead: seconds, Dice and regularity on the same pairs.

`make bench-methods` runs it. Every contestant registers the same pairs on the same number of threads, in a process of
its own, and they take turns pair by pair, so that what else the machine does hits all of them. What is timed is the
registration alone. Every field is converted into our convention and scored by the project's own metrics; label maps are
warped by our nearest neighbour.

Settings are chosen on validation pairs: a peer has as many as our path has levels. The choice is written into
`results/benchmarks/methods/` before a test pair is touched, and test pairs are scored at what was chosen and nothing
else. Everything measured is kept there: what was stopped goes on. The table is made of all that is there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from ours import Entry, recipe  # noqa: E402
from peers import PEERS  # noqa: E402
from tqdm import tqdm  # noqa: E402

from likeness import losses  # noqa: E402
from likeness.data.preparation import prepare  # noqa: E402
from likeness.data.store import Dataset  # noqa: E402
from likeness.runtime.atomic import atomic_write, write_json  # noqa: E402

COLUMNS = [
    "dataset",
    "method",
    "loss",
    "seconds",
    "dice",
    "folding_percent",
    "std_log_j",
    "ratio_to_fastest_peer",
    "ndv_percent",
    "setting",
    "chosen_by",
    "seconds_level",
    "seconds_path",
    "validation_dice",
    "pairs",
    "note",
]
SCORES = ["dice", "folding_percent", "ndv_percent", "std_log_j"]
LOSSES = ["mse", "ncc", "mind", "nmi"]
MOST_NDV = 0.01
"""Percent: a setting whose fields are turned inside out by more is chosen only where every one is."""
ITS_DEFAULTS = "its defaults"
"""What a peer's first setting is chosen by that is scored whatever validation pairs say."""
ALONE = 4
"""Test pairs on which ours goes along the whole path, and a level is timed from the identity."""
NOT_ON_PAGE = ["folding_percent", "validation_dice"]
"""Columns that the table on the page does without: NDV tells more, and the other is for the choice."""
WORK = ROOT / "results" / "benchmarks" / "methods"
PAGE = ROOT / "docs" / "methods.md"
Pair = tuple[str, str]
Row = dict[str, Any]


class Course(NamedTuple):
    """Which pairs of a dataset are registered.

    Attributes:
        every: test pairs that are taken, one in so many.
        test: how many of these at most.
        validation: validation pairs, spread evenly.
        evaluate: labels that are scored; ``None`` for those that the dataset names.
    """

    every: int = 1
    test: int = 24
    validation: int = 4
    evaluate: list[int] | None = None


COURSES = {
    "em-drosophila": Course(every=2, test=16, evaluate=[0, 1, 2, 4]),
    "phc-t98g": Course(every=2, test=24),
    "brain-ptbp": Course(test=12, validation=2),
}
"""The pairs that published values for ANTs SyN on these data are of."""


def chosen_pairs(dataset: Dataset, course: Course, most: int | None = None) -> tuple[list[Pair], list[Pair]]:
    """List the validation and the test pairs of a dataset, at most so many of the latter."""
    validation, test = dataset.pairs_of("val"), dataset.pairs_of("test")
    step = max(1, len(validation) // course.validation)
    return validation[::step][: course.validation], test[:: course.every][: course.test][:most]


def choose(trials: Mapping[int, Sequence[Mapping[str, float]]]) -> int | None:
    """Choose a setting by the mean Dice of validation pairs among those that keep space the right way out.

    Args:
        trials: scores of every validation pair by the number of the setting.

    Returns:
        Its number; ``None`` where none has scores. Where all turn too much inside out, the one that does least; ties go
        to the first.
    """
    means = {k: {key: _mean(pair[key] for pair in pairs) for key in SCORES} for k, pairs in trials.items() if pairs}
    sound = {k: found for k, found in means.items() if all(math.isfinite(value) for value in found.values())}
    if not sound:
        return None
    feasible = [k for k in sorted(sound) if sound[k]["ndv_percent"] <= MOST_NDV]
    if feasible:
        return max(feasible, key=lambda k: sound[k]["dice"])
    return min(sorted(sound), key=lambda k: sound[k]["ndv_percent"])


def no_rougher(trials: Mapping[int, Sequence[Mapping[str, float]]], limit: float) -> int | None:
    """Choose, on validation pairs, the roughest level whose mean std log J is at most a limit and that does not fold.

    Returns:
        Its number; ``None`` where every level is rougher.
    """
    rough = {k: _mean(pair["std_log_j"] for pair in pairs) for k, pairs in trials.items() if pairs}
    folds = {k: _mean(pair["ndv_percent"] for pair in pairs) for k, pairs in trials.items() if pairs}
    smooth = [k for k in sorted(rough) if rough[k] <= limit and folds[k] <= MOST_NDV]
    return max(smooth, key=lambda k: rough[k]) if smooth else None


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


class Log:
    """What was measured of a contestant on a dataset, one line each, kept as it comes.

    Args:
        path: of the file.
        conditions: under which it was measured; what was measured under others does not count and is put aside.
    """

    def __init__(self, path: Path, conditions: Row) -> None:
        self.path = path
        self.conditions = json.dumps(conditions)
        self.rows: list[Row] = []
        # the last line may be cut short
        lines = [line for line in self._text().splitlines(keepends=True) if line.endswith("\n")]
        if lines and lines[0].strip() == self.conditions:
            self.rows = [json.loads(line) for line in lines[1:]]

    def _text(self) -> str:
        return self.path.read_text() if self.path.exists() else ""

    def begin(self) -> None:
        """Begin anew: what failed is forgotten and tried again, what does not count is put aside."""
        if (text := self._text()) and text.splitlines()[0] != self.conditions:
            self.path.replace(self.path.with_suffix(".old"))
        self.rows = [row for row in self.rows if "failed" not in row]
        with atomic_write(self.path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in (self.conditions, *map(json.dumps, self.rows))))

    def add(self, row: Row) -> None:
        """Keep a measurement."""
        self.rows.append(json.loads(json.dumps(row)))
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def of(self, **wanted: object) -> list[Row]:
        """Give the measurements with these entries."""
        return [row for row in self.rows if all(row.get(key) == value for key, value in wanted.items())]


class Worker:
    """A contestant's process, started when it is first asked."""

    def __init__(self, task: Row) -> None:
        self.task = task
        self.process: subprocess.Popen[str] | None = None

    def ask(self, request: Row) -> Row:
        """Let it do something; where its process ends over that, say so."""
        if self.process is None or self.process.poll() is not None:
            names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
            environment = os.environ | dict.fromkeys(names, str(self.task["threads"]))
            place = WORK / self.task["name"] / f"{self.task['contestant']}.log"
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("a") as said:
                self.process = subprocess.Popen(
                    [sys.executable, str(Path(__file__).with_name("registering.py")), json.dumps(self.task)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                    env=environment,
                )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        return json.loads(answer) if answer else {"failed": f"its process ended with {self.process.wait()}"}

    def end(self) -> None:
        """Let the process end."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait()


def code() -> str:
    """Digest the code that our results depend on, so that they are measured anew where it has changed."""
    library = ROOT / "workflow" / "lib" / "likeness"
    files = [library / f"{name}.py" for name in ("geometry", "interpolation", "transformations")]
    files += [path for room in ("losses", "methods") for path in sorted((library / room).glob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


class Contestant:
    """One way to register the pairs of one dataset: its measurements and its choice.

    Args:
        name: a peer of :data:`peers.PEERS`, or one of ours, see :meth:`ours.Entry.of`.
        dataset: the prepared dataset.
        folder: of it.
        course: which pairs.
        threads: of the processor.
    """

    def __init__(self, name: str, dataset: Dataset, folder: Path, course: Course, threads: int) -> None:
        self.name = name
        self.dataset = dataset
        self.peer = PEERS.get(name)
        self.entry = Entry.of(name) if self.peer is None else Entry(self.peer.loss, {})
        self.validation = chosen_pairs(dataset, course)[0]
        self.place = WORK / dataset.name
        self.worker = Worker(
            {
                "name": dataset.name,
                "contestant": name,
                "dataset": str(folder),
                "evaluate": course.evaluate,
                "threads": threads,
            }
        )
        self.settings: list[Row] = [] if self.peer is None else list(self.peer.settings(dataset.spatial_dims))
        conditions: Row = {"threads": threads, "evaluate": course.evaluate, "validation": self.validation}
        conditions["settings"] = self.settings or recipe(dataset.name, self.entry, threads)
        conditions["code"] = "" if self.peer else code()
        self.log = Log(self.place / f"{name}.jsonl", conditions)
        # fields of the search for levels are as good as the conditions under which they were found
        self.work = self.place / f"{name}-{hashlib.sha256(self.log.conditions.encode()).hexdigest()[:8]}"
        self.refused = "" if self.peer is None else self.peer.refuses(dataset.shape)
        if self.peer is None and dataset.spatial_dims not in losses.card(self.entry.loss)["dimensions"]:
            self.refused = f"the loss has no form in {dataset.spatial_dims}D"

    @property
    def ours(self) -> bool:
        """Whether it is the optimisation."""
        return self.peer is None

    @property
    def loss(self) -> str:
        """Its measure, as the table calls it."""
        return str(self.entry)

    def trial(self, pair: Pair) -> None:
        """Register a validation pair at every setting; ours fixes its levels on all of these pairs at once."""
        if self.ours:
            if not self.log.of(split="levels"):
                request = {"pairs": self.validation, "work": str(self.work)}
                self.log.add({"split": "levels", **self.worker.ask(request)})
            return
        for number, setting in enumerate(self.settings):
            if not self.log.of(split="val", pair=list(pair), setting=number):
                answer = self.worker.ask({"pair": pair, "setting": setting})
                self.log.add({"split": "val", "pair": pair, "setting": number, **answer})

    @property
    def tried(self) -> bool:
        """Whether every setting was tried on every validation pair."""
        if self.ours:
            return bool(self.log.of(split="levels"))
        return len(self.log.of(split="val")) == len(self.settings) * len(self.validation)

    @property
    def trials(self) -> dict[int, list[Row]]:
        """Scores of every validation pair by the number of the setting; empty where one of them failed."""
        if self.ours:
            found = next(iter(self.log.of(split="levels")), {})
            return {k: pairs for k, pairs in enumerate(found.get("validation", [])) if pairs}
        found = {k: self.log.of(split="val", setting=k) for k in range(len(self.settings))}
        return {k: [] if any("failed" in row for row in rows) else rows for k, rows in found.items()}

    @property
    def levels(self) -> list[Row]:
        """Ours: the levels of its path, smooth to rough, by their number."""
        found = next(iter(self.log.of(split="levels")), {})
        return found.get("levels", [])

    @property
    def failure(self) -> str:
        """Why it has no choice, or nothing."""
        return self.refused or next((row["failed"] for row in self.log.rows if "failed" in row), "")

    def setting(self, number: int) -> str:
        """Describe a setting for the table."""
        if self.ours:
            level = self.levels[number]
            return f"roughness={level['roughness']:g} λ={level['weight']:.3g}"
        return " ".join(f"{key}={value}".replace(" ", "") for key, value in self.settings[number].items())

    def test(self, pair: Pair, turn: int, chosen: int, wanted: Sequence[int], alone: bool) -> None:
        """Register a test pair at the settings that are wanted, of which ours goes along a path and times one alone."""
        known = self.log.of(split="test", pair=list(pair), round=turn)
        row: Row = {"split": "test", "pair": pair, "round": turn}
        if not self.ours:
            for number in sorted(set(wanted) - {one["setting"] for one in known}):
                answer = self.worker.ask({"pair": pair, "setting": self.settings[number]})
                self.log.add({**row, "setting": number, **answer})
            return
        if any(set(map(str, wanted)) <= set(one.get("scores", {})) for one in known):
            return
        # a path ends at the roughest level that is scored, but on the pairs on which a whole one is timed
        path = [k for k, level in enumerate(self.levels) if level["attained"] and (alone or k <= max(wanted))]
        request = {
            "pair": pair,
            "weights": [self.levels[k]["weight"] for k in path],
            "scored": [path.index(k) for k in wanted],
            "alone": path.index(chosen) if alone else None,
        }
        answer = self.worker.ask(request)
        if "scores" in answer:
            answer["scores"] = {str(path[int(k)]): value for k, value in answer["scores"].items()}
        self.log.add({**row, "path": path, **answer})


def matched(ours: Contestant, peers: Iterable[Contestant], choices: Mapping[str, int]) -> dict[str, int | None]:
    """Choose the level of ours that is no rougher than each peer with the same measure, on validation pairs."""
    found = {}
    for one in peers:
        if one.peer is not None and one.peer.alike == ours.entry.loss and one.name in choices:
            limit = _mean(row["std_log_j"] for row in one.trials[choices[one.name]])
            found[one.name] = no_rougher(ours.trials, limit)
    return found


def race(contestants: Sequence[Contestant], test: Sequence[Pair], rounds: int) -> None:
    """Let contestants on one dataset choose on validation pairs, write the choices down and register the test pairs."""
    running = [one for one in contestants if not one.refused]
    name = contestants[0].dataset.name
    for one in contestants:
        one.log.begin()
    try:
        for pair in tqdm(contestants[0].validation, desc=f"{name} validation", disable=None):
            for one in running:
                one.trial(pair)
        choices, further = decide(contestants)
        running = [one for one in running if one.name in choices]
        turns = [(turn, k, pair) for turn in range(rounds) for k, pair in enumerate(test)]
        for turn, k, pair in tqdm(turns, desc=f"{name} test", disable=None):
            # nobody is always first
            for one in running if (turn + k) % 2 == 0 else running[::-1]:
                wanted = {choices[one.name], *(v for v in further.get(one.name, {}).values() if v is not None)}
                one.test(pair, turn, choices[one.name], sorted(wanted), alone=turn == 0 and k < ALONE)
    finally:
        for one in contestants:
            one.worker.end()


def decide(contestants: Sequence[Contestant]) -> tuple[dict[str, int], dict[str, dict[str, int | None]]]:
    """Choose for all contestants on one dataset, on validation pairs, and write it down.

    Returns:
        The number of the chosen setting by contestant, and those of what else is scored of it on test pairs: of ours,
        by peer, the level that is no rougher; of some peers their own defaults.
    """
    entered = [one for one in contestants if one.tried and not one.refused]
    choices = {one.name: k for one in entered if (k := choose(one.trials)) is not None}
    ours = [one for one in contestants if one.ours and one.name in choices]
    further: dict[str, dict[str, int | None]] = {one.name: matched(one, contestants, choices) for one in ours}
    as_they_come = [one for one in entered if one.peer is not None and one.peer.as_it_comes and one.trials[0]]
    further |= {one.name: {ITS_DEFAULTS: 0} for one in as_they_come}
    for one in contestants:
        if one.name in choices:
            means = {
                one.setting(k): {key: _mean(row[key] for row in rows) for key in SCORES}
                for k, rows in one.trials.items()
                if rows
            }
            content: Row = {"chosen": one.setting(choices[one.name]), "validation": means}
            if one.ours:
                content["no_rougher_than"] = {
                    peer: None if k is None else one.setting(k) for peer, k in further[one.name].items()
                }
            write_json(one.place / f"{one.name}.choice.json", content)
    return choices, further


def rows(contestants: Sequence[Contestant], test: Sequence[Pair]) -> list[Row]:
    """Make the rows of the table for one dataset of everything that was measured."""
    choices, further = decide(contestants)
    found = []
    for one in contestants:
        plain = {
            "dataset": one.dataset.name,
            "method": "optimisation" if one.ours else one.peer.method,
            "loss": one.loss,
        }
        if one.name not in choices:
            if one.failure:
                found.append({**plain, "note": one.failure})
            continue
        measured = [row for pair in test for row in one.log.of(split="test", pair=list(pair))]
        failed = [row["failed"] for row in measured if "failed" in row]
        measured = [row for row in measured if "failed" not in row]
        wanted: dict[int | None, list[str]] = {choices[one.name]: ["validation"]}
        for by, number in further.get(one.name, {}).items():
            wanted.setdefault(number, []).append(by if by == ITS_DEFAULTS else f"no rougher than {by}")
        for number, reasons in wanted.items():
            row = {**plain, "chosen_by": "; ".join(reasons)}
            if number is None:
                found.append({**row, "note": "every level is rougher on validation pairs"})
                continue
            row |= {
                "setting": one.setting(number),
                "validation_dice": _mean(pair["dice"] for pair in one.trials[number]),
                "note": f"{len(failed)} failed: {failed[0]}" if failed else "",
                **(_of_path(measured, number) if one.ours else _of_setting(measured, number)),
            }
            found.append(row)
    return found


def _of_setting(measured: Sequence[Row], number: int) -> Row:
    """Sum up a peer's test pairs: medians of seconds, means of scores."""
    table = pd.DataFrame([row for row in measured if row["setting"] == number])
    return _summary(table) if len(table) else {"pairs": 0}


def _of_path(measured: Sequence[Row], number: int) -> Row:
    """Sum up our test pairs at a level, to which the path leads through those before it."""
    table = [
        {"pair": row["pair"], **row["scores"][str(number)], "seconds": row["seconds"][row["path"].index(number)]}
        for row in measured
        if str(number) in row["scores"]
    ]
    if not table:
        return {"pairs": 0}
    found = _summary(pd.DataFrame(table))
    whole_ones = [row for row in measured if "seconds_level" in row]
    if whole_ones:
        found["seconds_path"] = float(np.median([row["seconds"][-1] for row in whole_ones]))
        found["seconds_level"] = float(np.median([row["seconds_level"] for row in whole_ones]))
    return found


def _summary(table: pd.DataFrame) -> Row:
    pairs = table.assign(pair=table.pair.map(tuple)).groupby("pair", sort=False)
    each = pairs[["seconds", *SCORES]].median()
    return {"seconds": float(each.seconds.median()), **each[SCORES].mean().to_dict(), "pairs": len(each)}


def with_ratios(found: Sequence[Row]) -> pd.DataFrame:
    """Make the table, with what a row takes as a share of the fastest peer's seconds on the same dataset."""
    table = pd.DataFrame(found, columns=COLUMNS)
    peers = table[(table.method != "optimisation") & table.seconds.notna()]
    fastest = peers.groupby("dataset").seconds.min()
    table["ratio_to_fastest_peer"] = table.seconds.astype(float) / table.dataset.map(fastest)
    digits = {"seconds": 3, "seconds_level": 3, "seconds_path": 3, "ratio_to_fastest_peer": 2, "ndv_percent": 5}
    digits |= {"dice": 4, "validation_dice": 4, "folding_percent": 4, "std_log_j": 4}
    for column, places in digits.items():
        table[column] = table[column].astype(float).round(places)
    return table


def everything(data: Path, names: Iterable[str], threads: int) -> pd.DataFrame:
    """Make the table of all that was measured of these datasets."""
    found: list[Row] = []
    for name in names:
        there = [one for one in ALL if (WORK / name / f"{one}.jsonl").exists()]
        contestants, test = entered(data, name, there, threads, None)
        found += rows(contestants, test)
    return with_ratios(found)


def entered(
    data: Path, name: str, names: Sequence[str], threads: int, most: int | None
) -> tuple[list[Contestant], list[Pair]]:
    """Prepare a dataset where it is not yet, and enter contestants for it; give them and its test pairs."""
    folder = WORK / "prepared" / name
    if not folder.exists():
        prepare(data / name, folder, name=name)
    dataset, course = Dataset.open(folder), COURSES.get(name, Course())
    contestants = [Contestant(one, dataset, folder, course, threads) for one in names]
    return contestants, chosen_pairs(dataset, course, most)[1]


ALL = [*(f"optimisation-{loss}" for loss in LOSSES), "optimisation-ncc-window=17", *PEERS]
"""Of CC both windows of 9 and of 17 voxels are tried, ours and by peers."""


def show(table: pd.DataFrame) -> None:
    """Print the table."""
    with pd.option_context("display.width", 220, "display.max_colwidth", 60):
        print(table.to_string(index=False, na_rep="", float_format=lambda x: f"{x:.4g}"))


# --- what an iteration on a volume takes


def measured_size(shape: Sequence[int], names: Sequence[str], threads: int) -> pd.DataFrame:
    """Measure evaluations of the objective on one 3D pair, each loss in a process of its own."""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    found = []
    for loss in names:
        task = json.dumps({"loss": loss, "shape": list(shape), "threads": threads})
        call = [sys.executable, str(Path(__file__).with_name("inside.py")), "size", task]
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
        answer = {"note": " ".join(done.stderr.split())[-200:]}
        if done.returncode == 0:
            answer = json.loads(done.stdout.splitlines()[-1])
        found.append({"loss": loss, "shape": "x".join(map(str, shape)), "threads": threads, **answer})
    return pd.DataFrame(found)


def profiled(data: Path, name: str, names: Sequence[str], threads: int) -> pd.DataFrame:
    """Take the time of one test pair of a dataset apart, for each loss, at the middle level of its path."""
    contestants, _ = entered(data, name, [f"optimisation-{loss}" for loss in names], threads, 1)
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    found = []
    for one in contestants:
        task = json.dumps({**one.worker.task, "pair": one.validation[0]})
        call = [sys.executable, str(Path(__file__).with_name("inside.py")), "profile", task]
        done = subprocess.run(call, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found += [{"dataset": name, "loss": one.loss, **row} for row in json.loads(done.stdout.splitlines()[-1])]
    return pd.DataFrame(found)


# --- the page


def machine() -> str:
    """Name processor, cores and memory."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        processor = models[0] if models else processor
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{processor}, {os.cpu_count()} cores, {memory:.0f} GB; {platform.system()}, Python {platform.python_version()}"
    )


def markdown(table: pd.DataFrame, without: Sequence[str] = ()) -> str:
    """Write a table in Markdown, without some columns."""
    table = table.drop(columns=[column for column in without if column in table])
    text = table.astype(object).where(table.notna(), "").map(lambda x: f"{x:.4g}" if isinstance(x, float) else str(x))
    lines = [list(text.columns), ["---"] * len(text.columns), *text.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def write_page(page: Path, folder: Path) -> None:
    """Put the tables of a folder between the markers of the page; what was not measured is said to be so."""
    text = page.read_text()
    for name in ("methods", "methods_size", "methods_profile", "methods_when"):
        path = folder / (f"{name}.csv" if name != "methods_when" else f"{name}.txt")
        content = "Not measured yet."
        if path.exists():
            content = path.read_text().strip() if path.suffix == ".txt" else markdown(pd.read_csv(path), NOT_ON_PAGE)
        begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
        before, rest = text.split(begin, 1)
        text = f"{before}{begin}\n{content}\n{end}{rest.split(end, 1)[1]}"
    page.write_text(text)


# --- the command line


def shape_of(text: str) -> list[int]:
    """Read the shape of a volume."""
    found = [int(n) if n.isdigit() else 0 for n in text.split("x")]
    if len(found) != 3 or min(found) < 8:
        sys.exit(f"--size {text}: is no shape of a volume; write three sizes of at least 8, such as 160x192x224")
    return found


def options() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="folder of the datasets, default data/")
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help=f"these alone; default {' '.join(COURSES)}")
    parser.add_argument("--contestants", nargs="+", metavar="NAME", help=f"these alone; default {' '.join(ALL)}")
    parser.add_argument("--losses", nargs="+", metavar="LOSS", help=f"of ours; default {' '.join(LOSSES)}")
    parser.add_argument("--pairs", type=int, help="test pairs at most; 0 chooses on validation pairs alone")
    parser.add_argument(
        "--threads", type=int, default=1, help="of the processor, of each contestant; default %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=1, help="registrations of each test pair, default %(default)s")
    parser.add_argument("--size", metavar="AxBxC", help="measure evaluations and memory of ours on a volume instead")
    parser.add_argument("--profile", action="store_true", help="take a pair's time of ours apart instead")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/methods.md and do nothing else")
    place = ROOT / "results" / "benchmarks" / "methods.csv"
    parser.add_argument("--output", type=Path, default=place, help="default results/benchmarks/methods.csv")
    return parser


def checked(arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Check what the options name; give datasets and contestants."""
    if arguments.rounds < 1:
        sys.exit(f"--rounds: {arguments.rounds} measure nothing; give at least 1")
    datasets = arguments.datasets or list(COURSES)
    for name in datasets:
        if not (arguments.data / name / "dataset.yaml").exists():
            sys.exit(
                f"--datasets: {arguments.data / name} is no dataset; config/evidence.yaml says where they come from"
            )
    names = arguments.contestants or ALL
    if arguments.losses:
        ours = [f"optimisation-{loss}" for loss in arguments.losses]
        names = [*ours, *(name for name in names if not name.startswith("optimisation-"))]
    known = {*PEERS, *(f"optimisation-{loss}" for loss in losses.names() if not losses.card(loss)["extractor"])}
    # options of ours stand behind the loss
    stems = {name: re.sub(r"^(optimisation-\w+)(-\w+=[^-=]+)+$", r"\1", name) for name in names}
    for unknown in [name for name, stem in stems.items() if stem not in known]:
        sys.exit(f"--contestants: there is no '{unknown}'; there are {', '.join(sorted(known))}")
    return datasets, names


def main() -> int:
    """Do what the options ask for."""
    arguments = options().parse_args()
    folder = arguments.output.parent
    if arguments.page:
        write_page(PAGE, folder)
        return 0
    if arguments.size:
        table = measured_size(shape_of(arguments.size), arguments.losses or ["mse", "ncc", "mind"], arguments.threads)
        return _finished(table, folder / "methods_size.csv")
    datasets, names = checked(arguments)
    if arguments.profile:
        chosen = arguments.losses or LOSSES
        table = pd.concat([profiled(arguments.data, name, chosen, arguments.threads) for name in datasets])
        return _finished(table, folder / "methods_profile.csv")
    for name in datasets:
        race(*entered(arguments.data, name, names, arguments.threads, arguments.pairs), arguments.rounds)
    there = [name for name in dict.fromkeys([*COURSES, *datasets]) if (WORK / name).exists()]
    with atomic_write(folder / "methods_when.txt") as temporary:
        temporary.write_text(f"{date.today():%Y-%m-%d}, {machine()}; {arguments.threads} thread each.\n")
    return _finished(everything(arguments.data, there, arguments.threads), arguments.output)


def _finished(table: pd.DataFrame, output: Path) -> int:
    with atomic_write(output) as temporary:
        table.to_csv(temporary, index=False)
    show(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
