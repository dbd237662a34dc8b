"""The mixed model of pairs: held against lme4 and pbkrtest, and calibrated where the tests of a study are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likeness.statistics.calibration import CASES, SHARES, calibrate
from likeness.statistics.mixed_model import Means, Observations, PairGraph

GRAPHS = {
    "ring8": [(i, i % 8 + 1) for i in range(1, 9)],
    "all6": [(i, j) for i in range(1, 7) for j in range(i + 1, 7)],
    "sparse": list(zip((1, 1, 2, 3, 4, 5, 6, 6, 7), (2, 3, 4, 4, 5, 1, 7, 8, 8), strict=True)),
}
# graph, scores; mean, standard error, τ², σ² of lme4 1.1; Kenward and Roger's degrees of freedom of pbkrtest 0.5
ORACLE = [
    (
        "ring8",
        [-0.326, 0.484, -0.536, 1.895, 0.63, -0.52, 0.787, 1.038],
        0.4315,
        0.301585927106,
        0.0,
        0.7276325714,
        1.666666667,
    ),
    (
        "ring8",
        [0.473, 2.088, 2.452, 0.732, -0.766, 0.319, 1.131, -1.318],
        0.638875,
        0.669490808197,
        0.8360461425,
        0.2415589682,
        4.486107177,
    ),
    (
        "ring8",
        [1.533, -0.072, -3.517, -3.038, -0.185, 2.906, 3.284, 1.839],
        0.34375,
        1.11765992619,
        2.490155509,
        0.03268765046,
        5.908641419,
    ),
    (
        "all6",
        [0.135, 0.047, 0.997, 0.857, -0.389, -0.407, 0.665, 1.069, 0.188, 1.181, 0.698, -0.312, 0.641, -0.829, 1.733],
        0.418266666667,
        0.251420636106,
        0.05109903078,
        0.4371947361,
        1.598793458,
    ),
    (
        "all6",
        [1.39, 1.645, 2.113, 0.848, 3.556, -2.493, 1.907, 0.102, 3.897, 0.443, -1.235, 1.861, -0.33, 1.126, 2.178],
        1.13386666667,
        0.889993704292,
        1.056686254,
        1.314469363,
        3.637055501,
    ),
    (
        "all6",
        [
            0.815,
            -1.777,
            -0.655,
            -0.885,
            0.495,
            0.109,
            -0.213,
            -0.284,
            -0.444,
            0.735,
            0.719,
            0.909,
            0.15,
            -0.229,
            -2.032,
        ],
        -0.172466666667,
        0.231511922282,
        0.0,
        0.8039665524,
        0.6666666667,
    ),
    (
        "sparse",
        [-0.273, -0.925, -0.173, -0.32, 0.342, -0.611, 0.458, -0.355, 2.067],
        0.0747746287646,
        0.529429615023,
        0.5233459039,
        0.1060201813,
        5.199428503,
    ),
    (
        "sparse",
        [1.231, 0.678, 1.795, 1.467, 1.527, 0.179, 0.473, 0.864, 0.633],
        0.960810022874,
        0.261708159816,
        0.1187681786,
        0.06755293811,
        4.229148411,
    ),
    (
        "sparse",
        [-0.709, 1.631, -1.479, 1.565, -1.403, -0.327, -1.737, -1.284, -0.153],
        -0.479524904128,
        0.723273404445,
        0.990847028,
        0.1334479676,
        5.443255731,
    ),
]
"""Made by ``tests/oracles/mixed_model.R`` with Debian's r-cran-lme4 and r-cran-pbkrtest."""


def graph(edges: list[tuple[int, int]]) -> PairGraph:
    first, second = np.array(edges).astype(str).T
    return PairGraph(first, second)


def ring(size: int, neighbours: int = 1) -> list[tuple[int, int]]:
    return [(i, (i + step) % size) for i in range(size) for step in range(1, neighbours + 1)]


@pytest.mark.parametrize(("name", "scores", "mean", "se", "tau2", "sigma2", "df"), ORACLE)
def test_it_finds_what_lme4_and_pbkrtest_find(
    name: str, scores: list[float], mean: float, se: float, tau2: float, sigma2: float, df: float
) -> None:
    found = graph(GRAPHS[name]).means(np.array(scores)[:, None])
    assert found.mean[0] == pytest.approx(mean, abs=1e-8)
    assert found.se[0] == pytest.approx(se, rel=1e-6)
    assert found.gamma[0] == pytest.approx(tau2 / sigma2, rel=1e-5, abs=1e-12)
    # lmerTest has the degrees of freedom of independent pairs where τ² is zero
    assert found.df[0] == pytest.approx(df if tau2 else len(scores) - 1, rel=1e-5)


