"""``--sdm conda`` gives each rule its own environment, and the study comes out the same in it.

No channel is reached: ``stand_in/bin/conda`` makes environments of the files' pip sections. Snakemake runs in the
driver's environment, because it appends its own packages to the path of every job, where they would stand in for
missing ones.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path

import pytest
from environments import DRIVER, GENERATOR, OWNERS, distributions, imported, pinned, rule_envs, rules, text
from given_fields import add_given_methods
from project import ROOT, Smoke, copy_project, files, same_everywhere

STAND_IN = ROOT / "tests" / "support" / "stand_in" / "bin"
WITHOUT_USE = {"fetch", "convert"}
"""Scripts that bring published weights, of which the smoke study has none."""


def call(*command: str | Path, programs: Path = Path(sys.prefix, "bin"), cwd: Path = ROOT) -> tuple[int, str]:
    """Run a command that finds the stand-in, a folder of programs and those of the system; give status and output."""
    foreign = ("PYTHON", "VIRTUAL_ENV", "CONDA")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment["PATH"] = f"{STAND_IN}:{programs}:{os.environ['PATH']}"
    # pip would compile all modules, of which jobs import few
    environment |= {"PIP_COMPILE": "0", "OMP_NUM_THREADS": "1"}
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, cwd=cwd, env=environment, text=True, check=False, **pipe)
    return done.returncode, done.stdout


def create(file: Path, prefix: Path) -> tuple[int, str]:
    return call("conda", "env", "create", "--quiet", "--no-default-packages", "--file", file, "--prefix", prefix)


@dataclass(frozen=True)
class Environment:
    """An environment that the stand-in made."""

    prefix: Path

    def python(self, *arguments: str) -> str:
        status, said = call(self.prefix / "bin" / "python", *arguments)
        assert status == 0, said
        return said

    @cached_property
    def installed(self) -> dict[str, str]:
        """Packages with their versions, as far as the lock names them."""
        said = json.loads(self.python("-m", "pip", "list", "--format", "json"))
        found = {GENERATOR.canonicalize_name(entry["name"]): entry["version"] for entry in said}
        # which build of torch is no matter of the lock
        return {name: version.partition("+")[0] for name, version in found.items() if name in GENERATOR.lock()}

    @cached_property
    def jobs(self) -> list[dict]:
        """What the jobs that ran in it noted."""
        notes = [json.loads(line) for line in (self.prefix / "ran.jsonl").read_text().splitlines()]
        return [note for note in notes if "/.snakemake/scripts/" in note["ran"]]

    def foreign(self, job: dict) -> set[str]:
        """Name the distributions that a job took from elsewhere."""
        own = self.prefix / "lib" / f"python{job['python']}"
        names = {name for folder, found in job["origins"].items() if Path(folder) != own for name in found}
        return distributions(names & OWNERS.keys())


def script(job: dict) -> str:
    """Name the script of a job: Snakemake runs a copy that is called by it, after a random word."""
    return Path(job["ran"]).stem.rpartition(".")[2]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    prefix = tmp_path_factory.mktemp("driver") / "env"
    status, said = create(ROOT / "envs" / f"{DRIVER}.yaml", prefix)
    assert status == 0, said
    return Environment(prefix)


@pytest.fixture(scope="module")
def study(driver: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after the smoke study, every rule in its own environment."""
    project = copy_project(tmp_path_factory.mktemp("conda") / "project")
    add_given_methods(project, "smoke")
    command = ("snakemake", "--sdm", "conda", "--cores", "2", "--configfile", "config/smoke.yaml")
    status, said = call(*command, programs=driver.prefix / "bin", cwd=project)
    assert status == 0, said[-6000:]
    return project


@pytest.fixture(scope="module")
def made(study: Path) -> dict[str, Environment]:
    """The environments that Snakemake had made, by the name of the file that each was made from."""
    named = {text(env): env for env in rule_envs()}
    copies = (study / ".snakemake" / "conda").glob("*.yaml")
    return {named[copy.read_text()]: Environment(copy.with_suffix("")) for copy in copies}


@pytest.mark.conda
@pytest.mark.slow
class TestStudy:
    def test_every_rule_ran_in_its_own_environment(self, made: dict[str, Environment]) -> None:
        used = [(script, own) for _, script, own in rules() if script not in WITHOUT_USE]
        expected = {env: {script for script, own in used if own == env} for env in rule_envs()}
        assert {env: set(map(script, made[env].jobs)) for env in made} == expected

    def test_every_job_ran_there(self, study: Path, made: dict[str, Environment]) -> None:
        records = [json.loads(content) for content in files(study / ".snakemake" / "metadata").values()]
        # one record for each output of a job
        jobs = {(record["conda_env"], *record["log"]) for record in records}
        texts = Counter(base64.b64decode(job[0]).decode() for job in jobs)
        assert texts == {text(env): len(made[env].jobs) for env in made}

    def test_jobs_ran_with_the_python_of_the_file(self, made: dict[str, Environment]) -> None:
        for env in made:
            assert {job["python"] for job in made[env].jobs} == set(GENERATOR.PYTHON.findall(text(env)))

    def test_what_a_script_imports_does_not_come_from_the_driver(self, made: dict[str, Environment]) -> None:
        for environment in made.values():
            for job in environment.jobs:
                assert "snakemake" in environment.foreign(job), "else the origins say nothing"
                assert not environment.foreign(job) & imported(script(job)).keys(), job["ran"]

    def test_each_has_what_its_file_says(self, driver: Environment, made: dict[str, Environment]) -> None:
        for env, environment in {**made, DRIVER: driver}.items():
            assert environment.installed == pinned(env)
            assert "No broken requirements" in environment.python("-m", "pip", "check")

    def test_each_lacks_what_another_has(self, driver: Environment, made: dict[str, Environment]) -> None:
        for one, other in permutations([driver, *made.values()], 2):
            # that of what is built on ITK has all that trainings need, but an older NumPy
            assert one.installed.items() - other.installed.items()

    def test_results_are_those_of_a_run_in_one_environment(self, study: Path, smoke_study: Smoke) -> None:
        results = files(study / "results" / "smoke")
        assert results.keys() == smoke_study.files.keys()
        assert not [name for name in results if same_everywhere(name) and results[name] != smoke_study.files[name]]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("python=3.11", "python", "must be python=3"),
        ("  - python=3.11\n", "", "must be python=3"),
        ("  - pip\n", "", "must be python=3"),
        ("nodefaults", "bioconda", "channels must be"),
        ("channels:", "name: plot\nchannels:", "only other key"),
        ("numpy==", "numpy>=", "no version for ['numpy>="),
    ],
)
def test_the_stand_in_refuses_a_file_of_another_form(old: str, new: str, reason: str, tmp_path: Path) -> None:
    assert old in text("plot")
    (tmp_path / "plot.yaml").write_text(text("plot").replace(old, new, 1))
    status, said = create(tmp_path / "plot.yaml", tmp_path / "env")
    assert status == 1
    assert reason in said
    assert not (tmp_path / "env").exists()


def test_the_stand_in_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    assert call("conda", "install", "numpy") == (1, "the stand-in for conda does not know: conda install numpy\n")
    assert call("bash", "-c", f"source {STAND_IN}/activate '{tmp_path}'")[0] == 1
