"""Upgrade a raw dataset folder from the former layout, with ``subjects.csv``, to the current one."""

from __future__ import annotations

import codecs
import csv
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from likeness.runtime.atomic import atomic_write
from likeness.userinput import documents
from likeness.userinput.errors import DatasetError, plain

RENAMED = {"subject": "id", "person": "subject"}
"""Former column names and their current names."""

_PROGRESS = ".upgrade"
"""Folder that exists while files are being replaced; it is empty once ``dataset.yaml`` has been replaced."""
_CELL = re.compile(r'"(?:[^"]|"")*"[^,\r\n]*|[^,\r\n]*')
"""One entry of a CSV row, quoted or not, as it is written."""


def upgrade(folder: Path) -> list[str]:
    """Rename the image table, its columns, and references to them in ``dataset.yaml``; nothing else changes.

    If interrupted, the folder is either valid or still rejected as being of the former layout, and another call
    completes the upgrade. A marker folder is needed for this, because ``subject`` is a valid name before and after, so
    the rules do not show whether they have been renamed.

    Args:
        folder: raw dataset folder.

    Returns:
        One clause per change.

    Raises:
        DatasetError: if the folder is not of the former layout, or a name cannot be replaced in place; nothing has
            been changed then.
    """
    former, table, described = (folder / name for name in ("subjects.csv", "images.csv", "dataset.yaml"))
    progress = folder / _PROGRESS
    if progress.is_dir() and not former.exists():
        shutil.rmtree(progress)
    _check_layout(folder, resumed=progress.is_dir())
    content, said = _renamed_table(former)
    if not progress.is_dir() or (progress / described.name).exists():
        text, places = _renamed_rules(described)
        said += places
        with atomic_write(progress) as part:
            part.mkdir()
            (part / described.name).write_bytes(text)
        shutil.copymode(described, progress / described.name)
        (progress / described.name).replace(described)
    with atomic_write(table) as part:
        part.write_bytes(content)
        shutil.copymode(former, part)
    former.unlink()
    progress.rmdir()
    return said


def _check_layout(folder: Path, resumed: bool) -> None:
    """Check that there is a table to rename, and no current one unless an upgrade was interrupted."""
    former, table = (documents.is_file(folder / name, DatasetError) for name in ("subjects.csv", "images.csv"))
    if former and table and not resumed:
        msg = f"{plain(folder)}: contains images.csv and subjects.csv; remove the outdated one"
    elif table and not former:
        msg = f"{plain(folder)}: contains images.csv and no subjects.csv, so it is already upgraded; nothing to do"
    elif not former:
        msg = f"{plain(folder)}: contains no subjects.csv, so it is not a dataset of the former layout; correct FOLDER"
    else:
        return
    raise DatasetError(msg)


def _renamed_table(path: Path) -> tuple[bytes, list[str]]:
    """Return the table with its header renamed, otherwise byte for byte the same, and a list of the changes."""
    text, mark = _read(path)
    lines = list(io.StringIO(text, newline=""))
    start, end, header = _header(path, lines)
    names = [cell.strip() for cell in header]
    if "subject" not in names:
        msg = f"{path}: column 'subject' is missing, so this is not a table of the former layout; correct FOLDER"
        raise DatasetError(msg)
    if "id" in names:
        msg = f"{path}: column 'id' already exists, but 'subject' is to be renamed to it; rename or remove it"
        raise DatasetError(msg)
    said = ["subjects.csv to images.csv"]
    said += [f"column '{old}' to '{new}'" for old, new in RENAMED.items() if old in names]
    lines[start:end] = [_CELL.sub(_rename_cell, "".join(lines[start:end]))]
    return mark + "".join(lines).encode(), said


def _header(path: Path, lines: list[str]) -> tuple[int, int, list[str]]:
    """Find the first non-empty row: its first line, the line after it, and its entries."""
    rows, start = csv.reader(lines), 0
    try:
        for row in rows:
            if any(map(str.strip, row)):
                return start, rows.line_num, row
            start = rows.line_num
    except csv.Error as error:
        msg = f"{path}: cannot be read as CSV ({plain(error)}); save it as comma-separated text"
        raise DatasetError(msg) from None
    return start, start, []


def _rename_cell(found: re.Match[str]) -> str:
    name = next(iter(next(csv.reader([found[0]]), [])), "").strip()
    return found[0].replace(name, RENAMED[name], 1) if name in RENAMED else found[0]


def _renamed_rules(path: Path) -> tuple[bytes, list[str]]:
    """Return ``dataset.yaml`` with columns renamed, otherwise byte for byte the same, and a list of the changes."""
    documents.read(path, DatasetError, "name: …")
    text, mark = _read(path)
    # the loader drops a byte order mark, as it does when the file is read; positions are shifted by one
    loader = yaml.SafeLoader(f"\ufeff{text}")
    root = loader.get_single_node()
    found = {id(node): (key, node) for key, node in _columns(root)}
    said = [f"column named by key '{key}' to '{RENAMED[node.value]}'" for key, node in found.values()]
    # from the end, so that the positions of earlier nodes stay valid
    for _, node in sorted(found.values(), key=lambda place: place[1].start_mark.index, reverse=True):
        start, end = node.start_mark.index - 1, node.end_mark.index - 1
        before, _, after = text[start:end].rpartition(node.value)
        node.value = RENAMED[node.value]
        text = text[:start] + before + node.value + after + text[end:]
    if _load(text) != loader.construct_document(root):
        msg = f"{path}: names columns under 'pairs' or 'intensity' in a way that cannot be edited in place; write them "
        raise DatasetError(msg + "without escapes, and run this again")
    return mark + text.encode(), said


def _load(text: str) -> Any:
    try:
        return yaml.safe_load(f"\ufeff{text}")
    except yaml.YAMLError:
        return None


def _columns(root: yaml.Node | None) -> Iterator[tuple[str, yaml.ScalarNode]]:
    """List references to renamed columns: the key, and the node of the name."""
    rules = _entries(root)
    pairs, intensity = _entries(rules.get("pairs")), _entries(rules.get("intensity"))
    nodes = [(f"pairs.{key}", pairs.get(key)) for key in ("within", "different")]
    nodes += [("intensity.shared_by", intensity.get("shared_by"))]
    for side in ("moving", "fixed"):
        block = pairs.get(side)
        nodes += [(f"pairs.{side}", key) for key, _ in block.value] if isinstance(block, yaml.MappingNode) else []
    for key, node in nodes:
        if isinstance(node, yaml.ScalarNode) and node.value in RENAMED:
            yield key, node


def _entries(node: yaml.Node | None) -> dict[str, yaml.Node]:
    return {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def _read(path: Path) -> tuple[str, bytes]:
    """Return the text of a file and its byte order mark, if any."""
    text = documents.read_text(path, DatasetError)
    return text, codecs.BOM_UTF8 if path.read_bytes().startswith(codecs.BOM_UTF8) else b""
