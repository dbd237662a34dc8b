"""Each rule's conda environment has what its script imports, in the versions of requirements.lock."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from project import ROOT

from likeness.provenance import LIBRARY, modules

SCRIPTS = ROOT / "workflow" / "scripts"
BY_NAME = {  # scripts import these by a computed name
    "simulate": ["likeness.data"],
    "pretrain": ["likeness.extractors"],
    "train": ["likeness.networks", "likeness.losses", "likeness.extractors"],
    "register": ["likeness.networks"],
}
PARQUET = re.compile(r"\.(to|read)_parquet\(")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def lock() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return {canonical(name): version for name, _, version in (line.partition("==") for line in lines) if version}


@cache
def distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


@cache
def packages(env: str) -> dict[str, str]:
    entries = yaml.safe_load((ROOT / "envs" / f"{env}.yaml").read_text())["dependencies"]
    pinned = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    return {canonical(name): version for name, _, version in (entry.partition("==") for entry in pinned)}


def jobs() -> list[tuple[str, str, str]]:
    """Give rule, script and environment of every rule that runs a script; figures come from a function."""
    found = []
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for rule, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", path.read_text(), re.MULTILINE | re.DOTALL):
            script, env = re.search(r'script_path\("(\w+)"\)', body), re.search(r'env_path\("(\w+)"\)', body)
            assert script, f"{path.name}: rule {rule} has no script"
            assert env, f"{path.name}: rule {rule} names no environment"
            found.append((rule, script[1], env[1]))
    return found


@cache
def sources(script: str) -> set[Path]:
    """Find every file that a script may run: its imports, and all modules of a folder from which it picks by name."""
    found = set(modules(SCRIPTS / f"{script}.py"))
    for package in BY_NAME.get(script, []):
        for path in LIBRARY.joinpath(*package.split(".")[1:]).glob("*.py"):
            found |= modules(path)
    return found


@cache
def third_party(path: Path) -> set[str]:
    """Name the distributions that a file imports at any level, or needs for the formats it reads and writes."""
    text = path.read_text()
    tree = ast.parse(text)
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    never_run = {inner for node in typing for inner in ast.walk(node)}
    named = set()
    for node in set(ast.walk(tree)) - never_run:
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named.add(node.module)
    tops = {name.partition(".")[0] for name in named} - set(sys.stdlib_module_names) - {"likeness"}
    needed = {canonical(distributions()[top][0]) for top in tops}
    return needed | ({"pyarrow"} if PARQUET.search(text) else set())


@pytest.mark.parametrize("env", sorted({env for _, _, env in jobs()}))
def test_versions_are_those_of_the_lock(env: str) -> None:
    assert packages(env) == {name: lock()[name] for name in packages(env)}


@pytest.mark.parametrize(("rule", "script", "env"), jobs(), ids=[rule for rule, _, _ in jobs()])
def test_an_environment_has_what_its_rule_imports(rule: str, script: str, env: str) -> None:
    needed = {package: path.name for path in sources(script) for package in third_party(path)}
    missing = {package: file for package, file in needed.items() if package not in packages(env)}
    assert not missing, f"rule {rule}: envs/{env}.yaml lacks {missing}"


def test_an_environment_has_nothing_that_no_rule_needs() -> None:
    for env in {env for _, _, env in jobs()}:
        needed = {p for _, script, own in jobs() if own == env for path in sources(script) for p in third_party(path)}
        assert set(packages(env)) <= needed, env


def test_every_environment_file_is_named_by_a_rule() -> None:
    assert {path.stem for path in (ROOT / "envs").glob("*.yaml")} == {env for _, _, env in jobs()}
