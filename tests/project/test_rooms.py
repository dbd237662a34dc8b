"""The order of the rooms, and what loads torch."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "workflow" / "lib"
ROOT = LIBRARY / "likeness"
ROOMS = [
    "results",
    "userinput",
    "runtime",
    "geometry",
    "interpolation",
    "transformations",
    "imageio",
    "fields",
    "metrics",
    "networks",
    "data",
    "datasets",
    "training",
    "extractors",
    "losses",
    "evaluation",
    "methods",
    "statistics",
    "config",
    "figures",
    "report",
    "planning",
]
"""Lowest first: a room imports only from rooms before it."""
LOOSE = {"__init__", "geometry", "interpolation", "transformations", "fields", "results"}
"""The modules that stand beside the rooms, at the waist."""
LIGHT = {"userinput", "runtime", "imageio", "data", "datasets", "statistics", "config", "figures"}
TENSORS = {"likeness.data.loading"}  # makes batches of tensors, for jobs that train
MODULES = sorted(ROOT.rglob("*.py"))


def imports(path):
    """Name every module of the library, and every other package, that a module imports anywhere in its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: import from the full name, not relatively"
            if node.module == "likeness":
                yield from (f"likeness.{alias.name}" for alias in node.names)
            else:
                yield node.module


def room(module):
    return module.split(".")[1]


def name(path):
    return ".".join(path.relative_to(LIBRARY).with_suffix("").parts)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_room_imports_only_from_rooms_before_it(path):
    here = room(name(path))
    if path == ROOT / "__init__.py":
        assert not [module for module in imports(path) if module.startswith("likeness")]
        return
    assert here in ROOMS, f"{name(path)}: give the room '{here}' its place in the order"
    others = {room(module) for module in imports(path) if module.startswith("likeness.")} - {here}
    assert not {other for other in others if ROOMS.index(other) > ROOMS.index(here)}


def test_nothing_lies_loose_beside_the_rooms():
    assert {path.stem for path in ROOT.glob("*.py")} <= LOOSE
    assert {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"} <= set(ROOMS)


def runs(tree):
    """Give the nodes of a module that run, without what only type checkers import."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from runs(node)


def test_no_modules_import_each_other_in_a_circle():
    known = {name(path).removesuffix(".__init__"): path for path in MODULES}
    graph = {}
    for module, path in known.items():
        found = set()
        for node in runs(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(known)
                found |= inner or {node.module} & set(known)
        graph[module] = found - {module}
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_the_library_knows_nothing_of_snakemake(path):
    assert "snakemake" not in {module.split(".")[0] for module in imports(path)}


def test_jobs_that_plot_do_not_load_torch():
    light = [name(m) for m in MODULES if room(name(m)) in LIGHT or name(m) == "likeness.losses.__init__"]
    names = [module.removesuffix(".__init__") for module in light if module not in TENSORS]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, f'{name} loads torch'\n"
        "    assert 'monai' not in sys.modules, f'{name} loads monai'\n"
    )
    command = [sys.executable, "-c", code, *names]
    result = subprocess.run(command, env={"PYTHONPATH": str(LIBRARY)}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
