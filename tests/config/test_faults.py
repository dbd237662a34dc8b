"""A value at fault is told by its kind of fault, and with what one needs to mend it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError
from refusals import told

from likeness.config import cards
from likeness.config.faults import WANTED, Fault
from likeness.config.values import CHARACTERS, Block
from likeness.userinput.errors import shown

PATTERN, LINE = next(iter(CHARACTERS.items()))


def faults(value: Any, rule: dict[str, Any]) -> list[Fault]:
    """Give what is wrong with the value of an option named ``key``."""
    model, document = cards.model("options", {"key": {**rule, "required": True}}, Block), {"key": value}
    try:
        model.model_validate(document)
    except ValidationError as error:
        return [Fault.of(details, model, document) for details in error.errors(include_url=False)]
    return []


@pytest.mark.parametrize(
    ("value", "rule", "kind", "facts"),
    [
        (8, {"type": "integer", "odd": True}, "odd", ["8", "odd"]),
        (
            [0.1, 0.10000001],
            {"type": "array", "items": {"type": "number"}, "digits": 6},
            "apart",
            ["[0.1, 0.10000001]", "6"],
        ),
        (math.nan, {"type": "number"}, "finite_number", ["nan"]),
        (math.inf, {"type": ["number", "null"]}, "finite_number", ["inf"]),
        ("inf", {"type": "number"}, "finite_number", ["inf"]),
        ("fast", {"type": "number"}, "float_type", ["'fast'", WANTED["float"]]),
        (2.0, {"type": "integer"}, "int_type", ["2.0", WANTED["int"]]),
        (True, {"type": "number"}, "float_type", ["True", WANTED["float"]]),
        (None, {"type": "string"}, "string_type", [WANTED["string"]]),
        ("10", {"type": "integer"}, "int_type", ["'10'", "10"]),
        ("ten", {"type": "integer"}, "int_type", ["'ten'", WANTED["int"]]),
        ("a\n", {"type": "string", "pattern": PATTERN}, "string_pattern_mismatch", [r"'a\n'", LINE]),
        (12, {"type": "integer", "multipleOf": 8}, "multiple_of", ["12", "8"]),
        ("x" * 99, {"type": "string", "maxLength": 9}, "string_too_long", [shown("x" * 99), "9"]),
    ],
)
def test_a_value_is_explained(value: Any, rule: dict[str, Any], kind: str, facts: list[str]) -> None:
    (fault,) = faults(value, rule)
    assert fault.kind == kind
    told(fault.sentence({}), "key 'key'", *facts)


@pytest.mark.parametrize(
    ("value", "rule"), [(7, {"type": "integer", "odd": True}), ("1e-7", {"type": "number"})], ids=str
)
def test_a_value_within_its_limits_is_none(value: Any, rule: dict[str, Any]) -> None:
    assert faults(value, rule) == []
