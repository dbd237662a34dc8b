"""Notes, when a process of an environment ends, what it ran and from which folders its modules came."""

import atexit
import json
import sys
from pathlib import Path


def origins() -> dict[str, list[str]]:
    """Give the packages that were imported, by the folder of packages that they came from."""
    found: dict[str, set[str]] = {}
    for name, module in list(sys.modules.items()):
        folder, installed, _ = (getattr(module, "__file__", None) or "").partition("/site-packages/")
        if installed:
            found.setdefault(folder, set()).add(name.partition(".")[0])
    return {folder: sorted(names) for folder, names in found.items()}


def note() -> None:
    """Add a line to the environment's notes."""
    entry = {"ran": sys.argv[0], "python": "{}.{}".format(*sys.version_info), "origins": origins()}
    with (Path(sys.prefix) / "ran.jsonl").open("a") as notes:
        notes.write(json.dumps(entry) + "\n")


atexit.register(note)
