"""Read cards: literals at the top of a module, parsed without importing it.

Snakemake needs cards while it parses the workflow, where importing torch would be too slow.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from likeness.userinput.errors import UserError, suggest


@lru_cache
def tree(path: Path) -> ast.Module:
    """Parse a Python module, cached by path.

    Raises:
        UserError: if the file is not valid Python.
    """
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        msg = f"{path}: line {getattr(error, 'lineno', None) or 1} is not valid Python ({error.args[0]}); fix it"
        raise UserError(msg) from None


def _assigned(path: Path, name: str) -> ast.expr | None:
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and [t.id for t in node.targets if isinstance(t, ast.Name)] == [name]:
            return node.value
    return None


def states(path: Path, name: str) -> bool:
    """Return whether a module assigns a value to a name at its top level."""
    return _assigned(path, name) is not None


def literal(path: Path, name: str) -> Any:
    """Return the literal that a module assigns to a name; ``None`` if it is not assigned or not a literal."""
    value = _assigned(path, name)
    with suppress(ValueError):
        return None if value is None else ast.literal_eval(value)
    return None


def card(path: Path, keys: Iterable[str], optional: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card of a module: the dictionary literal ``CARD``.

    Args:
        path: Python module.
        keys: required keys.
        optional: optional keys and their defaults, which are filled in; ``...`` means no default. Any other key is an
            error, so that misspelt keys do not pass unnoticed.

    Raises:
        UserError: if ``CARD`` is not a dictionary literal, a required key is missing, or a key is unknown.
    """
    found, known = literal(path, "CARD"), list(keys)
    if not isinstance(found, dict):
        msg = f"{path}: CARD is missing or not a literal; write `CARD = {{...}}` with constants only"
        raise UserError(msg)
    missing = next((key for key in known if key not in found), None)
    if missing is not None:
        msg = f"{path}: CARD has no key '{missing}'; add it as {path.parent.name}/{_explained(path.parent)} describes"
        raise UserError(msg)
    odd = next((key for key in found if key not in known and key not in optional), None)
    if odd is not None:
        msg = f"{path}: CARD has an unknown key '{odd}'; {suggest(odd, [*known, *optional])}"
        raise UserError(msg)
    return {**{key: value for key, value in optional.items() if value is not ...}, **found}


def _explained(folder: Path) -> str:
    """Return the name of the module in which a package documents its cards."""
    return "base.py" if (folder / "base.py").is_file() else "__init__.py"


def names(folder: Path) -> list[str]:
    """List the modules of a package that have a card, in alphabetical order."""
    found = (path for path in folder.glob("*.py") if not path.stem.startswith("_"))
    return sorted(path.stem for path in found if literal(path, "CARD") is not None)
