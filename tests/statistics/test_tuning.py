"""The best trial of a loss: on validation pairs, by seeds together, and only if its fields do not fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from likeness.statistics.selection import CHOSEN
from likeness.statistics.tuning import COLUMNS, tune

TRIED = {"ncc": {"default": {"window": 9}, "trial_1": {"window": 5}, "trial_2": {"window": 7}}, "mse": {"default": {}}}


def run(loss: str, variant: str, score: float, **over: Any) -> dict[str, Any]:
    plain = {"dataset": "a", "method": "optimisation", "loss": loss, "variant": variant, "seed": None, "lam": 0.1}
    return {**plain, "score": score, "metric": "epe", "ndv": 0.0, "feasible": True, "end": "", **over}


def table(*runs: dict[str, Any]) -> pd.DataFrame:
    selection = pd.DataFrame(list(runs), columns=CHOSEN).astype({"seed": "Int64"})
    return tune(selection, TRIED).set_index(["dataset", "loss", "trial"])


def chosen(found: pd.DataFrame) -> list[tuple[str, str, int]]:
    return list(found.index[found.chosen])


def test_the_trial_with_the_best_score_is_chosen_by_dataset() -> None:
    runs = [run("ncc", variant, score) for variant, score in zip(TRIED["ncc"], (2.0, 1.5, 1.8), strict=True)]
    others = [
        run("ncc", variant, score, dataset="b", metric="dice")
        for variant, score in zip(TRIED["ncc"], (0.8, 0.7, 0.75), strict=True)
    ]
    found = table(*runs, *others, run("mse", "default", 3.0))
    assert list(found.reset_index()[COLUMNS].columns) == COLUMNS
    # the lowest error, the highest overlap
    assert chosen(found) == [("a", "mse", 0), ("a", "ncc", 1), ("b", "ncc", 0)]
    assert found.options["a", "ncc", 1] == '{"window": 5}'


def test_of_equal_trials_the_default_is_chosen() -> None:
    assert chosen(table(*(run("ncc", variant, 1.0) for variant in TRIED["ncc"]))) == [("a", "ncc", 0)]


def test_seeds_count_together() -> None:
    scores = {"default": (2.0, 2.0), "trial_1": (1.0, 3.5), "trial_2": (1.9, 1.9)}
    found = table(*(run("ncc", name, s, seed=k) for name, both in scores.items() for k, s in enumerate(both)))
    assert found.score["a", "ncc", 1] == 2.25
    assert list(found.seeds) == [2, 2, 2]
    assert chosen(found) == [("a", "ncc", 2)]


def test_a_trial_that_folds_or_diverges_is_not_chosen() -> None:
    folds = run("ncc", "trial_1", 1.0, feasible=False, end="roughest")
    diverges = run("ncc", "trial_2", np.nan, feasible=False)
    found = table(run("ncc", "default", 2.0), folds, diverges)
    assert chosen(found) == [("a", "ncc", 0)]
    assert found.note["a", "ncc", 1] == "every λ folds too much, λ at the roughest end of its grid"
    assert found.note["a", "ncc", 2] == "diverged at every λ"
    assert chosen(table(folds, diverges)) == []