def test_pairs_without_common_subjects_are_independent() -> None:
    scores = np.array([1.0, 2.0, 4.0, 3.5])
    found = graph([(0, 1), (2, 3), (4, 5), (6, 7)]).means(scores[:, None])
    assert found.se[0] == pytest.approx(scores.std(ddof=1) / 2)
    assert found.df[0] == 3
    # all registered to one atlas, of which every result speaks
    atlas = graph([(0, 1), (0, 2), (0, 3), (0, 4)]).means(scores[:, None])
    assert (atlas.se[0], atlas.df[0]) == (found.se[0], 3)


@pytest.mark.parametrize("edges", [[(0, 1), (1, 2), (0, 2)], [(0, 1), (0, 1)], [(0, 1)]])
def test_what_cannot_be_told_has_no_interval(edges: list[tuple[int, int]]) -> None:
    """Three pairs of three subjects are all alike; two subjects are too few."""
    found = graph(edges).means(np.arange(len(edges))[:, None])
    assert np.isnan([found.se[0], found.df[0], found.p()[0], *np.ravel(found.interval())]).all()
    assert found.mean[0] == pytest.approx(np.mean(range(len(edges))))


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(0, 10))
def test_units_and_order_do_not_matter(shift: float, scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    edges, scores = ring(12, 2), random.standard_normal((24, 1))
    one = graph(edges).means(scores)
    other = graph(edges).means(shift + scale * scores)
    tolerance = 1e-6 * (1 + abs(shift) / scale)
    assert other.se[0] == pytest.approx(scale * one.se[0], rel=tolerance)
    order = random.permutation(24)
    shuffled = graph([edges[i][:: random.choice([1, -1])] for i in order]).means(scores[order])
    assert shuffled.df[0] == pytest.approx(one.df[0], rel=1e-5)


def test_scores_that_some_pairs_lack_are_estimated_on_the_others() -> None:
    edges, random = ring(9), np.random.default_rng(0)
    values = random.standard_normal((9, 4))
    values[[2, 5], 1] = np.nan
    values[:, 2] = np.nan
    first, second = np.array(edges).T
    found = Observations(first, second).means(values)
    there = [i for i in range(9) if i not in (2, 5)]
    alone = graph([edges[i] for i in there]).means(values[there, 1:2])
    assert (found.mean[1], found.se[1], found.df[1]) == (alone.mean[0], alone.se[0], alone.df[0])
    assert np.isnan([found.mean[2], found.se[2]]).all()
    assert found.mean[3] == graph(edges).means(values).mean[3]


def test_the_variance_between_seeds_is_added_with_its_degrees_of_freedom() -> None:
    means = Means(*np.array([[1.0], [0.3], [20.0], [0.0]]))
    wider = means.widened(np.array([[0.16], [0.0]]), np.array([[2.0], [0.0]]))
    assert wider.se[0] == pytest.approx(0.5)
    assert wider.df[0] == pytest.approx(0.25**2 / (0.3**4 / 20 + 0.16**2 / 2))


DENSE = {"all30": [(i, j) for i in range(30) for j in range(i + 1, 30)], "four30": ring(30, 2)}
SPARSE = {"ring40": ring(40), "chain17": [(i, i + 1) for i in range(16)], "ring8": ring(8)}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DENSE, *SPARSE])
def test_false_positives_keep_to_their_level_on_sparse_and_dense_graphs(name: str) -> None:
    first, second = np.array({**DENSE, **SPARSE}[name]).astype(str).T
    table = calibrate(first, second, simulations=4000, seed=1).set_index(["share", "case"])
    assert list(table.index) == [(share, case) for share in SHARES for case in CASES]
    assert table.false_positives.max() <= 0.06
    assert table.coverage.min() >= 0.94
    assert table.calibrated.all()
    if name in DENSE:
        usual = table.false_positives.drop(0.0).drop("missing", level="case")
        assert usual.min() > 0.03
        # the test that knows all variances has .8
        assert table.power.drop(0.0).min() > 0.68


def test_a_dataset_on_which_nothing_can_be_tested_is_not_calibrated() -> None:
    assert not calibrate(np.array(["a", "b", "a"]), np.array(["b", "c", "c"]), 200, 0).calibrated.any()
    assert not len(calibrate(np.array(["a"]), np.array(["b"]), 200, 0))
