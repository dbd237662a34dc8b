"""Where the time of an optimisation goes: ``size``, an evaluation on a volume, or ``profile``, a pair taken apart.

In a process of its own: what to measure is the second argument, the numbers are the last line printed.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "lib"))

import torch
from contestants import images
from measuring import MEGABYTE, Device

from likeness import losses, transformations
from likeness.losses import base
from likeness.losses.base import Registration
from likeness.methods import search
from likeness.methods.optimisation import Optimiser, Recipe
from likeness.training.device import make_device

EVALUATIONS = 6
"""On a volume; the first is not timed."""
MULTIPLE = 0.3
"""Of λ₀, at which a pair is taken apart."""


def size(task: dict[str, Any]) -> dict[str, Any]:
    """Measure evaluations of the objective at the finest level, and the most memory of the process.

    Returns:
        ``seconds_per_evaluation``, the median of whole steps of the search: transformation, warp, loss, gradient, step;
        ``peak_mb`` of the whole process, ``peak_mb_over_start`` without what it held before, images and libraries.
    """
    from ours import Entry, recipe

    device = make_device(task["threads"])
    shape = tuple(task["shape"])
    moving, fixed = images((1, 1, *shape), str(device))
    chosen = Recipe.of(recipe("", Entry(task["loss"], {}), task["threads"]))
    optimiser = Optimiser(losses.build(task["loss"]).to(device), shape, (1.0,) * len(shape), chosen, device)
    still = torch.zeros(1, len(shape), *shape, device=device)
    pair = Registration(moving, fixed, still, spacing=(1.0,) * len(shape))
    memory = Device(str(device))
    held, times = memory.forget_peak(), []

    def watched(self: Any, *what: Any, _take: Callable[..., Any] = search._State.take) -> Any:
        taken = _take(self, *what)
        times.append(memory.now())
        return taken

    search._State.take = watched  # type: ignore[method-assign]
    level = optimiser.levels[-1]
    level = level._replace(effort=search.Effort(level.effort.rate, level.effort.tolerance, EVALUATIONS))
    optimiser.optimise(lambda _: pair, optimiser.nothing(1), 0.01, level)
    steps = sorted(b - a for a, b in pairwise(times))
    return {
        "seconds_per_evaluation": round(steps[len(steps) // 2], 3),
        "peak_mb": round(memory.peak() / MEGABYTE),
        "peak_mb_over_start": round((memory.peak() - held) / MEGABYTE),
    }


class Sections:
    """Seconds by section; one inside another counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self.open: list[float] = []

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that its time counts for a section."""

        def run(*what: Any, **more: Any) -> Any:
            self.open.append(0.0)
            began = time.perf_counter()
            try:
                return function(*what, **more)
            finally:
                took = time.perf_counter() - began
                self.seconds[name] += took - self.open.pop()
                self.calls[name] += 1
                if self.open:
                    self.open[-1] += took

        return run


@contextmanager
def taken_apart(sections: Sections) -> Iterator[None]:
    """Time the parts of every optimisation meanwhile."""
    parts = [
        (transformations, "integrate", "integration of the velocity"),
        (transformations.Transformation, "displacement", "interpolation of the displacement"),
        (base, "warp", "warp of the moving image"),
        (Optimiser, "_energy", "regulariser"),
        (Optimiser, "_moved", "smoothing of the step"),
        (torch.autograd, "grad", "gradient of all of these"),
        (search._State, "take", "step and test of convergence"),
    ]
    before = [getattr(owner, name) for owner, name, _ in parts]
    for (owner, name, said), function in zip(parts, before, strict=True):
        setattr(owner, name, sections.timed(said, function))
    try:
        yield
    finally:
        for (owner, name, _), function in zip(parts, before, strict=True):
            setattr(owner, name, function)


def profile(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Take the time of one pair apart, at one level of the path from the identity, and name the costliest operations.

    Returns:
        ``part``, ``calls``, ``seconds`` and ``percent`` of the seconds of the pair: first the sections, timed by hand,
        then, from a second run under PyTorch's profiler, the operations inside them.
    """
    from ours import Entry, Optimisation
    from registering import opened

    ours = Optimisation(opened(task["dataset"], task["evaluate"]), Entry.of(task["contestant"]), task["threads"])
    pair, sections = tuple(task["pair"]), Sections()
    weights = [MULTIPLE * ours.objective.balance(ours.recipe.batch)]
    ours.along(pair, weights)
    ours.optimiser.loss.forward = sections.timed("loss", ours.optimiser.loss.forward)
    with taken_apart(sections):
        total = ours.along(pair, weights)[0].seconds
    sections.seconds["everything else"] = total - sum(sections.seconds.values())
    found = [
        {
            "part": name,
            "calls": sections.calls[name],
            "seconds": round(seconds, 3),
            "percent": round(100 * seconds / total, 1),
        }
        for name, seconds in sorted(sections.seconds.items(), key=lambda item: -item[1])
    ]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        ours.along(pair, weights)
    events = seen.key_averages()
    whole = sum(event.self_cpu_time_total for event in events)
    for event in sorted(events, key=lambda event: -event.self_cpu_time_total)[:10]:
        seconds = event.self_cpu_time_total / 1e6
        percent = round(100 * event.self_cpu_time_total / whole, 1)
        found.append({"part": event.key, "calls": event.count, "seconds": round(seconds, 3), "percent": percent})
    return found


if __name__ == "__main__":
    print(json.dumps({"size": size, "profile": profile}[sys.argv[1]](json.loads(sys.argv[2]))))
