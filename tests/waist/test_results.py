"""How a run is named, in paths and in tables."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from likeness import results
from likeness.results import RUN, Run

RUNS = [
    (Run("cells", "voxelmorph", "ncc", "default", 1), "cells/voxelmorph/ncc/default/seed1"),
    (Run("cells", "syn", None, "mi"), "cells/syn/-/mi/seed-"),
    (Run("cells", "direct", "mse", "default"), "cells/direct/mse/default/seed-"),
    (Run("cells", "unregistered"), "cells/unregistered/-/-/seed-"),
]


@pytest.mark.parametrize(("run", "place"), RUNS, ids=[place for _, place in RUNS])
def test_what_a_run_has_not_is_a_hyphen_in_paths_and_read_back_as_nothing(run: Run, place: str) -> None:
    assert run.place == place
    assert Run.of(SimpleNamespace(**run.wildcards)) == run
    assert run.path(results.SCORES) == f"scores/{place}.parquet"
    assert results.record("score", run.place) == run.path(results.record("score", RUN))


def test_a_pattern_is_filled_in_for_chosen_runs() -> None:
    runs = [run for run, _ in RUNS]
    assert results.expand("{method}", runs) == ["voxelmorph", "syn", "direct", "unregistered"]
    assert results.expand("{method}", runs, loss=None) == ["syn", "unregistered"]
