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
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

import pandas as pd  # noqa: E402
import targets  # noqa: E402
from tqdm import tqdm  # noqa: E402

from likeness import losses  # noqa: E402
from likeness.files import whole  # noqa: E402

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
    found = [int(n) for n in shape.split("x")]
    if len(found) not in (4, 5) or found[1] != 1 or min(found) < 1:
        msg = f"{shape}: is no shape of grey images; write batch, 1 and two or three sizes, such as {ON_CPU[0]}"
        raise argparse.ArgumentTypeError(msg)
    return found


def measured(case: Case, threads: int) -> dict[str, Any]:
    """Measure a case in a fresh process.

    Returns:
        What `measuring.py` prints, or why it could not, under ``failed``.
    """
    task = case._asdict() | {"shape": sizes(case.shape), "threads": threads}
    # no thread pool but that of the pass, and no compiler at work beside it
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    call = [sys.executable, str(Path(__file__).with_name("measuring.py")), json.dumps(task)]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    why = done.stderr.strip().splitlines()
    return {"failed": why[-1] if why else f"ended by signal {-done.returncode}, as for want of memory"}


def run(wanted: Sequence[Case], rounds: int, threads: int) -> tuple[pd.DataFrame, list[str]]:
    """Measure all cases in turns; one that fails is left out from then on.

    Returns:
        The table, without ratios, and what must be said of some of its rows.
    """
    found: dict[Case, list[dict[str, Any]]] = defaultdict(list)
    failed: dict[Case, str] = {}
    with tqdm(total=rounds * len(wanted), unit="process", disable=None) as bar:
        for turn in range(rounds):
            # nobody is always first
            for case in wanted if turn % 2 == 0 else wanted[::-1]:
                bar.set_postfix_str(f"{case.loss} {case.library} {case.shape}", refresh=False)
                if case not in failed:
                    result = measured(case, threads)
                    if "failed" in result:
                        failed[case] = result["failed"]
                    else:
                        found[case].append(result)
                bar.update()
    rows, said = [], [f"{case.loss} {case.library} {case.shape}: not measured, {why}" for case, why in failed.items()]
    for case in wanted:
        if case in failed or not found[case]:
            continue
        said += [f"{case.loss} {case.library} {case.shape}: {one}" for one in {r["said"] for r in found[case]} - {""}]
        alike = found[case][0]["agreement"]
        if alike is not None and alike < ALIKE:
            said.append(f"{case.loss} {case.library} {case.shape}: left out, its gradient agrees by {alike:.2f} only")
            continue
        medians = pd.DataFrame(found[case])[["milliseconds", "peak_mb"]].median()
        rows.append({**case._asdict(), **medians.round(3), "agreement": alike})
    return pd.DataFrame(rows, columns=[*Case._fields, "milliseconds", "peak_mb", "agreement"]), list(
        dict.fromkeys(said)
    )


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
    for line, reached in targets.judged(table):
        print("reached     " if reached else "NOT REACHED ", line)


def plan(arguments: argparse.Namespace) -> list[Case]:
    """List the cases that the options ask for."""
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
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes per row, default 5")
    parser.add_argument("--threads", type=int, default=targets.THREADS, help="of the CPU, default %(default)s")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: the CPU, and a GPU where there is one")
    parser.add_argument("--dtype", nargs="+", choices=["float32", "bfloat16"], help="bfloat16 is autocast")
    place = ROOT / "results" / "benchmarks" / "losses.csv"
    parser.add_argument("--output", type=Path, default=place, help="default results/benchmarks/losses.csv")
    return parser


def main() -> None:
    """Measure, write the table and show it."""
    arguments = options().parse_args()
    table, said = run(plan(arguments), arguments.rounds, arguments.threads)
    table = with_ratios(table)
    with whole(arguments.output) as temporary:
        table[COLUMNS].to_csv(temporary, index=False)
    show(table, said, arguments.threads)
    ours = [line for line in said if " likeness " in line and "not measured" in line]
    sys.exit(1 if ours else 0)


if __name__ == "__main__":
    main()
