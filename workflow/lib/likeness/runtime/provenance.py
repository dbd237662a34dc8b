"""Digests of code that change if the results of a job can change, but not if only wording changes.

Comments, docstrings, formatting and modules without effect on results are ignored, and so are the texts of messages:
strings that are raised, printed, logged, passed to warnings or assigned to ``msg``. In doubt, code counts.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from likeness.runtime.atomic import write_json

LIBRARY = Path(__file__).parents[1]
PACKAGE = LIBRARY.name
SPEAKING = ("runtime", "userinput", "results.py")
"""Modules without effect on results: writing of files, error messages, retries of downloads, and paths of results,
which Snakemake tracks itself."""
READERS = ("userinput/documents.py",)
"""Exceptions among these, which count because values pass through them."""
STATED = frozenset({"CARD", "OPTIONS", "SOURCE"})
"""Literals that are read from a module's source; what a job uses of them is among its params."""
MESSAGE = "msg"
"""Name of variables for message texts. In a module that uses the name for anything else, it counts."""
RULES = sys.version.encode() + Path(__file__).read_bytes()
"""What a digest depends on beside the source: this module, and how this version of Python writes down parsed code."""
TOLD = re.compile(r"print|warnings\.warn|(logging|logger|log)\.(debug|info|warning|error|exception|critical|log)")
"""Calls that show messages."""


class _Bare(ast.NodeTransformer):
    """Drop docstrings, imports for type checking, texts of messages, and literals that are read from the source.

    Args:
        names: names whose assignments are dropped: :data:`STATED` in the module, :data:`MESSAGE` in functions.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self.within = False

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        call = node.value
        if isinstance(call, ast.Constant) and isinstance(call.value, str):
            return None
        if isinstance(call, ast.Call) and TOLD.fullmatch(ast.unparse(call.func)):
            self._silence(call)
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            self._silence(node.exc)
        return self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.msg = None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        outside, self.within = self.within, isinstance(node, ast.FunctionDef)
        self.generic_visit(node)
        self.within = outside
        return node

    visit_ClassDef = visit_FunctionDef

    def visit_Assign(self, node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> ast.AST | None:
        target, *others = node.targets if isinstance(node, ast.Assign) else [node.target]
        name = target.id if isinstance(target, ast.Name) and not others else ""
        return None if name in self.names and self.within == (name == MESSAGE) else self.generic_visit(node)

    visit_AugAssign = visit_AnnAssign = visit_Assign

    def _silence(self, call: ast.Call) -> None:
        """Replace strings among the arguments of a call by empty ones."""
        if any(keyword.arg in ("file", None) for keyword in call.keywords):
            return  # output to a file can be a result
        call.args = [ast.Constant("") if self._is_text(value) else value for value in call.args]
        for keyword in call.keywords:
            keyword.value = ast.Constant("") if self._is_text(keyword.value) else keyword.value

    def _is_text(self, node: ast.expr) -> bool:
        match node:
            case ast.Constant(value=str()) | ast.JoinedStr():
                return True
            case ast.Name(id=name):
                return name == MESSAGE and name in self.names
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return self._is_text(left) or self._is_text(right)
            case ast.IfExp(body=body, orelse=other):
                return self._is_text(body) and self._is_text(other)
        return False


def _bare(source: bytes, names: frozenset[str] = STATED | {MESSAGE}) -> ast.AST:
    """Parse code without parts that have no effect on results; names with other uses are kept."""
    tree = _Bare(names).visit(ast.parse(source))
    used = names & {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return _bare(source, names - used) if used else tree


def _files(module: str) -> Iterator[Path]:
    """Return the source files of a module of the library and of its parent packages; empty for other modules."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1) if parts[0] == PACKAGE else ():
        base = LIBRARY.joinpath(*parts[1:depth])
        yield from [path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()][:1]


@cache
def _read(path: Path) -> tuple[str, frozenset[str]]:
    """Digest the reduced code of a file, and find the modules that it imports.

    Parsing all files takes a second of every call of Snakemake. So the result is kept where Python keeps compiled
    modules, if it may keep any, and is used as long as the source is the same.
    """
    source = path.read_bytes()
    state = hashlib.sha256(RULES + source).hexdigest()
    kept = path.parent / "__pycache__" / f"{path.stem}.code.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(kept.read_text())
        if found["state"] == state:
            return str(found["code"]), frozenset(found["imports"])
    code, imports = _parse(source)
    if not sys.dont_write_bytecode:
        with suppress(OSError):
            write_json(kept, {"state": state, "code": code, "imports": sorted(imports)})
    return code, imports


def _parse(source: bytes) -> tuple[str, frozenset[str]]:
    """Digest reduced code, and find the modules that it imports."""
    tree = _bare(source)
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            named.update(f"{node.module}.{alias.name}" for alias in node.names)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), frozenset(named)


@cache
def modules(path: Path, extra: tuple[str, ...] = ()) -> frozenset[Path]:
    """Find all files of the library that a script uses, directly or indirectly.

    Args:
        path: script.
        extra: modules that it imports dynamically.
    """
    found: set[Path] = set()
    waiting = [path, *(file for name in extra for file in _files(name))]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += [file for name in _read(current)[1] for file in _files(name)]
    return frozenset(found)


def _speaks(path: Path) -> bool:
    """Return whether a module has no effect on results."""
    place = path.relative_to(LIBRARY).as_posix() if path.is_relative_to(LIBRARY) else ""
    return place.partition("/")[0] in SPEAKING and place not in READERS


@cache
def code_digest(script: Path, *extra: str) -> str:
    """Return a digest of the code of a script and of all modules of the library that it imports.

    Parts without effect on results are ignored. Modules that are imported dynamically are given as ``extra``.
    """
    parts = sorted((p.name, _read(p)[0]) for p in modules(Path(script), extra) if not _speaks(p))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def digest(*parts: Any) -> str:
    """Return a digest of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def folder_digest(folder: str | Path) -> str:
    """Return a digest of the names and contents of all files below a folder, except hidden ones."""
    total = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            total.update(str(path.relative_to(folder)).encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]
