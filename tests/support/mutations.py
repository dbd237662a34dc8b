"""Random edits of what users write: of values in a document, of the text of a file, of its bytes, of a table."""

from __future__ import annotations

import copy
import csv
import datetime
import io
import math
from collections.abc import Iterator
from typing import Any

import yaml
from hypothesis import strategies as st

ODD_TEXTS = [
    *(
        "",
        " ",
        "é",
        "日本",
        "a b",
        "a\nb",
        "a\x00b",
        "a\x07b",
        "\u2028",
        "\ud800",
        "\ufeff",
        "$\\frac$",
        "{x}",
        "%s",
        "../x",
    ),
    *(
        "1",
        "1e-4",
        "-1",
        "NaN",
        "null",
        "yes",
        "all",
        "mean",
        "x" * 300,
        "'",
        '"',
        "=1+1",
        "#",
        ",",
        ";",
        "\t",
        "-",
        "~",
    ),
]
ODD_NUMBERS = [
    *(
        0,
        1,
        -1,
        2,
        3,
        7,
        10**6,
        10**12,
        10**40,
        10**400,
        -(10**9),
        2**31,
        2**63,
        0.0,
        0.5,
        1.0,
        2.0,
        -0.5,
        1e-300,
        1e-9,
        1e300,
    ),
    *(math.nan, math.inf, -math.inf),
]
ODD_VALUES = [None, True, False, [], {}, [1], [[]], {"a": 1}, {1: "a"}, [None], b"\x00\xff", datetime.date(2020, 1, 1)]
ODD_KEYS = [None, True, 0, 1, -1, 99999, 1.5, math.nan, datetime.date(2020, 1, 1)]
SNIPPETS = [
    *(
        "\t",
        "\n",
        "\r",
        ":",
        ": ",
        "- ",
        ",",
        ",,",
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        "&a ",
        "*a",
        "<<: *a\n",
        "!!int ",
        "!x ",
    ),
    *(
        "#",
        "---\n",
        "...\n",
        "? ",
        "| ",
        "> ",
        "%",
        "@",
        "`",
        "é",
        "\x00",
        "\u2028",
        "\x85",
        "\ufeff",
        "0" * 5000,
        "[" * 200,
    ),
]

texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=6)
numbers = st.sampled_from(ODD_NUMBERS) | st.integers(-10, 300) | st.floats(allow_nan=True)
values = texts | numbers | st.sampled_from(ODD_VALUES)
keys = texts | st.sampled_from(ODD_KEYS)


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Give every container of a document with each of its keys or indices."""
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in entries:
        yield document, key
        if isinstance(value, dict | list):
            yield from places(value)


def _replace_key(container: dict, old: Any, new: Any) -> None:
    entries = [(new if key == old else key, value) for key, value in container.items()]
    container.clear()
    container.update(entries)


@st.composite
def documents(draw: st.DrawFn, base: dict[str, Any], most: int = 3) -> dict[Any, Any]:
    """Edit a document: delete, rename, replace, nest, move."""
    document = copy.deepcopy(base)
    for _ in range(draw(st.integers(1, most))):
        found = list(places(document))
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        edit = draw(st.sampled_from(["delete", "rename", "value", "value", "value", "near", "nest", "swap"]))
        value = container[key]
        if edit == "delete":
            del container[key]
        elif edit == "rename" and isinstance(container, dict):
            new = draw(keys) if draw(st.booleans()) else f"{key}{draw(st.sampled_from(['', 's', ' ', '_', '-']))}"
            _replace_key(container, key, new)
        elif edit == "near" and isinstance(value, int | float) and not isinstance(value, bool):
            container[key] = draw(
                st.sampled_from([-value, value + 1, value - 1, value * 10, value / 2, str(value), value * 1.0])
            )
        elif edit == "nest":
            container[key] = draw(
                st.sampled_from([[value], {"a": value}, {key: value} if isinstance(key, str) else [value] * 2])
            )
        elif edit == "swap":
            other, place = draw(st.sampled_from(found))
            if place in (other if isinstance(other, dict) else range(len(other))):
                container[key] = copy.deepcopy(other[place])
        else:
            container[key] = draw(values)
    return document


@st.composite
def scribbled(draw: st.DrawFn, text: str, most: int = 3) -> bytes:
    """Edit the text of a file, line by line and character by character, or its bytes."""
    for _ in range(draw(st.integers(1, most))):
        lines = text.splitlines(keepends=True)
        at = draw(st.integers(0, max(0, len(lines) - 1)))
        edit = draw(st.sampled_from(["drop", "double", "swap", "indent", "insert", "insert", "cut", "comma"]))
        if edit == "drop":
            lines[at : at + 1] = []
        elif edit == "double":
            lines[at:at] = lines[at : at + 1]
        elif edit == "swap" and lines:
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif edit == "indent":
            lines[at : at + 1] = [draw(st.sampled_from([" ", "  ", "\t"])) + line for line in lines[at : at + 1]]
        text = "".join(lines)
        here = draw(st.integers(0, len(text)))
        if edit == "insert":
            text = text[:here] + draw(st.sampled_from(SNIPPETS)) + text[here:]
        elif edit == "cut":
            text = text[:here] + text[here + draw(st.integers(1, 20)) :]
        elif edit == "comma":
            text = text.replace(",", draw(st.sampled_from(["", ";", "\t", ",,"])), draw(st.sampled_from([1, 2, -1])))
    content = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        content = draw(damaged(content))
    return content


@st.composite
def damaged(draw: st.DrawFn, content: bytes, most: int = 4) -> bytes:
    """Change bytes, cut the end off, or put bytes in."""
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        piece = draw(st.binary(max_size=4) | st.sampled_from([b"\x00", b"\xff\xff\xff\xff", b"\x7f\xff", b"\xff\xfe"]))
        edit = draw(st.sampled_from(["overwrite", "overwrite", "insert", "truncate"]))
        if edit == "truncate":
            content = content[:at]
        else:
            content = content[:at] + piece + content[at + (len(piece) if edit == "overwrite" else 0) :]
    return content


def written(document: dict[Any, Any]) -> bytes:
    """Write a document as YAML."""
    return yaml.dump(document, sort_keys=False, allow_unicode=True, width=1000).encode("utf-8", "surrogatepass")


@st.composite
def tables(draw: st.DrawFn, text: str, most: int = 3) -> bytes:
    """Edit a CSV: shuffle, delete and double rows and columns, rename columns, change cells."""
    rows = list(csv.reader(io.StringIO(text)))
    known = [cell for row in rows for cell in row]
    for _ in range(draw(st.integers(1, most))):
        row = draw(st.integers(0, len(rows) - 1)) if rows else 0
        column = draw(st.integers(0, len(rows[0]) - 1)) if rows and rows[0] else 0
        edit = draw(
            st.sampled_from(["cell", "cell", "cell", "head", "shuffle", "row-", "row+", "column-", "column+", "short"])
        )
        cell = draw(texts | numbers.map(str) | st.sampled_from(known))
        if not rows:
            break
        if edit == "cell" and column < len(rows[row]):
            rows[row][column] = cell
        elif edit == "head" and column < len(rows[0]):
            rows[0][column] = cell
        elif edit == "shuffle":
            rows[1:] = draw(st.permutations(rows[1:]))
        elif edit == "row-":
            del rows[row]
        elif edit == "row+":
            rows.insert(row, list(rows[row]))
        elif edit in ("column-", "column+"):
            for entries in rows:
                entries[column : column + 1] = [] if edit == "column-" else entries[column : column + 1] * 2
        elif edit == "short" and rows[row]:
            rows[row].pop()
    out = io.StringIO()
    csv.writer(out, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))).writerows(rows)
    return out.getvalue().encode("utf-8", "surrogatepass")
