"""Values held against a JSON Schema, and what they violate said in words: the key, what is wrong, what to give instead.

Beside those of JSON Schema there are three keywords: ``odd`` for integers, ``ascending`` for lists of numbers, and
``digits``, in so many of which the numbers of a list must differ. Beside every ``pattern`` a ``$comment`` says what it
takes; of a description, messages quote the first clause.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from likeness.userinput.refusals import Refusal, plain, shown, suggest

_KINDS: dict[str, tuple[type, str, Callable[[Any], bool]]] = {
    "boolean": (bool, "true or false", lambda value: isinstance(value, bool)),
    "integer": (int, "a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "number": (float, "a number", lambda value: _is("integer", value) or _is_finite(value)),
    "string": (str, "a text", lambda value: isinstance(value, str)),
    "array": (list, "a list", lambda value: isinstance(value, list)),
    "object": (dict, "a block of keys and values", lambda value: isinstance(value, Mapping)),
    "null": (type(None), "null", lambda value: value is None),
}
"""Of every type of JSON Schema: Python's, in words, and what may stand for a value of it.

JSON Schema counts 1.0e+4 among the integers, and not a number among the numbers; Python cannot count to either.
"""

_FAULTS = {
    "minLength": "{value} is too short; give at least {limit} characters",
    "maxLength": "{value} is too long; give at most {limit} characters",
    "minItems": "{value} has too few entries; give at least {limit}",
    "maxItems": "{value} has too many entries; give at most {limit}",
    "minProperties": "there is no entry; give at least {limit}",
    "uniqueItems": "{value} names something twice; give each once",
    "minimum": "{value} is too small; give at least {limit}",
    "exclusiveMinimum": "{value} is too small; give more than {limit}",
    "maximum": "{value} is too large; give at most {limit}",
    "exclusiveMaximum": "{value} is too large; give less than {limit}",
    "multipleOf": "{value} is no multiple of {limit}; give one",
    "odd": "{value} is even; give an odd number",
    "ascending": "{value} does not rise; give the lowest first",
    "digits": "{value} has entries that are the same in {limit} digits; give each once",
}


def _is(name: str, value: Any) -> bool:
    return _KINDS[name][2](value)


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _odd(_: Any, wanted: bool, value: Any, __: Any) -> Iterable[ValidationError]:
    if wanted and _is("integer", value) and value % 2 == 0:
        yield ValidationError("is even")


def _ascending(_: Any, wanted: bool, value: Any, __: Any) -> Iterable[ValidationError]:
    if wanted and _all_numbers(value) and value != sorted(value):
        yield ValidationError("does not rise")


def _digits(_: Any, digits: int, value: Any, __: Any) -> Iterable[ValidationError]:
    if _all_numbers(value) and len({f"{number:.{digits}g}" for number in value}) < len(value):
        yield ValidationError("has entries that are the same")


def _all_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(_is("number", entry) for entry in value)


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterable[ValidationError]:
    # the `$` at the end would let a line break pass
    if isinstance(value, str) and not re.search(pattern.removesuffix("$") + r"\Z", value):
        yield ValidationError("does not match")


_TYPES = Draft202012Validator.TYPE_CHECKER.redefine_many(
    {name: lambda _, value, fits=fits: fits(value) for name, (_, _, fits) in _KINDS.items()}
)
_KEYWORDS = {"odd": _odd, "ascending": _ascending, "digits": _digits, "pattern": _pattern}
_Validator = validators.extend(Draft202012Validator, _KEYWORDS, type_checker=_TYPES)


def check(document: Mapping[Any, Any], schema: Mapping[str, Any], file: str, refusal: type[Refusal]) -> None:
    """Hold a document against a schema.

    Args:
        document: as read from YAML.
        schema: its descriptions become part of the message.
        file: its name, for the message.
        refusal: class of the error.

    Raises:
        Refusal: of the class given, at a misspelt key if there is one, since what it should be is also missing.
    """
    errors = _Validator(schema).iter_errors(document)
    order = sorted(errors, key=lambda e: (e.validator != "additionalProperties", [str(p) for p in e.absolute_path]))
    if order:
        msg = f"{plain(file)}: {_explain(order[0], schema)}"
        raise refusal(msg)


def fault(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Say in words what a single value violates and what to give instead, or nothing where it fits."""
    error = next(iter(_Validator(schema).iter_errors(value)), None)
    return None if error is None else _fault(error)


