"""Build pydantic models from cards: options of losses and built-in datasets, settings of methods.

A rule of a card describes an option by JSON Schema keywords: ``type``, ``enum``, ``items``, ``minimum``,
``exclusiveMinimum``, ``maximum``, ``exclusiveMaximum``, ``multipleOf``, ``minLength``, ``maxLength``, ``pattern``,
``minItems``, ``maxItems``, ``uniqueItems``, ``default`` and ``description``. Three more are specific to this project:
``odd`` (odd integers only), ``digits`` (values of a list must differ in their first six significant digits) and
``required``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model

from likeness.config.budgets import BUDGETS, AnyBlock, Changes
from likeness.config.values import Block, Number, apart, distinct, odd

KINDS: dict[str, tuple[type, Any]] = {
    "boolean": (bool, bool),
    "integer": (int, int),
    "number": (float, Number),
    "string": (str, str),
}
"""JSON Schema types of scalars: Python type of the default, and type in the model."""
CONSTRAINTS = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "pattern": "pattern",
}
"""JSON Schema keywords and their pydantic names."""


def model(name: str, rules: Mapping[str, Mapping[str, Any]], base: type[Block], doc: str = "") -> type[Block]:
    """Build the model of a block of options.

    Args:
        name: name of the model.
        rules: rule of each option, as on the card.
        base: base class, which may have further fields.
        doc: description; by default that of ``base``.
    """
    return made(name, base, doc or base.__doc__ or "", **{option: _field(rule) for option, rule in rules.items()})


def made(name: str, base: type[AnyBlock], doc: str, **fields: Any) -> type[AnyBlock]:
    """Create a subclass of a model with further fields, each given as its type and pydantic ``Field``."""
    # a model created at run time has no source to read attribute docstrings from
    return create_model(name, __base__=base, __doc__=doc, __cls_kwargs__={"use_attribute_docstrings": False}, **fields)


def rules(defaults: Mapping[str, Any], limits: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Build the rules of options: type and value of each default, with the limits of the card."""
    return {
        option: {"default": default, **({} if default is None else {"type": _kind(default)}), **limits.get(option, {})}
        for option, default in defaults.items()
    }


def _kind(default: Any) -> str:
    return next((name for name, (kind, _) in KINDS.items() if kind is type(default)), "array")


def _field(rule: Mapping[str, Any]) -> tuple[Any, Any]:
    if "block" in rule:
        block = BUDGETS[rule["block"]]
        return Changes[block], Field(default_factory=block, description=rule["description"])  # type: ignore[valid-type,misc]
    default = ... if rule.get("required") else rule.get("default")
    return annotation(rule), Field(default, description=rule.get("description"))


def annotation(rule: Mapping[str, Any]) -> Any:
    """Return the type annotation of the values that a rule allows."""
    types = rule.get("type", [])
    types = [types] if isinstance(types, str) else [*types]
    nullable = "null" in types or ("default" in rule and rule["default"] is None and "required" not in rule)
    base = _base(rule, next((name for name in types if name != "null"), None))
    constraints = {ours: rule[key] for key, ours in CONSTRAINTS.items() if key in rule}
    checks: list[Any] = [Field(**constraints)] if constraints else []
    if rule.get("uniqueItems"):
        checks += [Field(json_schema_extra={"uniqueItems": True}), AfterValidator(distinct)]
    checks += [AfterValidator(apart)] if rule.get("digits") else []
    checks += [AfterValidator(odd)] if rule.get("odd") else []
    for check in checks:
        base = Annotated[base, check]
    return base | None if nullable else base


def _base(rule: Mapping[str, Any], name: str | None) -> Any:
    if "enum" in rule:
        return Literal[tuple(rule["enum"])]
    if name == "array":
        return list[annotation(rule["items"])] if "items" in rule else list  # type: ignore[misc]
    return KINDS[name][1] if name else Any
