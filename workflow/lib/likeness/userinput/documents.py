"""What users write for a study: YAML read strictly, text read as UTF-8.

What is wrong becomes one line, which names the file, the place and the fix, as an error of the caller's class.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from likeness.userinput.errors import UserError, explain_mark, plain, refuse_path

MOST_CHARACTERS = 10_000_000
"""Longer files are none that a person wrote."""


def read_text(path: Path, refusal: type[UserError]) -> str:
    """Read a text file, UTF-8 with or without a byte order mark, its line breaks as they are.

    Raises:
        UserError: of the class given, if the file cannot be read or is no text.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        refuse_path(path, error, refusal)
    if len(content) > MOST_CHARACTERS:
        msg = f"{plain(path)}: has {len(content)} bytes, which nobody wrote; correct the path"
        raise refusal(msg)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{plain(path)}: is not text in UTF-8 (byte {error.start + 1}); save it as UTF-8"
        raise refusal(msg) from None


def is_file(path: Path, refusal: type[UserError]) -> bool:
    """Tell whether there is a file.

    Raises:
        UserError: of the class given, if that cannot be told, for example because its folder may not be searched.
    """
    try:
        return path.is_file()
    except OSError as error:
        refuse_path(path, error, refusal)


def read(path: Path, refusal: type[UserError], start: str) -> dict[Any, Any]:
    """Read a YAML file of keys and values; a key given twice is an error instead of a silent override.

    Args:
        path: the file.
        refusal: class of the error.
        start: what such a file may start with, for the message where there is nothing in it.

    Raises:
        UserError: of the class given.
    """
    text = read_text(path, refusal)
    try:
        # not the loader in C, which brackets nested a hundred thousand times crash
        document = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        msg = f"{plain(path)}: {explain_mark(error)}"
        raise refusal(msg) from None
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, RecursionError) as error:
        msg = f"{plain(path)}: {plain(' '.join(str(error).split()))}; fix the YAML there"
        raise refusal(msg) from None
    if not isinstance(document, dict):
        msg = f"{plain(path)}: holds no keys and values; start with '{start}'"
        raise refusal(msg)
    return document


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice in a block, of which YAML's own loader takes the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            # 1, 01 and '1' are one key where names are written; keys that are merged are not yet
            scalar = isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge"
            name = str(self.construct_object(key) if scalar else key.value)
            if name in seen:
                msg = f"key '{plain(name)}' is given twice in the block that starts on line {node.start_mark.line + 1}"
                raise yaml.MarkedYAMLError(problem=msg, problem_mark=key.start_mark, note="keep one of them")
            seen.add(name)
        return node
