"""One measurement, in a process of its own: what to measure is the argument, the numbers are the last line printed.

Time is that of a forward and a backward pass, the median of several after a first one. Memory is the growth of that
first pass at full size over what the process held before it. Code that loads lazily, thread pools and the like are
there by then: a pass on a tiny image came first.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "lib"))
# behind everything else, so that no package of theirs replaces one of .venv
sys.path.append(str(Path(__file__).parents[1] / ".peers"))

import torch
from contestants import Contestant, Ready, agreement, autocast, contestant, images
from torch import Tensor

MEGABYTE = 2**20
FEWEST, SHORTEST, LONGEST = 3, 0.5, 5.0
"""Fewest passes, fewest seconds of all of them, and the seconds after which no further one begins."""


class Device:
    """Where it is computed: the CPU, or a CUDA device, which works asynchronously and counts its own memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cuda = name != "cpu"

    def now(self) -> float:
        """Give the time in seconds once everything is computed."""
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def forget_peak(self) -> float:
        """Start the search for a peak; give the memory in use, in bytes."""
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated()
        return _forget_peak_of_process()

    def peak(self) -> float:
        """Give the most memory in use since, in bytes."""
        if self.cuda:
            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated()
        return _peak_of_process()


def _status(key: str) -> int:
    """Read a size in bytes from what Linux tells of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _forget_peak_of_process() -> int:
    # `ru_maxrss` never falls: imports, or the parent before it gave way to this process, may have held more than the
    # pass to be measured ever will. Linux can start its own mark anew, from what is resident now.
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return _peak_of_process()


def _peak_of_process() -> int:
    try:
        return _status("VmHWM")
    except OSError:
        # macOS counts in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def one_pass(build: Contestant, pair: tuple[Tensor, Tensor], device: Device, dtype: str) -> tuple[float, float]:
    """Give seconds and bytes of a forward and a backward pass; gradients of an earlier one are dropped first."""
    ready = build(*pair)
    _drop_gradients(ready)
    held = device.forget_peak()
    began = device.now()
    with autocast(device.name, dtype):
        value = ready.forward()
    value.backward()
    ended = device.now()
    grown = device.peak() - held
    if not any(leaf.grad is not None for leaf in ready.leaves.values()):
        msg = "no gradient came back"
        raise RuntimeError(msg)
    _drop_gradients(ready)
    return ended - began, grown


def _drop_gradients(ready: Ready) -> None:
    if ready.module is not None:
        ready.module.zero_grad(set_to_none=True)


def measure(task: dict) -> dict:
    """Measure what a task names: loss, library, shape, device, dtype, threads, largest."""
    torch.set_num_threads(task["threads"])
    device, dims = Device(task["device"]), len(task["shape"]) - 2
    build, said = contestant(task["loss"], task["library"], dims, task["device"], task["largest"])
    tiny, pair = (images(tuple(s), task["device"]) for s in ([1, 1] + [16] * dims, task["shape"]))
    one_pass(build, tiny, device, task["dtype"])
    grown = one_pass(build, pair, device, task["dtype"])[1]
    seconds: list[float] = []
    while sum(seconds) < (SHORTEST if len(seconds) >= FEWEST else LONGEST):
        seconds.append(one_pass(build, pair, device, task["dtype"])[0])
    alike = None
    if task["library"] != "likeness":
        alike = agreement(build, task["loss"], dims, task["device"], task["largest"])
    return {
        "milliseconds": 1e3 * statistics.median(seconds),
        "peak_mb": max(grown, 0) / MEGABYTE,
        "agreement": alike,
        "said": said,
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
