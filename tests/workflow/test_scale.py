"""The benchmark of large studies, on a small one: that it says what it says, not how fast that is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.campaign
def test_a_study_is_counted_before_it_ran_and_has_nothing_to_do_after() -> None:
    call = [sys.executable, str(ROOT / "benchmarks" / "dry_run.py"), "--jobs", "100"]
    said = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^(\w+ done) +(\d+) jobs +[\d.]+ s +[\d.]+ core-seconds$", said, re.M)
    (before, jobs), (after, left) = found
    assert (before, after, left) == ("nothing done", "everything done", "0")
    assert int(jobs) >= 100
