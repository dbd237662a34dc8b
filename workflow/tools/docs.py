"""Generate schemas for editors, and the tables of keys, losses, metrics, figures and weights in the documentation.

A table stands between two comments in a page that is otherwise written by hand. Called by `make docs`.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "workflow" / "lib" / "likeness"
sys.path.insert(0, str(LIBRARY.parent))

from likeness import figures, losses, metrics  # noqa: E402
from likeness.config import editor  # noqa: E402
from likeness.config.dataset_file import DatasetFile  # noqa: E402
from likeness.config.entries import configuration  # noqa: E402
from likeness.datasets import catalogue, recipes  # noqa: E402
from likeness.extractors import sources  # noqa: E402
from likeness.runtime.download import megabytes  # noqa: E402
from likeness.userinput import cards  # noqa: E402

BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n)(?:.*?\n)??(<!-- end -->)", re.DOTALL)
SUPERVISION = {
    "none": "none",
    "external": "other data",
    "in-domain": "unlabelled images of the dataset",
    "labels": "labels of the dataset",
}
HEADER = ["| key | type | default | meaning |", "|---|---|---|---|"]
HEADER_OF = ["| key | of | type | default | meaning |", "|---|---|---|---|---|"]
SCHEMAS: dict[str, tuple[Callable[[], type[BaseModel]], str]] = {
    "config": (configuration, "Configuration of a study"),
    "dataset": (lambda: DatasetFile, "dataset.yaml"),
}
"""Schemas: function that returns the model, and title."""
WRITTEN = "# Written by `make docs` from workflow/lib/likeness/config/, for editors."


def resolve(schema: dict, entry: dict) -> dict:
    """Resolve a reference; keys next to it take precedence."""
    return {**schema["$defs"][entry["$ref"].rsplit("/", 1)[1]], **entry} if "$ref" in entry else entry


def limits(entry: dict) -> str:
    """Format the range of a number."""
    low, above = entry.get("minimum"), entry.get("exclusiveMinimum")
    high, below = entry.get("maximum"), entry.get("exclusiveMaximum")
    said = [f" ≥ {low}"] * (low is not None) + [f" > {above}"] * (above is not None)
    said += [f" ≤ {high}"] * (high is not None) + [f" < {below}"] * (below is not None)
    return ",".join(said)


def kind(entry: dict) -> str:
    """Describe the values of a key without a separate table."""
    if "anyOf" in entry:
        return " or ".join(kind(choice) for choice in entry["anyOf"])
    if "const" in entry or "enum" in entry:
        return " or ".join(f"`{value}`" for value in entry.get("enum", [entry.get("const")]))
    types = entry.get("type", "any")
    if types == "array":
        return f"list of {kind(entry.get('items', {}))}"
    if types == "object":
        return "keys and values"
    return types + limits(entry)


def default(parent: dict, key: str, entry: dict) -> str:
    """Format the default of a key."""
    if key in parent.get("required", []):
        return "required"
    if entry.get("default") in (None, {}, [], ""):
        return ""
    return f"`{yaml.safe_dump(entry['default'], default_flow_style=True).split(chr(10))[0]}`"


def meaning(entry: dict) -> str:
    """Return the description, escaped for a table."""
    return entry.get("description", "").replace("|", "\\|")


def gist(entry: dict) -> str:
    """Return the first sentence of the description."""
    first, more, _ = meaning(entry).partition(". ")
    return first + more.strip()


def anchor(path: str) -> str:
    """Return GitHub's anchor of a heading."""
    return re.sub(r"[^\w-]", "", path.lower())


def choices(schema: dict, entry: dict) -> dict[str, dict]:
    """Return the alternative blocks of an entry, by the name that selects them; empty if there is only one."""
    found = resolve(schema, entry)
    for named in found.get("patternProperties", {}).values():
        refs = [choice["$ref"] for choice in named.get("anyOf", []) if "$ref" in choice]
        return {ref.rsplit("/", 1)[1]: resolve(schema, {"$ref": ref}) for ref in refs}
    inner = {name: resolve(schema, part) for name, part in found.get("properties", {}).items()}
    # alternatives have equal keys, unlike the blocks of budgets
    alike = len(inner) > 1 and len({tuple(part.get("properties", [])) for part in inner.values()}) == 1
    return inner if alike and "properties" in next(iter(inner.values())) else {}


