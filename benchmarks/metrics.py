"""Time every metric on one large pair that has all parts: `make bench-metrics`.

Seconds are of the processor, on one thread, so that a machine that does other things too changes little. What several
metrics use is computed once, and its time is that of the first. The last row is all of them, with the most memory that
the process ever held.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from measuring import MEGABYTE, Device  # noqa: E402
from scipy.spatial import KDTree  # noqa: E402

from likeness import metrics  # noqa: E402
from likeness.data.store import Sample  # noqa: E402
from likeness.datasets.simulate.fields import random_warp  # noqa: E402
from likeness.geometry import resize_displacement, to_array, to_tensor, warp_labels  # noqa: E402
from likeness.metrics.base import Pair, Registered, given  # noqa: E402
from likeness.runtime.atomic import atomic_write  # noqa: E402

SHAPE, LABELS = (160, 192, 224), 24
SECONDS, MEMORY = 20.0, 4096
"""What all metrics together are to stay within; the memory in MB."""
LANDMARKS = 300
COARSE = 4
"""Voxels between the points of the grid on which displacements are drawn."""


def warp(
    shape: tuple[int, ...], scales: tuple[int, int], sizes: tuple[int, int], random: np.random.Generator
) -> np.ndarray:
    """Draw a displacement ``(*shape, dims)`` in voxels, on a coarse grid, since drawing is not what is measured."""
    coarse = tuple(n // COARSE for n in shape)
    drawn = random_warp(coarse, (COARSE,) * len(shape), scales, sizes, random)
    return to_array(resize_displacement(to_tensor(drawn), shape))


def template(shape: tuple[int, ...], labels: int) -> np.ndarray:
    """Draw structures with winding surfaces inside an ellipsoid, ``(*shape)``, int16; 0 around it."""
    random = np.random.default_rng(0)
    half = (np.array(shape) - 1) / 2
    seeds = half + random.uniform(-0.6, 0.6, (labels, len(shape))) * half
    grid = np.moveaxis(np.indices(shape, np.float32), 0, -1)
    winding = grid + warp(shape, (8, 16), (2, 3), random)
    inside = np.linalg.norm((grid - half) / half, axis=-1) < 0.85
    drawn = np.zeros(shape, np.int16)
    drawn[inside] = 1 + KDTree(seeds).query(winding[inside])[1]
    return drawn


def drawn(shape: tuple[int, ...], labels: int) -> Registered:
    """Draw a pair with every part, at a displacement that is nearly the true one, with one of the other direction."""
    structures, dims = template(shape, labels), len(shape)
    lesion = np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - np.array(shape) / 2, axis=-1) < 12
    images = []
    for place, name in enumerate("mf"):
        random = np.random.default_rng(place + 1)
        field = warp(shape, (16, 32), (2, 4), random)
        label = warp_labels(structures, field)
        image = (label / labels + 0.1 * random.standard_normal(shape)).clip(0, 1).astype(np.float32)
        sample = Sample(name, image, label=label, instances=label.astype(np.int32), mask=label > 0, field=field)
        points = random.uniform(20, 120, (LANDMARKS, dims))
        images.append(replace(sample, unmatched=warp_labels(lesion, field), landmarks=points))
    scored = range(1, labels + 1)
    moving, fixed = images
    pair = Pair(moving, fixed, spacing=(1.0,) * dims, unit="mm", labels=scored, held_out=scored[::2], related=True)
    there = given(fixed.field) - given(moving.field)
    return pair.at(there, -there)


def measured(registered: Registered) -> pd.DataFrame:
    """Time every metric; the columns ``metric`` and ``seconds``."""
    rows = []
    for name in metrics.names():
        if registered.displacement.shape[-1] in metrics.card(name)["dimensions"]:
            score, began = metrics.scorer(name), time.process_time()
            assert score(registered) is not None
            rows.append((name, time.process_time() - began))
    return pd.DataFrame(rows, columns=["metric", "seconds"])


def main() -> int:
    """Measure, write the table and show it; give 1 if the metrics need more than they should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="x".join(map(str, SHAPE)), metavar="NxN…", help="default %(default)s")
    parser.add_argument("--labels", type=int, default=LABELS, help="default %(default)s")
    place = ROOT / "results" / "benchmarks" / "metrics.csv"
    parser.add_argument("--output", type=Path, default=place, help="default results/benchmarks/metrics.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registered = drawn(tuple(int(n) for n in arguments.shape.split("x")), arguments.labels)
    memory = Device("cpu")
    memory.forget_peak()
    table = measured(registered)
    total = pd.DataFrame({"metric": ["all"], "seconds": [table.seconds.sum()], "peak_mb": [memory.peak() / MEGABYTE]})
    table = pd.concat([table, total], ignore_index=True).round({"seconds": 2, "peak_mb": 0})
    with atomic_write(arguments.output) as temporary:
        table.to_csv(temporary, index=False)
    print(table.to_string(index=False, na_rep=""))
    seconds, peak = table.seconds.iloc[-1], table.peak_mb.iloc[-1]
    reached = seconds <= SECONDS and peak <= MEMORY
    print(f"{'reached' if reached else 'NOT REACHED'}: {SECONDS:g} s and {MEMORY} MB on one core")
    return int(not reached)


if __name__ == "__main__":
    sys.exit(main())
