"""The benchmark of the metrics on a tiny pair: every metric has a row. Not who is fast."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from likeness import metrics

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import metrics as bench


def test_every_metric_of_volumes_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "metrics.csv"
    monkeypatch.setattr(sys, "argv", ["metrics.py", "--shape", "32x36x40", "--labels", "3", "--output", str(output)])
    assert bench.main() in (0, 1)
    table = pd.read_csv(output)
    assert table.metric.tolist() == [*(n for n in metrics.names() if 3 in metrics.card(n)["dimensions"]), "all"]
    assert (table.seconds >= 0).all()
    assert table.peak_mb.iloc[-1] > 0
