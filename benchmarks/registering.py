"""One contestant on one dataset, in a process of its own: the task is the argument, requests come line by line as JSON.

Libraries have global state, threads above all, and some print. So each contestant has a process, whose standard output
goes to standard error, and the answers, one line each, to what was standard output. It waits while others are timed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))
# behind everything else, so that no package of theirs replaces one of .venv
sys.path.append(str(ROOT / ".peers-methods"))

import numpy as np  # noqa: E402
from peers import PEERS  # noqa: E402

from likeness.data.store import Dataset, Sample  # noqa: E402
from likeness.evaluation.scores import PairScorer  # noqa: E402

SMALL = 64
"""Most voxels along an axis of the pair that comes before all that is timed: code that loads lazily is there."""


def opened(folder: str, evaluate: list[int] | None) -> Dataset:
    """Open a prepared dataset, of which these labels are scored where they are named."""
    dataset = Dataset.open(folder)
    return dataset if evaluate is None else replace(dataset, meta={**dataset.meta, "evaluate": evaluate})


def scores(dataset: Dataset, moving: Sample, fixed: Sample, field: np.ndarray) -> dict[str, float]:
    """Score a field ``(*spatial, dims)`` in our convention, whoever made it, by the project's own metrics."""
    rows = PairScorer(dataset, moving, fixed).score(field, costly=False)
    one = {row["metric"]: row["value"] for row in rows if row["label"] == "all"}
    dice = np.array([row["value"] for row in rows if row["metric"] == "dice"])
    return {
        "dice": float(np.nanmean(dice)),
        "folding_percent": one["folding"],
        "ndv_percent": one["ndv" if "ndv" in one else "nda"],
        "std_log_j": one["sdlogj"],
    }


class Theirs:
    """Answers for a peer."""

    def __init__(self, dataset: Dataset, name: str, threads: int) -> None:
        import SimpleITK as sitk

        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        self.dataset = dataset
        self.peer = PEERS[name]
        first = dataset.load(dataset.images.index[0]).image
        small = first[tuple(slice(max(0, (n - SMALL) // 2), (n + SMALL) // 2) for n in first.shape)]
        ready = self.peer.build(small, small, dataset.spacing, self.peer.settings(dataset.spatial_dims)[0])
        ready.field(ready.register())

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Register ``pair`` at ``setting``."""
        moving, fixed = (self.dataset.load(name) for name in request["pair"])
        ready = self.peer.build(moving.image, fixed.image, self.dataset.spacing, request["setting"])
        began = time.perf_counter()
        found = ready.register()
        seconds = time.perf_counter() - began
        return {"seconds": seconds, **scores(self.dataset, moving, fixed, ready.field(found))}


class Ours:
    """Answers for the optimisation with one loss."""

    def __init__(self, dataset: Dataset, contestant: str, threads: int) -> None:
        from ours import Entry, Optimisation

        self.dataset = dataset
        self.optimisation = Optimisation(dataset, Entry.of(contestant), threads)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Fix the levels on ``pairs`` and score them there, or register ``pair`` along the path of ``weights``.

        Of the path only the levels ``scored`` are scored, numbers; ``alone`` is timed from the identity besides.
        """
        if "pairs" in request:
            return self._levels([(moving, fixed) for moving, fixed in request["pairs"]], Path(request["work"]))
        pair, weights = tuple(request["pair"]), request["weights"]
        made = self.optimisation.along(pair, weights)
        moving, fixed = (self.dataset.load(name) for name in pair)
        found: dict[str, Any] = {"seconds": [one.seconds for one in made], "scores": {}}
        found["evaluations"] = [one.evaluations for one in made]
        for level in request["scored"]:
            found["scores"][str(level)] = scores(self.dataset, moving, fixed, made[level].field)
        if request["alone"] is not None:
            found["seconds_level"] = self.optimisation.along(pair, [weights[request["alone"]]])[0].seconds
        return found

    def _levels(self, pairs: list[tuple[str, str]], work: Path) -> dict[str, Any]:
        began = time.perf_counter()
        steps, fields = self.optimisation.levels(pairs, work)
        validation: list[list[dict[str, float]]] = []
        for search in fields.searches:
            made = [(fields.read(search, *pair), *map(self.dataset.load, pair)) for pair in pairs]
            validation.append([scores(self.dataset, a, b, field) for field, a, b in made if field is not None])
        seconds = time.perf_counter() - began
        return {"levels": [step._asdict() for step in steps], "validation": validation, "seconds": seconds}


def main() -> None:
    """Answer until nothing more is asked."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    task = json.loads(sys.argv[1])
    import torch

    torch.set_num_threads(task["threads"])
    dataset = opened(task["dataset"], task["evaluate"])
    of: Theirs | Ours | None = None
    for line in sys.stdin:
        try:
            if of is None:
                name = task["contestant"]
                of = Theirs(dataset, name, task["threads"]) if name in PEERS else Ours(dataset, name, task["threads"])
            found = of.answer(json.loads(line))
        except (ImportError, RuntimeError, ValueError, ArithmeticError, StopIteration) as error:
            found = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]}
        print(json.dumps(found), file=answers)


if __name__ == "__main__":
    main()
