"""The summary of warp consistency: a row for every loss, over pairs and seeds."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from likeness.statistics.consistency import COLUMNS, summarise

SUBJECTS = "abcdef"


def rows(loss: str, level: float, seeds: tuple[int | None, ...] = (None,)) -> list[dict[str, object]]:
    random = np.random.default_rng(len(loss))
    pairs = list(zip(SUBJECTS, SUBJECTS[1:] + SUBJECTS[:1], strict=True))
    who = {"dataset": "d", "method": "optimisation", "loss": loss, "variant": "default"}
    said = {"lam": 0.1, "metric": "warp_consistency", "label": "all", "unit": "mm", "warp": 3.0}
    return [
        {**who, **said, "seed": seed, "moving": m, "fixed": f, "moving_subject": m, "fixed_subject": f}
        | {"value": level + 0.1 * random.standard_normal()}
        for seed, (m, f) in product(seeds, pairs)
    ]


def table(*parts: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame([row for part in parts for row in part]).astype({"seed": "Int64"})


def test_every_loss_has_its_mean_and_interval() -> None:
    pairs = table(rows("ncc", 0.4), rows("deepsim_ae", 1.0, (1, 2, 3)))
    found = summarise(pairs)
    assert list(found.columns) == COLUMNS
    by_loss = found.set_index("loss")
    assert dict(by_loss.n_seeds) == {"ncc": 0, "deepsim_ae": 3}
    assert (by_loss.n_pairs == len(SUBJECTS)).all()
    for loss, row in by_loss.iterrows():
        assert row["mean"] == pytest.approx(pairs.value[pairs.loss == loss].mean())
        assert 0 <= row.ci_low < row["mean"] < row.ci_high
        assert row.warp == 3.0


def test_no_interval_reaches_below_nothing() -> None:
    wide = table(rows("ncc", 0.4))
    wide["value"] = [0.0, 0.0, 0.0, 0.0, 0.0, 3.0]
    assert (summarise(wide).ci_low == 0).all()
