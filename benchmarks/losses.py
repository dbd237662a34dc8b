"""Time and peak memory of every loss against other libraries, and of those with a network against their naive form.

`make bench` runs it. Every measurement has a process of its own; libraries take turns, so that what else the machine
does hits all of them; the table has medians over the rounds. See `measuring.py` for what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

import pandas as pd  # noqa: E402
import targets  # noqa: E402
from tqdm import tqdm  # noqa: E402

from likeness import losses  # noqa: E402
from likeness.runtime.atomic import atomic_write  # noqa: E402

COLUMNS = ["loss", "library", "shape", "device", "dtype", "milliseconds", "peak_mb", "ratio_to_fastest_peer"]
ON_CPU = [targets.IMAGES, targets.VOLUME]
ON_CUDA = ["1x1x160x192x224"]
ALIKE = 0.7
"""Least correlation of a peer's gradient with ours: below, it does not compute the same quantity."""


class Case(NamedTuple):
    """A row of the table."""

    loss: str
    library: str
    shape: str
    device: str
    dtype: str


def libraries(loss: str) -> list[str]:
    """Name all forms of a loss, ours first."""
    from contestants import PEERS

    return ["likeness", *(["naive"] if losses.card(loss)["extractor"] else []), *PEERS.get(loss, {})]


def cases(names: Iterable[str], shapes: Iterable[str], device: str, dtypes: Iterable[str]) -> list[Case]:
    """List the rows: every form of every loss that exists in the dimensions of a shape."""
    return [
        Case(loss, library, shape, device, dtype)
        for shape in shapes
        for dtype in dtypes
        for loss in names
        if len(sizes(shape)) - 2 in losses.card(loss)["dimensions"]
        for library in libraries(loss)
    ]


def sizes(shape: str) -> list[int]:
    """Read a shape, ``batch x 1 x spatial``."""
    found = [int(n) if n.isdigit() else 0 for n in shape.split("x")]
    if len(found) not in (4, 5) or found[1] != 1 or min(found) < 1:
        sys.exit(f"{shape}: is no shape of grey images; write batch, 1 and two or three sizes, such as {ON_CPU[0]}")
    return found


def task(case: Case, threads: int, largest: float = targets.LARGEST) -> dict[str, Any]:
    """Say what `measuring.py` is to measure."""
    return case._asdict() | {"shape": sizes(case.shape), "threads": threads, "largest": largest}


def measured(case: Case, threads: int, largest: float = targets.LARGEST) -> dict[str, Any]:
    """Measure a case in a fresh process.

    Returns:
        What `measuring.py` prints, or why it could not, under ``failed``.
    """
    # no thread pool but that of the pass, and no compiler at work beside it
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    call = [sys.executable, str(Path(__file__).with_name("measuring.py")), json.dumps(task(case, threads, largest))]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    why = done.stderr.strip().splitlines()
    if why and why[-1].startswith("ModuleNotFoundError"):
        return {"failed": f"{why[-1]}; `make bench` installs it"}
    return {"failed": why[-1] if why else f"ended by signal {-done.returncode}, as for want of memory"}


def run(
    wanted: Sequence[Case], rounds: int, threads: int, largest: float
) -> tuple[dict[Case, list[dict[str, Any]]], dict[Case, str]]:
    """Measure all cases in turns.

    Returns:
        The measurements of each case, and why the others, which are tried no further, could not be measured.
    """
    found: dict[Case, list[dict[str, Any]]] = defaultdict(list)
    failed: dict[Case, str] = {}
    with tqdm(total=rounds * len(wanted), unit="process", disable=None) as bar:
        for turn in range(rounds):
            # nobody is always first
            for case in wanted if turn % 2 == 0 else wanted[::-1]:
                bar.set_postfix_str(f"{case.loss} {case.library} {case.shape}", refresh=False)
                if case not in failed:
                    result = measured(case, threads, largest)
                    if "failed" in result:
                        failed[case] = result["failed"]
                        found.pop(case, None)
                    else:
                        found[case].append(result)
                bar.update()
    return found, failed