def same_kind(value: Any) -> dict[str, str]:
    """Give the schema of values of the kind of a default; anything, where the default is null."""
    if value is None:
        return {}
    return {"type": next(name for name, (kind, _, _) in _KINDS.items() if kind is type(value))}


def _explain(error: ValidationError, schema: Mapping[str, Any]) -> str:
    """Turn a schema violation into a clause with key and mend."""
    path = [plain(step) for step in error.absolute_path]
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"]) if isinstance(error.schema, Mapping) else []
        given: Any = error.instance
        unknown = next(key for key in given if key not in known)
        return f"key '{'.'.join([*path, plain(unknown)])}' is unknown; {suggest(unknown, known)}"
    steps: list[Any] = list(error.absolute_schema_path)
    if error.validator == "required":
        instance, wanted = error.instance, error.validator_value
        missing = next(key for key in wanted if key not in instance)  # type: ignore[operator,union-attr]
        said = f"key '{'.'.join([*path, missing])}' is missing; add it"
        steps[-1:] = ["properties", missing]
    else:
        said = (f"key '{'.'.join(path)}': " if path else "") + _fault(error)
    # a choice has been listed, and a rule for names is not about what they name
    meaning = "" if error.validator == "enum" or "propertyNames" in steps else _meaning(steps, schema)
    return f"{said} ({meaning})" if meaning else said


def _fault(error: ValidationError) -> str:
    """Say in words what a value violates and what to give instead."""
    value: Any = error.instance
    limit: Any = error.validator_value
    named = f"the name {shown(value)}" if "propertyNames" in error.absolute_schema_path else shown(value)
    if error.validator == "type":
        return _wrong_type(value, named, [limit] if isinstance(limit, str) else limit)
    if error.validator == "enum":
        return f"there is no {shown(value)}; {suggest(value, limit)}"
    if error.validator == "pattern":
        # the schema says beside each pattern what it takes
        rule: Any = error.schema
        return f"{named} has characters that cannot stand here; use {rule['$comment']}"
    template = _FAULTS.get(str(error.validator))
    return template.format(value=named, limit=limit) if template else plain(error.message)


def _wrong_type(value: Any, named: str, types: list[str]) -> str:
    wanted = " or ".join(_KINDS[name][1] for name in types)
    if value is None:
        return f"it is empty; give {wanted}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{named} is not finite; give {wanted}"
    number = _number(value) if {"number", "integer"} & set(types) else None
    if number is not None:
        return f"{named} is text to YAML; write {number} without quotes"
    return f"{named} is not {wanted}; give that"


def _number(value: Any) -> str | None:
    """Write a number that YAML takes for text, like 1e-4, so that it does not."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    written = repr(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    mantissa, e, exponent = written.partition("e")
    return mantissa + (".0" if e and "." not in mantissa else "") + e + exponent


def _meaning(steps: Iterable[Any], schema: Mapping[str, Any]) -> str:
    """Find the first clause of the description nearest above what failed, but not that of the whole document."""
    place: Any = schema
    meaning = ""
    for step in steps:
        if isinstance(place, Mapping) and step not in place:
            # the way through a schema does not name its references
            place = schema["$defs"][place["$ref"].rsplit("/", 1)[1]]
        place = place[step]
        found = place.get("description") if isinstance(place, Mapping) else None
        meaning = found if isinstance(found, str) else meaning
    clause = re.split(r"[.;:] ", meaning, maxsplit=1)[0].rstrip(".")
    return clause[:1].lower() + clause[1:]
