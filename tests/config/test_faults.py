"""What is wrong with a value is said in words: what it is and what to give instead."""

from __future__ import annotations

import math
from typing import Any

import pytest

from likeness.config import cards, faults
from likeness.config.values import CHARACTERS, Block
from likeness.userinput.errors import ConfigurationError

PATTERN, LINE = next(iter(CHARACTERS.items()))


def fault(value: Any, rule: dict[str, Any]) -> str | None:
    """Give what is said of the value of an option, without its key."""
    model = cards.model("options", {"key": {**rule, "required": True}}, Block)
    try:
        faults.checked(model, {"key": value}, "c.yaml", ConfigurationError)
    except ConfigurationError as error:
        said = str(error)
        assert said.startswith("c.yaml: key 'key")
        return said.partition(": ")[2].partition(": ")[2]
    return None


@pytest.mark.parametrize(
    ("value", "rule", "said"),
    [
        (8, {"type": "integer", "odd": True}, "8 is even; give an odd number"),
        (7, {"type": "integer", "odd": True}, None),
        (
            [0.1, 0.10000001],
            {"type": "array", "items": {"type": "number"}, "digits": 6},
            "[0.1, 0.10000001] has entries that agree in the first 6 digits; give each once",
        ),
        (math.nan, {"type": "number"}, "nan is not finite; give a finite number"),
        (math.inf, {"type": ["number", "null"]}, "inf is not finite; give a finite number"),
        ("inf", {"type": "number"}, "inf is not finite; give a finite number"),
        ("fast", {"type": "number"}, "'fast' is not a number; give one"),
        ("1e-7", {"type": "number"}, None),
        (2.0, {"type": "integer"}, "2.0 is not a whole number; give one"),
        (True, {"type": "number"}, "True is not a number; give one"),
        (None, {"type": "string"}, "it is empty; give a text"),
        ("10", {"type": "integer"}, "YAML reads '10' as text; write 10 without quotes"),
        ("ten", {"type": "integer"}, "'ten' is not a whole number; give one"),
        (
            "a\n",
            {"type": "string", "pattern": PATTERN},
            f"'a\\n' contains characters that are not allowed here; use {LINE}",
        ),
        (12, {"type": "integer", "multipleOf": 8}, "12 is not a multiple of 8; give one"),
        ("x" * 99, {"type": "string", "maxLength": 9}, f"'{'x' * 58}… is too long; give at most 9 characters"),
    ],
)
def test_a_value_is_explained(value: Any, rule: dict[str, Any], said: str | None) -> None:
    assert fault(value, rule) == said
