"""Write docs/configuration.md and docs/dataset.md from the JSON Schemas, so that they cannot disagree."""

import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PAGES = {"configuration": "config", "dataset": "dataset"}


def rows(schema: dict, node: dict, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Give key, type, default and meaning of every key below a node of a schema."""
    if "$ref" in node:
        node = {**schema["$defs"][node["$ref"].rsplit("/", 1)[1]], **node}
    keys = dict(node.get("properties", {}))
    if isinstance(node.get("additionalProperties"), dict):
        keys["<name>"] = node["additionalProperties"]
    for key, entry in keys.items():
        if "$ref" in entry:
            entry = {**schema["$defs"][entry["$ref"].rsplit("/", 1)[1]], **entry}
        path = f"{prefix}{key}"
        kind = " or ".join(f"`{v}`" for v in entry["enum"]) if "enum" in entry else str(entry.get("type", "any"))
        default = "required" if key in node.get("required", []) else ""
        if "default" in entry and not isinstance(entry["default"], dict):
            default = f"`{entry['default']}`".replace("True", "true").replace("False", "false")
        yield path, kind, default, " ".join(entry.get("description", "").split())
        yield from rows(schema, entry, f"{path}.")


def page(name: str) -> str:
    """Render one page."""
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / f"{PAGES[name]}.schema.yaml").read_text())
    lines = [f"# {schema['title']}", "", schema["description"], ""]
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{key}` | {kind} | {default} | {meaning} |" for key, kind, default, meaning in rows(schema, schema)]
    return "\n".join([*lines, "", "*Generated from the schema by `make docs`.*", ""])


def main() -> int:
    """Write every page."""
    for name in PAGES:
        (ROOT / "docs" / f"{name}.md").write_text(page(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
