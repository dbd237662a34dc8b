"""Each environment file has what runs in it, and the versions of requirements.lock."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import metadata

import pytest
from environments import (
    DRIVER,
    ENVS,
    GENERATOR,
    imported,
    listed,
    loaded,
    parsed,
    pinned,
    rule_envs,
    rules,
    text,
    third_party,
)
from packaging.specifiers import SpecifierSet
from project import ROOT

from likeness.runtime.provenance import LIBRARY

CALLED = {"snakemake", "snakemake-executor-plugin-slurm"}  # what the driver has because users call it
ALL = [*rule_envs(), DRIVER]


@pytest.mark.parametrize("env", ALL)
def test_a_file_is_what_the_lock_makes_of_its_list(env: str) -> None:
    assert GENERATOR.written(text(env)) == text(env), "run `make envs`"


def test_versions_and_what_is_needed_are_written_anew() -> None:
    before = text("plot")
    by_hand, mark, _ = before.partition(GENERATOR.MARK)
    old = re.sub(r"==.*", "", by_hand, count=1).replace("numpy", "NumPy").replace("scipy==1", "scipy==0")
    assert GENERATOR.written(old) == GENERATOR.written(old + mark + "      - no-such-thing==1\n") == before


def test_a_package_that_the_lock_lacks_is_refused() -> None:
    with pytest.raises(KeyError, match="no-such-thing"):
        GENERATOR.written(text("plot").replace("numpy", "no-such-thing"))


@pytest.mark.parametrize("env", ALL)
def test_python_is_the_oldest_that_the_project_allows_and_suits_every_version(env: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = GENERATOR.PYTHON.findall(text(env))
    assert [f">={version}" for version in python] == [project["requires-python"]]
    suits = {name: SpecifierSet(metadata(name)["Requires-Python"] or "") for name in pinned(env)}
    assert not [name for name, versions in suits.items() if f"{python[0]}.99" not in versions]


@pytest.mark.parametrize(("rule", "script", "env"), rules(), ids=[rule for rule, _, _ in rules()])
def test_an_environment_has_what_its_rule_imports(rule: str, script: str, env: str) -> None:
    missing = {package: file for package, file in imported(script).items() if package not in listed(env)}
    assert not missing, f"rule {rule}: envs/{env}.yaml lacks {missing}"


@pytest.mark.parametrize("env", rule_envs())
def test_an_environment_has_nothing_that_no_rule_needs(env: str) -> None:
    assert listed(env) <= {package for _, script, own in rules() if own == env for package in imported(script)}


def test_the_driver_has_what_planning_a_study_imports_and_nothing_else() -> None:
    imports = [line for path in parsed() for line in re.findall(r"^(?:from|import) .+", path.read_text(), re.MULTILINE)]
    assert any("likeness.config.study" in line for line in imports)
    # before the first job, Snakemake looks at the user's images, with what reads them
    readers = third_party(LIBRARY / "imageio" / "images.py") | third_party(LIBRARY / "imageio" / "formats.py")
    assert loaded("\n".join(imports)) | readers | CALLED == listed(DRIVER)


def test_every_environment_file_is_used() -> None:
    assert {path.stem for path in ENVS.glob("*.yaml")} == set(ALL)
