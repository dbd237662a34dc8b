"""What every profile relies on: what the rules state of their jobs."""

from __future__ import annotations

import pytest
from project import Needs, copy_project, planned, snakemake


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Needs]:
    project = copy_project(tmp_path_factory.mktemp("profiles") / "project")
    arguments = ("--dry-run", "--profile", "profiles/slurm", "--default-resources", "gpu=2", "mem_mb=1", "runtime=1")
    return planned(snakemake(project, "smoke", *arguments).stdout)


def test_every_rule_states_its_memory_and_time(rules: dict[str, Needs]) -> None:
    assert {rule for rule, needs in rules.items() if needs.mem_mb == 1 or needs.minutes == 1} == {"all"}


def test_gpus_of_a_profile_go_to_those_that_run_networks(rules: dict[str, Needs]) -> None:
    searches = {rule for rule in rules if rule.startswith(("train_", "optimise_"))}
    assert len(searches) == 6
    # no job is run for `all`
    assert {rule for rule, needs in rules.items() if needs.gpus} == {
        *("pretrain", "register", "audit", "sample_landscape", "all"),
        *searches,
    }
