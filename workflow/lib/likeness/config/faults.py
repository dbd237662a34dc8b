"""Error messages for invalid documents: for every fault the file, the key, the problem and the fix."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo

from likeness.config.values import CHARACTERS, TAG, AsStated
from likeness.userinput.errors import UserError, nearest, plain, shown, suggest

KEY = "[key]"
"""Last element of a fault's location if the name of an entry is at fault, rather than its value."""
WANTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "a text",
    "list": "a list",
    "dict": "a block of keys and values",
    "model": "a block of keys and values",
    "model_attributes": "a block of keys and values",
}
"""Descriptions of expected types, by the pydantic error type without ``_type``."""
SAID = {
    "string_too_short": "{value} is too short; give {min_length} or more characters",
    "string_too_long": "{value} is too long; give at most {max_length} characters",
    "greater_than": "{value} is too small; give more than {gt}",
    "greater_than_equal": "{value} is too small; give at least {ge}",
    "less_than": "{value} is too large; give less than {lt}",
    "less_than_equal": "{value} is too large; give at most {le}",
    "multiple_of": "{value} is not a multiple of {multiple_of}; give one",
    "string_unicode": "{value} contains an unpaired surrogate; write the character itself",
    "finite_number": "{value} is not finite; give a finite number",
    "odd": "{value} is even; give an odd number",
    "rising": "{value} is not in ascending order; give the lowest first",
    "distinct": "{value} contains duplicates; give each once",
    "apart": "{value} has entries that agree in the first {digits} digits; give each once",
    "no_metric": "'{name}' is no metric of labels or landmarks; {fix}",
    "taken": "the name is reserved for {by}; choose another",
    "recursion_loop": "the value contains a YAML alias of itself; write it out",
}

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def checked(
    model: type[AnyModel],
    document: Mapping[Any, Any],
    file: str,
    refusal: type[UserError],
    renamed: Mapping[str, str] | None = None,
) -> AnyModel:
    """Validate a document against a model.

    Args:
        model: pydantic model of the document.
        document: content as read from YAML.
        file: file name, for messages.
        refusal: error class to raise.
        renamed: former keys and their current names; ``*`` stands for any name.

    Returns:
        The validated model.

    Raises:
        UserError: of class ``refusal``, with one line for every fault.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        faults = [Fault.of(details, model, document) for details in error.errors(include_url=False)]
        lines = dict.fromkeys(fault.sentence(renamed or {}) for fault in faults if not _follows(fault, faults))
        msg = "\n".join(f"{plain(file)}: {line}" for line in lines)
        raise refusal(msg) from None


def _follows(fault: Fault, faults: Sequence[Fault]) -> bool:
    """Return whether another fault causes this one, as a misspelt key causes a missing one."""
    misspelt = {(*other.keys[:-1], other.meant) for other in faults if other.meant}
    nameless = [other.keys for other in faults if other.named]
    within = any(fault.keys[: len(keys)] == keys for keys in nameless)
    return (fault.kind == "missing" and fault.keys in misspelt) or (within and not fault.named)


@dataclass(frozen=True)
class Fault:
    """A validation error.

    Attributes:
        kind: pydantic's error type, or the kind of a :class:`~likeness.config.values.Misfit`.
        value: the invalid value.
        keys: location in the document.
        named: whether the last key itself is invalid, rather than its value.
        limits: violated limits, by pydantic's or our names.
        place: the model's description of the location.
    """

    kind: str
    value: Any
    keys: tuple[str, ...]
    named: bool
    limits: Mapping[str, Any]
    place: Place

    @classmethod
    def of(cls, details: Mapping[str, Any], model: type[BaseModel], document: Mapping[Any, Any]) -> Fault:
        """Convert one entry of pydantic's ``errors()``."""
        steps = details["loc"]
        keys = tuple(plain(step) for step in steps if step != KEY and not str(step).startswith(TAG))
        kind, value, limits = details["type"], details["input"], details.get("ctx", {})
        if kind == "value_error":
            kind, limits = limits["error"].kind, limits["error"].stated
        if kind.startswith("union_tag"):
            return cls._of_union(details, model, document, keys)
        return cls(kind, value, keys, KEY in steps[-1:], limits, Place.of(model, steps))

    @classmethod
    def _of_union(
        cls, details: Mapping[str, Any], model: type[BaseModel], document: Mapping[Any, Any], keys: tuple[str, ...]
    ) -> Fault:
        """Describe an entry of a union for which no alternative matches, by its discriminator or its name."""
        place, value = Place.of(model, details["loc"]), details["input"]
        if not isinstance(value, Mapping):
            return cls("dict_type", value, keys, False, {}, place)
        key = place.discriminator
        stated = document
        for step in details["loc"]:
            stated = (stated or {}).get(step, {})  # type: ignore[call-overload]
        where = (*keys, key) if key in (stated or {}) else keys
        return cls("literal_error", value[key], where, False, {}, place)

    @property
    def meant(self) -> str | None:
        """The known key closest to an unknown one; ``None`` if there is none or the fault is another."""
        if self.kind not in ("extra_forbidden", "invalid_key"):
            return None
        return nearest(self.keys[-1], self.place.known)

    def sentence(self, renamed: Mapping[str, str]) -> str:
        """Describe the fault in one sentence with key and fix."""
        key = f"key '{'.'.join(self.keys)}'"
        if self.kind in ("extra_forbidden", "invalid_key"):
            return f"{key} {self._unknown(renamed)}"
        if self.kind == "missing":
            said = f"{key} is missing; add it"
        else:
            key = f"key '{'.'.join(self.keys[: -1 if self.named and self.kind != 'taken' else None])}'"
            said = f"{key}: {self._said()}" if self.keys else self._said()
        if self.kind == "literal_error" or self.named:
            return said
        return said + self.place.besides(said)

    def _unknown(self, renamed: Mapping[str, str]) -> str:
        for old, new in renamed.items():
            steps = old.split(".")
            if len(steps) == len(self.keys) and all(a in ("*", b) for a, b in zip(steps, self.keys, strict=True)):
                name = self.keys[steps.index("*")] if "*" in steps else ""
                return f"was renamed to `{new.replace('*', name)}`; move its value there"
        if self.keys[-1] == "recipe" and "folder" in self.place.known:
            return "cannot be combined with `folder`; give one of them"
        if not self.place.known:
            return "is unknown; nothing can be set here, so remove it"
        owner = f" to '{self.place.owner}'" if self.place.owner else ""
        return f"is unknown{owner}; {suggest(self.keys[-1], self.place.known)}"

    def _said(self) -> str:
        value = f"the name {shown(self.value)}" if self.named else shown(self.value)
        if self.kind == "literal_error":
            said = f"there is no {self.place.noun}{shown(self.value)}; {suggest(self.value, self.place.choices)}"
            return f"{said} or name a `folder`" if self.place.discriminator == "recipe" else said
        if self.kind == "string_pattern_mismatch":
            pattern = self.limits["pattern"]
            return f"{value} contains characters that are not allowed here; use {CHARACTERS.get(pattern, pattern)}"
        if self.kind in ("too_short", "too_long"):
            return self._counted(value)
        if self.kind in SAID:
            return SAID[self.kind].format(value=value, **self.limits)
        return self._wrong_type(value, WANTED.get(self.kind.removesuffix("_type"), "another value"))

    def _counted(self, value: str) -> str:
        few = self.kind == "too_short"
        limit = self.limits["min_length" if few else "max_length"]
        if not self.value:
            return f"there are no entries; give at least {limit}"
        return f"{value} has too {'few' if few else 'many'} entries; give at {'least' if few else 'most'} {limit}"

    def _wrong_type(self, value: str, wanted: str) -> str:
        if self.value is None:
            return f"it is empty; give {wanted}"
        names = self.value if isinstance(self.value, list) else []
        if wanted == WANTED["dict"] and names and all(isinstance(name, str) for name in names):
            return f"{value} is not {wanted}; write {{{', '.join(f'{plain(name)}: ' for name in names)}}}"
        number = written_number(self.value) if self.kind in ("int_type", "float_type") else None
        return f"YAML reads {value} as text; write {number}" if number else f"{value} is not {wanted}; give one"


