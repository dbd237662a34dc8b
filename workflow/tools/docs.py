"""Write what documentation repeats: tables of keys from the schemas, of losses, metrics and figures, of weights.

Each stands between two comments in a page that is otherwise written by hand. Called by `make docs`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

from likeness import figures, losses, metrics  # noqa: E402
from likeness.extractors import sources  # noqa: E402
from likeness.runtime.download import megabytes  # noqa: E402

BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(\n<!-- end -->)", re.DOTALL)
SUPERVISION = {
    "none": "none",
    "external": "other data",
    "in-domain": "unlabelled images of the dataset",
    "labels": "labels of the dataset",
}
HEADER = ["| key | type | default | meaning |", "|---|---|---|---|"]


def resolve(schema: dict, entry: dict) -> dict:
    """Follow a reference; what stands beside it wins."""
    return {**schema["$defs"][entry["$ref"].rsplit("/", 1)[1]], **entry} if "$ref" in entry else entry


def limits(entry: dict) -> str:
    """Say the range of a number or the length of a list."""
    low, above = entry.get("minimum"), entry.get("exclusiveMinimum")
    high, below = entry.get("maximum"), entry.get("exclusiveMaximum")
    said = [f" ≥ {low}"] * (low is not None) + [f" > {above}"] * (above is not None)
    said += [f" ≤ {high}"] * (high is not None) + [f" < {below}"] * (below is not None)
    return ",".join(said)


def kind(schema: dict, entry: dict, link: str) -> str:
    """Say what a key takes; ``link`` stands for a table of its own."""
    if "enum" in entry:
        return " or ".join(f"`{value}`" for value in entry["enum"])
    if link:
        return f"[keys](#{link})" if "properties" in entry else f"names, each with [keys](#{link})"
    types = entry.get("type", "any")
    if types == "array":
        return f"list of {kind(schema, resolve(schema, entry.get('items', {})), '')}"
    if types == "object":
        return "keys and values"
    names = [types] if isinstance(types, str) else types
    return " or ".join(name + limits(entry) * (name in ("integer", "number")) for name in names)


def default(parent: dict, key: str, entry: dict) -> str:
    """Say what holds where a key is left out."""
    if key in parent.get("required", []):
        return "required"
    if entry.get("default") in (None, {}, [], ""):
        return ""
    return f"`{yaml.safe_dump(entry['default'], default_flow_style=True).split(chr(10))[0]}`"


def meaning(entry: dict) -> str:
    """Give the description on one line."""
    return " ".join(entry.get("description", "").split()).replace("|", "\\|")


def gist(entry: dict) -> str:
    """Give the first sentence of the description."""
    first, more, _ = meaning(entry).partition(". ")
    return first + more.strip()


def anchor(path: str) -> str:
    """Give the anchor of a heading as GitHub makes it."""
    return re.sub(r"[^\w-]", "", path.lower())


def tables(name: str) -> Iterator[str]:
    """Give a table for a schema, then one for every object in it; an object that recurs is described once."""
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / f"{name}.schema.yaml").read_text())
    waiting: list[tuple[str, dict[str, Any]]] = [("", schema)]
    seen: dict[str, str] = {}
    while waiting:
        path, node = waiting.pop(0)
        rows = []
        for key, raw in node["properties"].items():
            entry, place = resolve(schema, raw), f"{path}.{key}".lstrip(".")
            inner = raw
            if "properties" not in entry and isinstance(entry.get("additionalProperties"), dict):
                inner, place = entry["additionalProperties"], f"{place}.<name>"
            link = ""
            if "properties" in resolve(schema, inner):
                identity = inner.get("$ref", place)
                if identity not in seen:
                    seen[identity] = place
                    waiting.append((place, resolve(schema, inner)))
                link = anchor(seen[identity])
            said = gist(entry) if link else meaning(entry)
            rows.append(f"| `{key}` | {kind(schema, entry, link)} | {default(node, key, entry)} | {said} |")
        yield "\n".join(([f"### `{path}`", "", meaning(node), ""] if path else []) + HEADER + rows)


def purpose(module: Path, title: str = "") -> str:
    """Give the first line of a module's docstring, as Markdown and without the title that it may begin with."""
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
    what = docstring.partition("\n")[0].removeprefix(f"{title}: ").rstrip(".").replace("``", "`").replace("|", "\\|")
    return what[:1].upper() + what[1:]


def paper(doi: str | None) -> str:
    """Link a paper by its DOI."""
    return f"[{doi}](https://doi.org/{doi})" if doi else ""


def table_of_losses() -> str:
    """List every loss with the first line of its module's docstring."""
    rows = ["| name | in figures | what it compares | supervision | paper |", "|---|---|---|---|---|"]
    for name in losses.names():
        card = losses.card(name)
        what = purpose(losses.FOLDER / f"{name}.py", card["title"])
        cells = [f"`{name}`", card["title"], what, SUPERVISION[card["supervision"]], paper(card["doi"])]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def table_of_metrics() -> str:
    """List every metric with what its card says."""
    rows = ["| name | in figures | what it is | unit | better | range | paper |", "|---|---|---|---|---|---|---|"]
    for name in metrics.names():
        card = metrics.card(name)
        low, high = ("" if bound is None else f"{bound:g}" for bound in card["range"])
        what = purpose(metrics.FOLDER / f"{name}.py", card["title"])
        measured = "the dataset's" if card["unit"] == "distance" else card["unit"]
        title = card["title"].replace("|", "\\|")
        cells = [f"`{name}`", title, what, measured, card["better"] or "", f"{low} … {high}", paper(card["doi"])]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def table_of_figures() -> str:
    """List every figure with what it shows."""
    rows = ["| figure | what it shows |", "|---|---|"]
    rows += [f"| `{name}` | {purpose(figures.FOLDER / f'{name}.py')} |" for name in figures.names()]
    return "\n".join(rows)


def table_of_weights() -> str:
    """List what extractors need from elsewhere."""
    rows = ["| extractor | files | size | sha256 known | licence |", "|---|---|---|---|---|"]
    for found in filter(None, map(sources.source, sorted(path.stem for path in sources.FOLDER.glob("*.py")))):
        first, *others = found.files
        links = f"[{first.name}]({first.url})" + f" and {len(others)} more" * bool(others)
        sizes = [file.size for file in found.files]
        size = megabytes(sum(filter(None, sizes))) + " and more" * (not all(sizes)) if any(sizes) else ""
        hashes = list(filter(None, found.hashes.values()))
        known = "no" if not hashes else "yes" if len(hashes) == len(sizes) else f"of {len(hashes)} of {len(sizes)}"
        rows.append(f"| `{found.extractor}` | {links} | {size} | {known} | {found.licence} |")
    return "\n".join(rows)


def generated(what: str) -> str:
    """Give what stands between the two comments."""
    written = {
        "losses": table_of_losses,
        "metrics": table_of_metrics,
        "figures": table_of_figures,
        "weights": table_of_weights,
    }
    return written[what]() if what in written else "\n\n".join(tables(what))


def page(path: Path) -> str:
    """Give a page with everything generated in it anew."""
    return BLOCK.sub(lambda block: f"{block[1]}{generated(block[2])}{block[3]}", path.read_text())


def pages() -> list[Path]:
    """List the pages that hold something generated."""
    return [
        path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if BLOCK.search(path.read_text())
    ]


def main() -> int:
    """Write every page."""
    for path in pages():
        path.write_text(page(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
