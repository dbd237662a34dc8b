"""Measure the costs of kinds of jobs: tasks in, one cost per line out, both as JSON. Called by check.py."""

import json
import logging
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))

from likeness.planning.timing import measure


def main() -> None:
    for number, task in enumerate(json.load(sys.stdin)):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                cost = asdict(measure(task, Path(scratch)))
            except Exception as error:  # the actual job will report it better; here the cost stays unknown
                logging.debug("task %d: %s", number, error)
                cost = None
        print(json.dumps(cost), flush=True)


if __name__ == "__main__":
    main()
