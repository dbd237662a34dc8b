"""Contrasts in a configuration: names that exist, and no more than can be confirmed."""

from __future__ import annotations

from typing import Any

import pytest

from likeness.config.study import Study
from likeness.userinput.errors import ConfigurationError

BASE = {
    "title": "t",
    "datasets": {"cells": None},
    "losses": {"mse": None, "ncc": None},
    "methods": {"optimisation": None},
}


@pytest.mark.parametrize(
    ("stated", "key"),
    [
        ({"a": "nc", "b": "mse"}, "contrasts.0.a"),
        ({"a": "mse", "b": "mse"}, "contrasts.0.b"),
        ({"a": "mse", "b": "ncc", "method": "syn"}, "contrasts.0.method"),
        ({"a": "mse", "b": "ncc", "metric": "dise"}, "contrasts.0.metric"),
        ({"a": "mse", "b": "ncc", "datasets": ["cels"]}, "contrasts.0.datasets"),
        ({"a": "mse", "b": "ncc", "smallest": 0}, "contrasts.0.smallest"),
        ({"a": "mse"}, "contrasts.0.b"),
    ],
)
def test_a_contrast_of_what_is_not_there_is_refused(stated: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"key '{key}'"):
        Study.load({**BASE, "contrasts": [stated]})


def test_more_contrasts_than_can_be_confirmed_are_refused() -> None:
    ten = [{"a": "mse", "b": "ncc", "metric": metric} for metric in ("epe", "dice", "hd95", "tre", "folding")] * 2
    Study.load({**BASE, "contrasts": ten})
    with pytest.raises(ConfigurationError, match="11 contrasts on 'cells'"):
        Study.load({**BASE, "contrasts": [*ten, {"a": "ncc", "b": "unregistered"}]})
