"""Our results beside published ones: on published datasets alone, with what is the same method and loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fake_study import made_up

from likeness import losses, metrics
from likeness.methods.kinds import UNREGISTERED, method
from likeness.statistics.aggregate import COMPARED
from likeness.statistics.published import PUBLISHED
from likeness.statistics.reproduction import COLUMNS, DEFINITIONS, reproduce

METHODS = {
    "deep": method("deep", "voxelmorph", "raw"),
    "syn": method("syn", scale="smoothing"),
    "vfa": made_up("vfa"),
    UNREGISTERED: method(UNREGISTERED),
}


def summary(rows: list[tuple]) -> pd.DataFrame:
    columns = [*COMPARED, "metric", "label", "n_pairs", "mean", "ci_low", "ci_high"]
    return pd.DataFrame([(*row, 11, 0.9, 0.88, 0.92) for row in rows], columns=columns)


def test_a_published_dataset_stands_beside_its_numbers_with_both_definitions() -> None:
    table = reproduce(
        summary(
            [
                ("platelet-em", "deep", "deepsim_seg", "default", "dice", "mean"),
                ("platelet-em", "deep", "deepsim_seg", "level-0", "dice", "mean"),
                ("platelet-em", "deep", "deepsim_seg", "default", "dice", "organelle"),
                ("platelet-em", "deep", "deepsim_seg", "default", "hd95", "mean"),
                ("platelet-em", "deep", "lncc", "default", "dice", "mean"),
                ("phc-u373", "syn", None, "mi", "dice", "mean"),
                ("phc-u373", "syn", None, "cc", "dice", "mean"),
                ("phc-u373", "syn", None, "deepsim_seg", "dice", "mean"),
            ]
        ),
        METHODS,
    )
    assert list(table.columns) == COLUMNS
    found = table.set_index(["dataset", "variant"])
    assert found.published.to_dict() == {
        ("platelet-em", "default"): 0.8947,
        ("phc-u373", "mi"): 0.971,
        ("phc-u373", "deepsim_seg"): 0.974,
    }
    np.testing.assert_allclose(table.difference, 0.9 - table.published)
    assert (table.n_pairs == 11).all()
    assert table[["our_definition", "published_definition", "source"]].map(len).gt(20).all(axis=None)


def test_where_the_loss_is_not_told_every_loss_is_compared_and_methods_go_by_their_name() -> None:
    rows = [
        ("lumir", "deep", "mse", "default", "tre", "all"),
        ("lumir", "deep", "ncc", "default", "tre", "all"),
        ("lumir", "vfa", None, None, "ndv", "all"),
        ("lumir", UNREGISTERED, None, None, "dice", "mean"),
        ("lumir", UNREGISTERED, None, None, "ndv", "all"),
    ]
    table = reproduce(summary(rows), METHODS)
    found = [(row.method, row.published) for row in table.itertuples()]
    assert found == [("vfa", 0.079), ("deep", 3.155), ("deep", 3.155), (UNREGISTERED, 0.5657)]


def test_on_other_data_the_table_is_empty() -> None:
    table = reproduce(summary([("cells", "deep", "mse", "default", "dice", "mean")]), METHODS)
    assert list(table.columns) == COLUMNS
    assert not len(table)


def test_a_training_that_diverged_has_no_difference() -> None:
    diverged = summary([("platelet-em", "deep", "mse", "default", "dice", "mean")]).assign(mean=np.nan)
    row = reproduce(diverged, METHODS).iloc[0]
    assert row.published == 0.8935
    assert pd.isna(row.difference)


@pytest.mark.parametrize("one", PUBLISHED, ids=str)
def test_a_published_number_is_one_that_can_be_compared(one) -> None:
    assert one.metric in DEFINITIONS
    low, high = metrics.card(one.metric)["range"]
    assert low <= one.value <= (np.inf if high is None else high)
    assert one.loss is None or one.loss in losses.names() or (one.method, one.loss) == ("syn", "mi")


def test_no_number_is_published_twice() -> None:
    keys = [one[:4] for one in PUBLISHED]
    assert len(set(keys)) == len(keys)
