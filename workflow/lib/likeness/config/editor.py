"""JSON Schema of a model, for completion and checks in editors and for the generated documentation."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

DIALECT = "https://json-schema.org/draft/2020-12/schema"
RENAMED = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
"""Pydantic's names of constraints on converted values, and the JSON Schema keywords."""


class _Generator(GenerateJsonSchema):
    """Schema generator without titles, which would repeat every key, and with overlapping alternatives in unions."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def tagged_union_schema(self, schema: Any) -> JsonSchemaValue:
        # an entry's name may select the alternative, which JSON Schema cannot express
        return {"anyOf": [self.generate_inner(choice) for choice in schema["choices"].values()]}


def schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """Return the JSON Schema of a model, as plain types.

    Args:
        model: model of a document.
        title: title of the schema.
    """
    found = _tidied(model.model_json_schema(by_alias=True, schema_generator=_Generator))
    parts = found.pop("$defs", {})
    return {"$schema": DIALECT, "title": title, **found, "type": "object", "$defs": parts}


def _tidied(node: Any, named: bool = False) -> Any:
    """Join descriptions to one line, rename limits to JSON Schema keywords and drop titles.

    If ``named``, the node's keys are names from the document and are kept as they are.
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
