"""The page: what it says of a study, also of one that lacks something, and what it carries."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_page import made, sheet

from likeness.report import drawing, leaderboard, marks, page, quality, ranking, viewer

NOTHING = {"tables": {}, "texts": {}, "figures": {}, "captions": {}, "samples": [], "datasets": []}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return made(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def html(study):
    return page.render(study)


def carried(html, name):
    return json.loads(re.search(rf'id="data-{name}">(.*?)</script>', html, re.DOTALL)[1])


def test_nothing_is_loaded_from_elsewhere(html):
    assert not re.findall(r'(?:src|href)="(?!data:|#|figures/)[^"]*"', html)
    assert not re.search(r"@import|url\((?!data:)", html)


def test_text_of_the_study_is_escaped(html):
    assert "A study of &lt;losses&gt;" in html
    assert "<losses>" not in html


def test_data_cannot_end_its_element():
    said = page.embedded({"a": "</script><script>alert(1)"})
    assert "<" not in said
    assert json.loads(said) == {"a": "</script><script>alert(1)"}


def test_same_study_same_bytes(study, html):
    assert page.render(study) == html


def test_contrasts_are_drawn_with_their_numbers(study, html):
    row = study.tables["contrasts"].iloc[0]
    assert f"{row.a} − {row.b}" in html
    assert f"{row.effect:.3g}" in html


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (NOTHING, "No contrasts to draw"),
        (NOTHING, "no leaderboard"),
        (NOTHING, "No durations are recorded"),
        (NOTHING, "has drawn no figures"),
        (NOTHING, "runs.csv is missing"),
        ({"sheets": []}, "no data sheets"),
    ],
)
def test_what_a_study_lacks_is_said_in_its_place(study, changed, said):
    assert said in page.render(replace(study, **changed))


def test_tables_without_rows_do_not_break_the_page(study):
    empty = {name: table.iloc[:0] for name, table in study.tables.items()}
    said = page.render(replace(study, tables=empty))
    assert "No loss was picked" in said
    assert "No difference was named beforehand" in said


def test_a_study_of_one_loss_says_that_nothing_was_tested(tmp_path):
    assert "nothing was tested" in page.render(made(tmp_path, losses=("mse",)))


def test_the_page_ranks_as_the_tables_do(study):
    sets = ranking.carried(study.metrics, study.methods)
    for one in sets:
        contest = next(c for c in one["contests"] if c["metric"] == one["primary"])
        table = study.tables["ranks"]
        here = table[(table.dataset == one["name"]) & (table.group == "all")]
        costs = np.array(contest["costs"], float)
        times = np.array([[int(sign, 36) for sign in draw] for draw in one["draws"]], float)
        first, second = (np.array(contest[key]) for key in ("first", "second"))
        weights = np.where(first == second, times[:, first], times[:, first] * times[:, second])
        weights = weights[weights.sum(axis=1) > 0]
        drawn = pd.DataFrame(weights @ costs / weights.sum(axis=1, keepdims=True)).rank(axis=1)
        low, high = (np.quantile(drawn, share, axis=0, method="inverted_cdf") for share in (0.025, 0.975))
        for place, name in enumerate(contest["ids"]):
            row = here[here.loss == name.split(":")[1]].iloc[0]
            assert (low[place], high[place]) == (row.low, row.high)


@pytest.mark.parametrize("shape", [(17, 23), (16, 24), (5, 6)])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_a_linear_field_survives_coding(shape, stride):
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    field = np.stack([0.1 * rows, 0.05 * columns], axis=-1)
    assert viewer.error(field, stride) <= field.max() / viewer.STEPS


def test_a_rough_field_is_known_to_need_a_fine_grid():
    field = np.zeros((16, 16, 2))
    field[1::2] = 2.0
    assert viewer.error(field, 4) > 1
    assert viewer.error(field, 1) < 0.02


def test_viewer_carries_a_pair_with_all_its_fields(html):
    (pair,) = carried(html, "viewer")
    assert {field["id"] for field in pair["fields"]} >= {"voxelmorph:mse", "voxelmorph:ncc"}
    assert [field["lam"] for field in pair["fields"][:3]] == [1.0, 0.5, 0.25]


def test_captions_become_title_and_paragraphs():
    title, how = page.caption("**A title.** First *one*.\n\nSecond ``x<y``.\n")
    assert title == "A title"
    assert how == ["First <em>one</em>.", "Second <code>x&lt;y</code>."]


def test_ticks_are_round_and_within():
    assert drawing.ticks(-0.3, 1.1) == [0, 0.5, 1]
    assert all(3 <= tick <= 3.001 for tick in drawing.ticks(3, 3.001))


def test_leakage_and_few_subjects_are_found(study):
    leaky = sheet(type("Made", (), {"name": "x", "stress_test": False, "subjects": 2, "pairs": 2}))
    leaky["subjects_in_several_splits"] = 1
    found = quality.findings(study.tables, [leaky])
    assert {("serious", "leakage"), ("serious", "few subjects")} <= {(one.severity, one.what) for one in found}
    assert [one.severity for one in found] == sorted((o.severity for o in found), key=quality.SEVERITIES.index)


def test_marks_follow_the_tables():
    key = ["d", "m", "l", "default"]
    who = {"dataset": "d", "method": "m", "loss": "l", "variant": "default", "seed": None, "lam": 1.0}
    flags = {"diverged": False, "extractor_learning": True, "extractor_weak": False}
    runs = pd.DataFrame([{**who, **flags, "converged": 0.5}, {**who, **flags, "lam": 2.0, "converged": 1.0}])
    verdicts = pd.DataFrame([{**who, "search_failed": 0.25, "settled": True}])
    found = marks.marks({"runs": runs, "selection": pd.DataFrame([who]), "verdicts": verdicts}, key, 24, False)
    assert [mark.state for mark in found] == [marks.BAD, marks.BAD, marks.BAD, marks.GOOD]
    assert "50%" in found[0].text
    assert [m.state for m in marks.marks({}, key, 2, False)] == [marks.UNKNOWN, marks.UNKNOWN, marks.NONE, marks.BAD]


def test_latex_is_escaped():
    row = dict.fromkeys(leaderboard.COLUMNS, np.nan)
    row |= {"dataset": "a_b", "method": "m", "name": "x&y", "metric": "epe", "needs": "", "use_when": "50 % | more"}
    table = pd.DataFrame([row])
    assert r"a\_b" in leaderboard.latex(table)
    assert r"x\&y" in leaderboard.latex(table)
    assert r"50 % \| more" in leaderboard.markdown(table)
