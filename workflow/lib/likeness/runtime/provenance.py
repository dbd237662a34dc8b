"""What a job's code is: a digest that changes when the code that runs changes, and not when a comment does."""

from __future__ import annotations

import ast
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

LIBRARY = Path(__file__).parents[1]
PACKAGE = LIBRARY.name


class _Bare(ast.NodeTransformer):
    """Drops what does not run, docstrings, other bare strings and imports for type checking, and the card of a loss and
    the source of an extractor, whose readers name them.
    """

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if [ast.unparse(t) for t in node.targets] in (["CARD"], ["SOURCE"]) else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def _file(module: str) -> Path | None:
    """Find the source of a module of the library, or nothing if it is not of the library."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    base = LIBRARY.joinpath(*parts[1:])
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


@lru_cache
def _read(path: Path) -> tuple[str, frozenset[str]]:
    """Give the code of a file without what does not run, and the modules of the library that it names in imports."""
    tree = _Bare().visit(ast.parse(path.read_text()))
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            named.add(node.module)
            named.update(f"{node.module}.{alias.name}" for alias in node.names)
    return ast.dump(tree), frozenset(n for n in named if _file(n))


@lru_cache
def modules(path: Path, extra: tuple[str, ...] = ()) -> frozenset[Path]:
    """Find every file of the library that a script runs, directly or not.

    Args:
        path: the script.
        extra: modules that it imports by a computed name.
    """
    found: set[Path] = set()
    waiting = [path, *(file for name in extra if (file := _file(name)))]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += [file for name in _read(current)[1] if (file := _file(name))]
    return frozenset(found)


@lru_cache
def code_digest(script: Path, *extra: str) -> str:
    """Digest the code of a script and of all modules of the library that it imports.

    Comments, docstrings and formatting do not change it. Modules imported by a computed name are given as ``extra``.
    """
    parts = sorted((p.name, _read(p)[0]) for p in modules(Path(script), extra))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def digest(*parts: Any) -> str:
    """Digest plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def folder_digest(folder: str | Path) -> str:
    """Digest names and contents of all files below a folder."""
    total = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            total.update(str(path.relative_to(folder)).encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]
