"""Reading cards: literals at the top of a module, read without importing it.

The workflow needs them before any job and without torch.
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
    """Parse a module.

    Raises:
        UserError: if it is no Python.
    """
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        msg = f"{path}: line {getattr(error, 'lineno', None) or 1} is no Python ({error.args[0]}); fix it"
        raise UserError(msg) from None


def _assigned(path: Path, name: str) -> ast.expr | None:
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and [t.id for t in node.targets if isinstance(t, ast.Name)] == [name]:
            return node.value
    return None


def states(path: Path, name: str) -> bool:
    """Tell whether a module assigns anything to a name."""
    return _assigned(path, name) is not None


def literal(path: Path, name: str) -> Any:
    """Give the literal that a module assigns to a name; ``None`` where there is none or it is no literal."""
    value = _assigned(path, name)
    with suppress(ValueError):
        return None if value is None else ast.literal_eval(value)
    return None


def card(path: Path, keys: Iterable[str], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Give the card of a module, the literal dictionary ``CARD``.

    Args:
        path: the module.
        keys: what every card of its kind has.
        optional: what it may have beside these, each with its default, which a card without it is given; ``...`` where
            there is none. Any other key is refused then, as a slip of the pen would go unnoticed otherwise.

    Raises:
        UserError: if there is no literal, a key is missing, or there is one that no card of its kind has.
    """
    found, known = literal(path, "CARD"), list(keys)
    if not isinstance(found, dict):
        msg = f"{path}: no literal CARD; write `CARD = {{...}}` with constants only"
        raise UserError(msg)
    missing = next((key for key in known if key not in found), None)
    if missing is not None:
        msg = f"{path}: the CARD has no '{missing}'; add it as {path.parent.name}/{_explained(path.parent)} says"
        raise UserError(msg)
    if optional is None:
        return found
    odd = next((key for key in found if key not in known and key not in optional), None)
    if odd is not None:
        msg = f"{path}: the CARD has '{odd}', which no such card has; {suggest(odd, [*known, *optional])}"
        raise UserError(msg)
    return {**{key: value for key, value in optional.items() if value is not ...}, **found}


def _explained(folder: Path) -> str:
    """Name the module of a room that explains its cards."""
    return "base.py" if (folder / "base.py").is_file() else "__init__.py"


def names(folder: Path) -> list[str]:
    """Name every module of a room that has a card, in alphabetical order."""
    found = (path for path in folder.glob("*.py") if not path.stem.startswith("_"))
    return sorted(path.stem for path in found if literal(path, "CARD") is not None)
