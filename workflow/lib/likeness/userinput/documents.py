"""Strict reading of user-written files: YAML documents and UTF-8 text.

Errors are raised as the caller's error class, with one line that names the file, the position and the fix.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from likeness.userinput.errors import UserError, explain_mark, plain, refuse_path

MOST_CHARACTERS = 10_000_000
"""Size limit in bytes; a larger file is not a hand-written configuration or table."""


def read_text(path: Path, refusal: type[UserError]) -> str:
    """Read a UTF-8 text file, with or without a byte order mark; line breaks are kept as they are.

    Args:
        path: file to read.
        refusal: error class to raise.

    Raises:
        UserError: of class ``refusal``, if the file cannot be read, is too large or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        refuse_path(path, error, refusal)
    if len(content) > MOST_CHARACTERS:
        msg = f"{plain(path)}: has {len(content)} bytes, too many for a hand-written file; correct the path"
        raise refusal(msg)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{plain(path)}: is not UTF-8 text (byte {error.start + 1}); save it as UTF-8"
        raise refusal(msg) from None


def is_file(path: Path, refusal: type[UserError]) -> bool:
    """Return whether a path is an existing file.

    Raises:
        UserError: of class ``refusal``, if this cannot be determined, for example for lack of permissions.
    """
    try:
        return path.is_file()
    except OSError as error:
        refuse_path(path, error, refusal)


def read(path: Path, refusal: type[UserError], start: str, *, plain_numbers: bool = False) -> dict[Any, Any]:
    """Read a YAML mapping; duplicate keys are an error instead of a silent override.

    Args:
        path: file to read.
        refusal: error class to raise.
        start: example of a first line, suggested when the file is not a mapping.
        plain_numbers: whether ``1e-4`` is a number, as in YAML 1.2, and not a text, as Snakemake reads configurations.

    Raises:
        UserError: of class ``refusal``, if the file cannot be read, is no valid YAML, is no mapping or repeats a key.
    """
    text = read_text(path, refusal)
    try:
        # the C loader crashes on very deeply nested brackets
        document = yaml.load(text, _PlainNumbers if plain_numbers else _Loader)
    except yaml.MarkedYAMLError as error:
        msg = f"{plain(path)}: {explain_mark(error)}"
        raise refusal(msg) from None
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, RecursionError) as error:
        msg = f"{plain(path)}: {plain(' '.join(str(error).split()))}; fix the YAML there"
        raise refusal(msg) from None
    if not isinstance(document, dict):
        msg = f"{plain(path)}: is not a block of keys and values; start with '{start}'"
        raise refusal(msg)
    return document


class _Loader(yaml.SafeLoader):
    """Loader that rejects duplicate keys in a mapping; PyYAML would silently keep the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            # names are compared as strings, so 1, 01 and '1' are the same key; merge keys are not expanded yet
            scalar = isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge"
            name = str(self.construct_object(key) if scalar else key.value)
            if name in seen:
                msg = f"key '{plain(name)}' is given twice in the block that starts on line {node.start_mark.line + 1}"
                raise yaml.MarkedYAMLError(problem=msg, problem_mark=key.start_mark, note="keep one of them")
            seen.add(name)
        return node


class _PlainNumbers(_Loader):
    """Loader that reads numbers with an exponent but no point, or with an unsigned exponent, as numbers."""


_PlainNumbers.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)
