"""What people write for a study: YAML read strictly, text read as UTF-8.

What is wrong becomes one line, which names the file, the place and the mend, as an error of the caller's class.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from likeness.userinput.refusals import Refusal, explain_mark, plain, refuse_path

MOST_CHARACTERS = 10_000_000
"""Longer files are none that a person wrote."""
MOST_VALUES = 100_000
"""So many values a YAML file may stand for, each alias counted with everything that it repeats."""
MOST_DIGITS = 1000
"""So many digits a number may have; Python converts few more."""
DEEPEST = 30
"""So deep the blocks of a YAML file may be nested."""


def read_text(path: Path, refusal: type[Refusal]) -> str:
    """Read a text file, UTF-8 with or without a byte order mark, its line breaks as they are.

    Raises:
        Refusal: of the class given, if the file cannot be read or is no text.
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


def is_file(path: Path, refusal: type[Refusal]) -> bool:
    """Tell whether there is a file.

    Raises:
        Refusal: of the class given, if that cannot be told, for example because its folder may not be searched.
    """
    try:
        return path.is_file()
    except OSError as error:
        refuse_path(path, error, refusal)


def read(path: Path, refusal: type[Refusal], start: str) -> dict[Any, Any]:
    """Read a YAML file of keys and values; a key given twice is an error instead of a silent override.

    Args:
        path: the file.
        refusal: class of the error.
        start: what such a file may start with, for the message where there is nothing in it.

    Raises:
        Refusal: of the class given.
    """
    text = read_text(path, refusal)
    try:
        # not the loader in C, which brackets nested a hundred thousand times crash; both drop one byte order mark, and
        # that of the file is gone already
        loader = yaml.SafeLoader(f"\ufeff{text}")
        node = loader.get_single_node()
        _check_nodes(loader, node)
        document = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        msg = f"{plain(path)}: {explain_mark(error)}"
        raise refusal(msg) from None
    except RecursionError:
        msg = f"{plain(path)}: its blocks are nested too deeply; keep to the keys that the documentation lists"
        raise refusal(msg) from None
    except _Twisted as error:
        msg = f"{plain(path)}: {error}"
        raise refusal(msg) from None
    except (yaml.YAMLError, ValueError, OverflowError, TypeError) as error:
        msg = f"{plain(path)}: {plain(' '.join(str(error).split()))}; mend the YAML there"
        raise refusal(msg) from None
    if not isinstance(document, dict):
        msg = f"{plain(path)}: holds no keys and values; start with '{start}'"
        raise refusal(msg)
    return document


class _Twisted(Exception):
    """Well-formed YAML that would not be taken as it was meant."""


def _check_nodes(loader: yaml.SafeLoader, root: yaml.Node | None) -> None:
    """Walk through the file as it is written, since aliases and merged keys are no longer told apart afterwards."""
    sizes: dict[yaml.Node, int] = {}

    def size(node: yaml.Node, above: tuple[yaml.Node, ...]) -> int:
        if node in above:
            msg = f"the block on line {node.start_mark.line + 1} has an alias of itself; write out what you mean"
            raise _Twisted(msg)
        if len(above) > DEEPEST:
            msg = f"line {node.start_mark.line + 1} is nested more than {DEEPEST} blocks deep; correct the brackets"
            raise _Twisted(msg)
        if node not in sizes:
            parts: list[yaml.Node] = []
            if isinstance(node, yaml.MappingNode):
                _check_keys(loader, node)
                parts = [part for entry in node.value for part in entry]
            elif isinstance(node, yaml.SequenceNode):
                parts = node.value
            else:
                _check_scalar(node)
            sizes[node] = 1 + sum(size(part, (*above, node)) for part in parts)
            if sizes[node] > MOST_VALUES:
                msg = f"stands for more than {MOST_VALUES} values; use fewer aliases"
                raise _Twisted(msg)
        return sizes[node]

    if root is not None:
        size(root, ())


def _check_scalar(node: yaml.Node) -> None:
    line = node.start_mark.line + 1
    if any("\ud800" <= c <= "\udfff" for c in node.value):
        msg = f"line {line} has half a character; write the character itself"
        raise _Twisted(msg)
    if node.tag == "tag:yaml.org,2002:int" and len(node.value) > MOST_DIGITS:
        msg = f"line {line} has a number of {len(node.value)} digits; give a shorter one"
        raise _Twisted(msg)


def _check_keys(loader: yaml.SafeLoader, node: yaml.MappingNode) -> None:
    seen: set[Hashable] = set()
    line = node.start_mark.line + 1
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            msg = f"the block that starts on line {line} has a key that is a block itself; give a name"
            raise _Twisted(msg)
        merged = key.tag == "tag:yaml.org,2002:merge"
        # 1, 01 and '1' are one key where names are written
        name = str(key.value if merged else loader.construct_object(key))
        if name in seen:
            msg = f"key '{plain(name)}' is given twice in the block that starts on line {line}; keep one of them"
            raise _Twisted(msg)
        seen.add(name)
