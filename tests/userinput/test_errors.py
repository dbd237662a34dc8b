"""Errors of independent checks are told together, and nothing else is kept from being raised."""

from __future__ import annotations

import pytest

from likeness.userinput.errors import FAULTS, ConfigurationError, DatasetError, Faults


def noted(count: int) -> Faults:
    faults = Faults(DatasetError)
    for number in range(count):
        for _ in range(2):
            with faults:
                raise DatasetError(f"a.csv: row {number}")
    return faults


@pytest.mark.parametrize("count", [1, FAULTS, FAULTS + 1, FAULTS + 30])
def test_errors_are_told_once_each_and_a_long_list_is_cut(count: int) -> None:
    with pytest.raises(DatasetError) as caught:
        noted(count).refuse()
    *lines, last = str(caught.value).splitlines()
    if count > FAULTS:
        assert str(count - FAULTS) in last
    else:
        lines.append(last)
    assert lines == [f"a.csv: row {number}" for number in range(min(count, FAULTS))]


def test_nothing_noted_is_nothing_refused() -> None:
    noted(0).refuse()


def test_another_error_is_raised_at_once() -> None:
    faults = Faults(DatasetError)
    for error in (ConfigurationError("c.yaml: …"), KeyError("bug")):
        with pytest.raises(type(error)), faults:
            raise error
    faults.refuse()
