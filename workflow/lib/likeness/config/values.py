"""Types of single configuration values, and the base class of blocks.

Values are validated strictly. The only conversion is from text to number, because YAML reads ``1e-4`` as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    PrivateAttr,
    StringConstraints,
    Tag,
    WrapValidator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue

TAG = "\0"
"""Prefix of the tags of a union's alternatives, which distinguishes them from keys in error locations."""
DIGITS = 6
"""Significant digits in which grid values must differ, because file names contain them."""

LINE = r"^[^$\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
_HYPHENS = r"^[a-z0-9][a-z0-9-]*$"
_LOWER = r"^[a-z0-9][a-z0-9_-]*$"
_FOLDER = r"^[A-Za-z0-9._/-]+$"
_REVISION = r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9_.-]*$"
_DIGEST = r"^[0-9a-fA-F]{64}$"
_COLOUR = r"^#[0-9a-fA-F]{6}$"
CHARACTERS = {
    LINE: "one line without '$', which would start a formula, and without control characters",
    _HYPHENS: "lower-case letters, digits and hyphens",
    _LOWER: "lower-case letters, digits, '_' and '-'",
    _FOLDER: "letters, digits, '.', '_', '-' and '/'",
    _REVISION: "owner/name@revision, each of letters, digits, '_', '-' and '.'",
    _DIGEST: "64 hexadecimal digits",
    _COLOUR: "'#' and six hexadecimal digits",
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": "letters, digits, '.', '_' and '-', first a letter or digit",
    r"^[^$\s\x00-\x1f\x7f-\x9f]+$": "a word without spaces and without '$'",
}
"""Allowed characters in words, by pattern."""


def _as_written(value: Any, check: Callable[[Any], float]) -> float:
    """Convert text to a number; integers stay integers, so that jobs get the value as it is written."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return check(value)
    found = check(value)
    return value if type(value) is int else found


class Misfit(ValueError):
    """A custom validation error; :mod:`likeness.config.faults` turns ``kind`` and ``stated`` into a message."""

    def __init__(self, kind: str, **stated: Any) -> None:
        super().__init__(kind)
        self.kind = kind
        self.stated = stated


def distinct(values: list) -> list:
    """Reject a list with duplicates."""
    if any(value in values[:place] for place, value in enumerate(values)):
        raise Misfit("distinct")
    return values


def rising(values: list) -> list:
    """Reject numbers that are not in ascending order."""
    if values != sorted(values):
        raise Misfit("rising")
    return values


def apart(values: list) -> list:
    """Reject numbers that agree in their first :data:`DIGITS` significant digits."""
    if len({f"{value:.{DIGITS}g}" for value in values}) < len(values):
        raise Misfit("apart", digits=DIGITS)
    return values


def odd(value: int) -> int:
    """Reject an even number."""
    if value % 2 == 0:
        raise Misfit("odd")
    return value


Number = Annotated[float, WrapValidator(_as_written)]
Line = Annotated[str, StringConstraints(pattern=LINE, min_length=1, max_length=200)]
Folder = Annotated[str, StringConstraints(pattern=_FOLDER, max_length=200)]
Name = Annotated[str, StringConstraints(pattern=_HYPHENS, max_length=64)]
MethodName = Annotated[str, StringConstraints(pattern=_LOWER, max_length=64)]
Revision = Annotated[str, StringConstraints(pattern=_REVISION, max_length=200)]
Digest = Annotated[str, StringConstraints(pattern=_DIGEST)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Weight = Annotated[Number, Field(gt=0, le=1.0e38)]
Grid = Annotated[
    list[Weight],
    Field(min_length=1, max_length=100, json_schema_extra={"uniqueItems": True}),
    AfterValidator(distinct),
    AfterValidator(apart),
]
Width = Annotated[int, Field(ge=1, le=4096)]
Channels = Annotated[list[Width], Field(min_length=1, max_length=6)]
Names = Annotated[list[str], Field(json_schema_extra={"uniqueItems": True}), AfterValidator(distinct)]


def tagged(alternatives: Mapping[str, Any], choose: Callable[[Any], str | None]) -> Any:
    """Create a union whose alternative ``choose`` selects from the value."""
    named = tuple(Annotated[kind, Tag(TAG + name)] for name, kind in alternatives.items())
    return Annotated[Union[named], Discriminator(lambda value: _tag(choose(value)))]  # noqa: UP007


def _tag(name: str | None) -> str | None:
    return None if name is None else TAG + name


def opened(value: Any) -> Any:
    """Turn ``None``, the value of a key without entries, into an empty block."""
    return {} if value is None else value


class Block(BaseModel):
    """Base class of blocks; the string below an attribute becomes its description."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        # most models are only used as part of the configuration's
        defer_build=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _open(cls, value: Any) -> Any:
        return opened(value)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler.resolve_ref_schema(handler(core_schema))
        return {**found, "type": ["object", "null"]}


class AsStated(Block):
    """A block serialised with the stated keys only, in that order, because defaults are filled in elsewhere."""

    _keys: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="wrap")
    @classmethod
    def _remember(cls, value: Any, handler: Callable[[Any], AsStated]) -> AsStated:
        made = handler(value)
        if isinstance(value, dict):
            made._keys = tuple(value)
        return made

    @model_serializer(mode="wrap")
    def _plain(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        full = handler(self)
        return {key: full[key] for key in self._keys}