class Tables:
    """The tables of a schema: one for the document, then one for every block, each once."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self.waiting: list[tuple[str, dict[str, Any]]] = [("", schema)]
        self.seen: dict[str, str] = {}

    def __iter__(self) -> Iterator[str]:
        while self.waiting:
            path, node = self.waiting.pop(0)
            alternatives = choices(self.schema, node)
            rows = self.several(path, alternatives) if alternatives else self.rows(path, node)
            head = HEADER if not alternatives else HEADER_OF
            heading = [f"### `{path}`", "", meaning(node), ""] if path else []
            yield "\n".join(heading + head + [f"| {' | '.join(row)} |" for row in rows])

    def rows(self, path: str, node: dict) -> list[list[str]]:
        """Return the table cells of every key of a block."""
        rows = []
        for key, raw in node["properties"].items():
            entry, place = resolve(self.schema, raw), f"{path}.{key}".lstrip(".")
            link = self.link(place, raw, entry)
            said = gist(entry) if link else meaning(entry)
            rows.append([f"`{key}`", link or kind(entry), default(node, key, entry), said])
        return rows

    def link(self, place: str, raw: dict, entry: dict) -> str:
        """Return a link to the table of a block, which is queued; empty if the key takes no block."""
        if "$ref" in entry.get("items", {}):
            found = self.link(place, entry["items"], resolve(self.schema, entry["items"]))
            return f"list of {found}" if found else ""
        several = bool(choices(self.schema, raw))
        if not several and not entry.get("properties"):
            return ""
        place = f"{place}.<name>" if several else place
        identity = raw.get("$ref", place)
        if identity not in self.seen:
            self.seen[identity] = place
            self.waiting.append((place, entry))
        return f"{'names, each with ' * several}[keys](#{anchor(self.seen[identity])})"

    def several(self, path: str, alternatives: dict[str, dict]) -> list[list[str]]:
        """Return the cells of every key of alternative blocks, and the names of those that have it."""
        owners: dict[tuple[str, ...], list[str]] = {}
        for name, node in alternatives.items():
            module = self.module(path, name.lower())
            for row in self.expanded(path, node):
                option = row[0].strip("`").removeprefix("options.")
                said = row[-1] or (argument(module, option) if module else "")
                owners.setdefault((*row[:-1], said), []).append(name.lower())
        everywhere = len(alternatives)
        return [
            [key, "" if len(names) == everywhere else ", ".join(names), *more] for (key, *more), names in owners.items()
        ]

    def module(self, path: str, name: str) -> Path | None:
        """Find the module of a loss or built-in dataset, whose docstrings describe the options."""
        room = {"losses.<name>": "losses", "datasets.<name>": "datasets"}.get(path)
        found = LIBRARY / str(room) / f"{name.replace('-', '_')}.py"
        return found if found.is_file() else None

    def expanded(self, path: str, node: dict) -> Iterator[list[str]]:
        """Yield the cells of the keys of a block, and of its options."""
        for key, raw in node["properties"].items():
            entry = resolve(self.schema, raw)
            if key == "options":
                yield from (
                    [f"`options.{row[0][1:]}", *row[1:]] for row in self.rows(path, {"properties": {}, **entry})
                )
            elif "patternProperties" in entry:
                yield [f"`{key}`", "names, each with options", "", meaning(entry)]
            elif "const" in entry:
                yield [f"`{key}`", "a name in the column `of`", "the entry's name", meaning(entry)]
            else:
                yield from self.rows(path, {**node, "properties": {key: raw}})


def argument(module: Path, name: str) -> str:
    """Return the docstring of an argument of a loss, or of a dataset's ``make``, as Markdown.

    A reference to the same argument of another class in the package is replaced by the text there.
    """
    said = documented(module).get(name, "")
    if said and not said.startswith("see :class:"):
        return markdown(said)
    more = said.partition("; ")[2]
    shared = (documented(path).get(name, "") for path in sorted(module.parent.glob("_*.py")))
    first = next((text for text in shared if text and not text.startswith("see :class:")), "")
    if more.startswith("by default"):
        first = first.partition("; by default")[0]
    return markdown("; ".join(part for part in (first.rstrip("."), more) if part))


def documented(module: Path) -> dict[str, str]:
    """Return the docstrings of arguments of a module's classes and ``make``, by name; the last one takes precedence."""
    found: dict[str, str] = {}
    for node in cards.tree(module).body:
        if not isinstance(node, ast.ClassDef) and getattr(node, "name", "") != "make":
            continue
        text = (ast.get_docstring(node) or "").partition("Args:\n")[2]
        block = re.split(r"\n\n", text)[0]
        for name, said in re.findall(r"^    (\w+): (.+?)(?=^    \w|\Z)", block, re.MULTILINE | re.DOTALL):
            found[name] = " ".join(said.split())
    return found


def markdown(text: str) -> str:
    """Convert a sentence of a docstring to Markdown."""
    text = re.sub(r":\w+:`\.?([\w.]+)`", r"`\1`", text.replace("``", "`")).replace("|", "\\|")
    return text and f"{text[:1].upper()}{text[1:].rstrip('.')}."


