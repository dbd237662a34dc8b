"""The JSON Schema of a model: what editors complete and check, and what documentation is written from."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

DIALECT = "https://json-schema.org/draft/2020-12/schema"
RENAMED = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
"""Limits of a value that is converted first, as pydantic and as JSON Schema call them."""


class _Generator(GenerateJsonSchema):
    """Leaves out titles, which would repeat every key, and lets the alternatives of a union overlap."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def tagged_union_schema(self, schema: Any) -> JsonSchemaValue:
        # which alternative is meant may follow from an entry's name, of which JSON Schema knows nothing
        return {"anyOf": [self.generate_inner(choice) for choice in schema["choices"].values()]}


def schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """Give the JSON Schema of a model, as plain types.

    Args:
        model: of a document.
        title: of the schema.
    """
    found = _tidied(model.model_json_schema(by_alias=True, schema_generator=_Generator))
    parts = found.pop("$defs", {})
    return {"$schema": DIALECT, "title": title, **found, "type": "object", "$defs": parts}


def _tidied(node: Any, named: bool = False) -> Any:
    """Put descriptions on one line, call limits as JSON Schema does and leave titles out.

    Where a block is ``named``, its keys are those of documents, whatever they are called.
    """
    if isinstance(node, list):
        return [_tidied(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    if named:
        return {key: _tidied(value) for key, value in node.items()}
    found = {
        RENAMED.get(key, key): _tidied(value, key in ("properties", "$defs"))
        for key, value in node.items()
        if key != "title"
    }
    if "description" in found:
        found["description"] = " ".join(found["description"].split())
    return found