def written_number(value: Any) -> str | None:
    """Format a number that YAML reads as text, such as 1e-4, so that YAML reads it as a number; else ``None``."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return f"{yaml.safe_dump(int(number) if number.is_integer() else number).split()[0]} without quotes"


@dataclass(frozen=True)
class Place:
    """The part of a model that describes a location in a document.

    Attributes:
        known: keys of the block at or around the location.
        choices: allowed values, if they are enumerated.
        discriminator: key that selects the alternative of a union.
        field: innermost field around the location.
        option: whether that field is an option, for which messages state the default.
        owner: alternative of the union that the block belongs to.
    """

    known: tuple[str, ...]
    choices: tuple[Any, ...]
    discriminator: str
    field: FieldInfo | None
    option: bool
    owner: str

    @property
    def noun(self) -> str:
        """What an entry of an unknown alternative is called in messages."""
        return {"recipe": "built-in dataset ", "kind": "method of the kind "}.get(self.discriminator, "")

    @classmethod
    def of(cls, model: type[BaseModel], steps: Sequence[int | str]) -> Place:
        """Find the location by its path in pydantic's errors."""
        here, field, known, option, owner = model, None, (), False, ""
        for step in steps:
            here = _bare(here)
            if isinstance(step, str) and step.startswith(TAG):
                here, owner = _alternative(here, step), step.removeprefix(TAG)
            elif _is_model(here):
                fields = {found.alias or name: found for name, found in here.model_fields.items()}
                known, option = tuple(fields), issubclass(here, AsStated)
                if step not in fields:
                    break
                field, owner = fields[str(step)], ""
                here = field.annotation
            elif step != KEY and get_origin(here) in (dict, list):
                here = get_args(here)[-1]
        choices, discriminator = _choices(_bare(here))
        return cls(known, choices, discriminator, field, option, owner)

    def besides(self, said: str) -> str:
        """Return the meaning of the key in parentheses, from its description, or the default of an option."""
        if self.field is None:
            return ""
        text = " ".join((self.field.description or "").split())
        clause = re.split(r"[.;:] ", text, maxsplit=1)[0].rstrip(".")
        if clause:
            return f" ({clause[:1].lower() + clause[1:]})"
        if not self.option or self.field.is_required() or self.field.default_factory:
            return ""
        default = yaml.safe_dump(self.field.default).split("\n")[0]
        return f"{' The' if said.endswith('?') else ', the'} default is {default}"


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _bare(annotation: Any) -> Any:
    """Strip constraints (``Annotated``) and optionality (``| None``) from a type annotation."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    args = [arg for arg in get_args(annotation) if arg is not type(None)]
    return _bare(args[0]) if len(args) == 1 and type(None) in get_args(annotation) else annotation


def _choices(annotation: Any) -> tuple[tuple[Any, ...], str]:
    """Return the allowed values, or for a union of blocks those of its discriminator, and the discriminator's name."""
    choices = get_args(annotation)
    kinds = [_bare(choice) for choice in choices] if get_origin(annotation) is Union else []
    if not kinds or not all(map(_is_model, kinds)):
        return choices, ""
    key = "recipe" if any("recipe" in kind.model_fields for kind in kinds) else "kind"
    return tuple(get_args(kind.model_fields[key].annotation)[0] for kind in kinds if key in kind.model_fields), key


def _alternative(union: Any, tag: str) -> Any:
    return next(arg for arg in get_args(union) if any(isinstance(m, Tag) and m.tag == tag for m in get_args(arg)))
