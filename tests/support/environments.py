"""What the environment files say, which rule names which, and what its script imports."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace

from project import ROOT

from likeness.runtime.provenance import LIBRARY, modules

ENVS = ROOT / "envs"
DRIVER = "driver"
SCRIPTS = ROOT / "workflow" / "scripts"
BY_NAME = {  # scripts import these by a computed name
    "simulate": ["likeness.datasets"],
    "convert": ["likeness.extractors"],
    "pretrain": ["likeness.extractors"],
    "train": ["likeness.networks", "likeness.losses", "likeness.extractors"],
    "register": ["likeness.networks"],
    "classical": ["likeness.methods.syn", "likeness.extractors"],
    "score": ["likeness.metrics"],
    "plot": ["likeness.figures"],
}
READ_PUBLISHED = ("fetch", "convert")
"""Scripts that look for published weights, some of which are in packages."""
PACKAGE = re.compile(r'^    "package": "([\w.-]+)",$', re.MULTILINE)
PARQUET = re.compile(r"\.(to|read)_parquet\(")
OWNERS = packages_distributions()
GENERATOR = SimpleNamespace(**runpy.run_path(str(ROOT / "workflow" / "tools" / "environments.py")))


def text(env: str) -> str:
    return (ENVS / f"{env}.yaml").read_text()


def listed(env: str) -> set[str]:
    """Name the packages that a file lists by hand."""
    return set(GENERATOR.listed(text(env)))


def pinned(env: str) -> dict[str, str]:
    """Give the version of every package of a file, listed by hand or generated."""
    entries = re.findall(r"^ +- ([\w.-]+)==(\S+)(?:  # .+)?$", text(env), re.MULTILINE)
    return {GENERATOR.canonicalize_name(name): version for name, version in entries}


@cache
def rules() -> list[tuple[str, str, str]]:
    """Give rule, script and environment of every rule that runs a script."""
    found = []
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for rule, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", path.read_text(), re.MULTILINE | re.DOTALL):
            script, env = re.search(r'script_path\("(\w+)"\)', body), re.search(r'env_path\("(\w+)"\)', body)
            assert script, f"{path.name}: rule {rule} has no script"
            assert env, f"{path.name}: rule {rule} names no environment"
            found.append((rule, script[1], env[1]))
    return found


def rule_envs() -> list[str]:
    return sorted({env for _, _, env in rules()})


def parsed() -> list[Path]:
    """Find the files that Snakemake reads to plan a study."""
    return [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").rglob("*.smk"))]


@cache
def sources(script: str) -> set[Path]:
    """Find every file that a script may run: its imports, and the modules or folders that it picks from by name."""
    found = set(modules(SCRIPTS / f"{script}.py"))
    for package in BY_NAME.get(script, []):
        place = LIBRARY.joinpath(*package.split(".")[1:])
        for path in (*place.glob("*.py"), *place.parent.glob(f"{place.name}.py")):
            found |= modules(path)
    return found


def names(code: str, *, at_once: bool = False) -> set[str]:
    """Name what code imports, modules and what it takes from them; ``at_once`` leaves out what functions import."""
    tree = ast.parse(code)
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and at_once]
    never_run = {inner for node in (*typing, *functions) for inner in ast.walk(node)}
    found = set()
    for node in set(ast.walk(tree)) - never_run:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def distributions(imports: set[str]) -> set[str]:
    """Name the distributions that imports come from."""
    tops = {name.partition(".")[0] for name in imports} - set(sys.stdlib_module_names) - {LIBRARY.name}
    return {GENERATOR.canonicalize_name(OWNERS[top][0]) for top in tops}


@cache
def third_party(path: Path) -> set[str]:
    """Name the distributions that a file imports at any level, or needs for the formats it reads and writes."""
    code = path.read_text()
    return distributions(names(code)) | ({"pyarrow"} if PARQUET.search(code) else set())


@cache
def imported(script: str) -> dict[str, str]:
    """Name the distributions that a script imports, through the library, or reads, each with a file that does."""
    found = {package: path.name for path in sources(script) for package in third_party(path)}
    extractors = LIBRARY.joinpath("extractors").glob("*.py") if script in READ_PUBLISHED else ()
    return found | {package: path.name for path in extractors for package in PACKAGE.findall(path.read_text())}


def library_file(name: str) -> Path | None:
    """Find the file of a module of the library."""
    package, *parts = name.split(".")
    base = LIBRARY.joinpath(*parts)
    candidates = (base / "__init__.py", base.with_suffix(".py")) if package == LIBRARY.name else ()
    return next((path for path in candidates if path.is_file()), None)


def loaded(code: str) -> set[str]:
    """Name the distributions that are imported, through the library, as soon as code starts."""
    found: set[str] = set()
    waiting = names(code, at_once=True)
    while waiting:
        found |= waiting
        files = [file for name in waiting if (file := library_file(name))]
        waiting = {name for file in files for name in names(file.read_text(), at_once=True)} - found
    return distributions(found)
