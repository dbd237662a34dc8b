"""Weights that others published: which files an extractor needs, and where they lie.

A module ``extractors/<name>.py`` states them in a literal ``SOURCE``, read without importing the module, because the
workflow needs it before any job and without torch::

    SOURCE = {
        "file": "weights.pth",
        "url": "https://…/weights.pth",
        "sha256": "…",              # None where the project does not know it: a study then states it
        "bytes": 12345,             # or None
        "licence": "MIT",
        "by_hand": "where a browser finds it",
    }

or, with several files, ``"files": [{"file": …, "url": …, "sha256": …, "bytes": …}, …]`` in place of the first four. The
files of a model on the Hugging Face hub need no ``url`` where ``"hub": "<owner>/<name>@<revision>"`` names it; a study
may then name another.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from likeness.runtime.published import File, Source, address
from likeness.userinput import cards
from likeness.userinput.errors import UserError

FOLDER = Path(__file__).parent


@lru_cache
def source(extractor: str) -> Source | None:
    """Read the source of an extractor without importing its module; ``None`` where nobody published its weights.

    Raises:
        UserError: if the module is no Python, or its ``SOURCE`` no literal with what belongs there.
    """
    path = FOLDER / f"{extractor}.py"
    if not path.is_file():
        return None
    if not cards.states(path, "SOURCE"):
        return None
    try:
        return _source(extractor, cards.literal(path, "SOURCE"))
    except (KeyError, TypeError, AttributeError):
        msg = f"{path}: SOURCE is no literal with file, url, sha256, bytes, licence and by_hand; "
        raise UserError(msg + "write it as likeness/extractors/sources.py says") from None


def _source(extractor: str, said: Mapping[str, Any]) -> Source:
    if "files" not in said:
        return Source(extractor, (_file(said, ""),), "", said["licence"], said["by_hand"])
    hub = said.get("hub", "")
    files = tuple(_file(entry, hub) for entry in said["files"])
    return Source(extractor, files, extractor, said["licence"], said["by_hand"], hub)


def _file(said: Mapping[str, Any], hub: str) -> File:
    url = address(hub, said["file"]) if hub else said["url"]
    return File(said["file"], url, said["sha256"], said["bytes"])


def wanted_by(study: Mapping[str, Any], extractor: str) -> Source:
    """Give the files of an extractor as a study wants them.

    Args:
        study: what it says under ``checkpoints``, with the defaults filled in.
        extractor: one whose weights are published.
    """
    found = source(extractor)
    assert found is not None, f"{extractor} has no published weights"
    return found.of(study["sources"].get(extractor, found.hub)).pinned(study["hashes"])