def purpose(module: Path, title: str = "") -> str:
    """Return the first line of a module's docstring as Markdown, without a leading title."""
    docstring = ast.get_docstring(cards.tree(module)) or ""
    what = docstring.partition("\n")[0].removeprefix(f"{title}: ").rstrip(".").replace("``", "`").replace("|", "\\|")
    return what[:1].upper() + what[1:]


def paper(doi: str | None) -> str:
    """Return a link to a paper by its DOI."""
    return f"[{doi}](https://doi.org/{doi})" if doi else ""


def table_of_losses() -> str:
    """Return the table of losses, with the first line of each module's docstring."""
    rows = ["| name | in figures | what it compares | supervision | paper |", "|---|---|---|---|---|"]
    for name in losses.names():
        card = losses.card(name)
        what = purpose(losses.FOLDER / f"{name}.py", card["title"])
        cells = [f"`{name}`", card["title"], what, SUPERVISION[card["supervision"]], paper(card["doi"])]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def table_of_metrics() -> str:
    """Return the table of metrics, from their cards."""
    rows = ["| name | in figures | what it is | unit | better | range | paper |", "|---|---|---|---|---|---|---|"]
    for name in metrics.names():
        card = metrics.card(name)
        low, high = ("" if bound is None else f"{bound:g}" for bound in card["range"])
        what = purpose(metrics.FOLDER / f"{name}.py", card["title"])
        measured = card["unit"].replace("distance", "the dataset's")
        title = card["title"].replace("|", "\\|")
        cells = [f"`{name}`", title, what, measured, card["better"] or "", f"{low} … {high}", paper(card["doi"])]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def table_of_datasets() -> str:
    """List every built-in dataset with the first line of its module's docstring."""
    rows = ["| name | | what it is |", "|---|---|---|"]
    for name in recipes.names():
        dims = catalogue.describe(name)["spatial_dims"]
        rows.append(f"| `{name}` | {dims}D | {purpose(recipes.path(name), f'``{name}``')} |")
    return "\n".join(rows)


def table_of_figures() -> str:
    """Return the table of figures."""
    rows = ["| figure | what it shows |", "|---|---|"]
    rows += [f"| `{name}` | {purpose(figures.FOLDER / f'{name}.py')} |" for name in figures.names()]
    return "\n".join(rows)


def table_of_weights() -> str:
    """Return the table of published weights."""
    rows = ["| extractor | files | size | sha256 known | licence |", "|---|---|---|---|---|"]
    for found in filter(None, map(sources.source, sorted(path.stem for path in sources.FOLDER.glob("*.py")))):
        first, *others = found.files
        name = f"package {first.package}" if first.package else first.name
        links = f"[{name}]({first.url})" + f" and {len(others)} more" * bool(others)
        sizes = [file.size for file in found.files]
        size = megabytes(sum(filter(None, sizes))) + " and more" * (not all(sizes)) if any(sizes) else ""
        hashes = list(filter(None, found.hashes.values()))
        known = "no" if not hashes else "yes" if len(hashes) == len(sizes) else f"of {len(hashes)} of {len(sizes)}"
        rows.append(f"| `{found.extractor}` | {links} | {size} | {known} | {found.licence} |")
    return "\n".join(rows)


def generated(what: str) -> str:
    """Return the generated content between the two comments."""
    written = {
        "losses": table_of_losses,
        "metrics": table_of_metrics,
        "datasets": table_of_datasets,
        "figures": table_of_figures,
        "weights": table_of_weights,
    }
    return written[what]() if what in written else "\n\n".join(Tables(schema_of(what)))


def schema_of(name: str) -> dict[str, Any]:
    """Return the schema of a document."""
    make, title = SCHEMAS[name]
    return editor.schema(make(), title)


def schema_file(name: str) -> Path:
    """Return the path of the schema file of a document, for editors."""
    return ROOT / "workflow" / "schemas" / f"{name}.schema.yaml"


def schema_text(name: str) -> str:
    """Return the content of the schema file."""
    text = yaml.safe_dump(schema_of(name), sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    return f"{WRITTEN}\n{text}"


def page(path: Path) -> str:
    """Return a page with its generated content updated."""
    return BLOCK.sub(lambda block: f"{block[1]}{generated(block[2])}\n{block[3]}", path.read_text())


def pages() -> list[Path]:
    """List the pages with generated content."""
    return [
        path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if BLOCK.search(path.read_text())
    ]


def main() -> int:
    """Update every schema and page."""
    for name in SCHEMAS:
        schema_file(name).write_text(schema_text(name))
    for path in pages():
        path.write_text(page(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