def medians(found: Mapping[Case, Sequence[dict[str, Any]]]) -> tuple[pd.DataFrame, list[str]]:
    """Put the medians over rounds into a table.

    Returns:
        The columns of the file and ``agreement``, and what must be said of some rows: of a peer, for one, that is left
        out because it computes something else.
    """
    rows, said = [], []
    for case, results in found.items():
        alike = results[0]["agreement"]
        if alike is not None and alike < ALIKE:
            said.append(f"{case.loss} {case.library} {case.shape}: left out, its gradient agrees by {alike:.2f} only")
            continue
        if results[0]["said"]:
            said.append(f"{case.loss}: {results[0]['said']}")
        numbers = pd.DataFrame(results)[["milliseconds", "peak_mb"]].median()
        rows.append({**case._asdict(), **numbers.round(3), "agreement": alike})
    table = pd.DataFrame(rows, columns=[*Case._fields, "milliseconds", "peak_mb", "agreement"])
    return with_ratios(table)[[*COLUMNS, "agreement"]], list(dict.fromkeys(said))


def with_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Add what a row takes as a share of the fastest that is not ours, of the same loss in the same cell."""
    cell = ["loss", "shape", "device", "dtype"]
    fastest = table[table.library != "likeness"].groupby(cell).milliseconds.min().rename("fastest")
    joined = table.join(fastest, on=cell)
    return joined.assign(ratio_to_fastest_peer=(joined.milliseconds / joined.fastest).round(3)).drop(columns="fastest")


def show(table: pd.DataFrame, said: Iterable[str], threads: int) -> None:
    """Print the table, what must be said of it, and which targets are reached."""
    with pd.option_context("display.width", 160):
        print(table.to_string(index=False, na_rep="", float_format=lambda x: f"{x:.3g}" if x < 10 else f"{x:.0f}"))
    print("agreement: cosine between the gradients of a row and of ours by the moved image, on a small pair")
    for line in said:
        print(line)
    if threads != targets.THREADS and (table.device == "cpu").any():
        print(f"The targets are for {targets.THREADS} threads; these are {threads}.")
    for line, reached in targets.compared(table):
        print("reached     " if reached else "NOT REACHED ", line)


def plan(arguments: argparse.Namespace) -> list[Case]:
    """List the cases that the options ask for."""
    if arguments.rounds < 1:
        sys.exit(f"--rounds: {arguments.rounds} measure nothing; give at least 1")
    names = arguments.losses or losses.names()
    for unknown in set(names) - set(losses.names()):
        sys.exit(f"--losses: there is no loss '{unknown}'; there are {', '.join(losses.names())}")
    found = []
    if arguments.device in ("cpu", None):
        found += cases(names, arguments.shapes or ON_CPU, "cpu", arguments.dtype or ["float32"])
    if arguments.device == "cuda" or (arguments.device is None and _has_cuda()):
        found += cases(names, arguments.shapes or ON_CUDA, "cuda", arguments.dtype or ["float32", "bfloat16"])
    return found


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def options() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", nargs="+", metavar="LOSS", help="these alone; all by default")
    parser.add_argument("--shapes", nargs="+", metavar="BxCxN…", help=f"default {' '.join(ON_CPU)}; GPU {ON_CUDA[0]}")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes per row, default %(default)s")
    parser.add_argument("--threads", type=int, default=targets.THREADS, help="of the CPU, default %(default)s")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: the CPU, and a GPU where there is one")
    parser.add_argument("--dtype", nargs="+", choices=["float32", "bfloat16"], help="bfloat16 is autocast")
    network = "weights of the largest network on the CPU; of larger ones the tiny form; default %(default).0e"
    parser.add_argument("--largest", type=float, default=targets.LARGEST, help=network)
    place = ROOT / "results" / "benchmarks" / "losses.csv"
    parser.add_argument("--output", type=Path, default=place, help="default results/benchmarks/losses.csv")
    return parser


def main() -> int:
    """Measure, write the table and show it; give 1 if a loss of ours could not be measured."""
    arguments = options().parse_args()
    found, failed = run(plan(arguments), arguments.rounds, arguments.threads, arguments.largest)
    table, said = medians(found)
    with atomic_write(arguments.output) as temporary:
        table[COLUMNS].to_csv(temporary, index=False)
    said += [f"{case.loss} {case.library} {case.shape}: not measured, {why}" for case, why in failed.items()]
    show(table, said, arguments.threads)
    return int(any(case.library == "likeness" for case in failed))


if __name__ == "__main__":
    sys.exit(main())
