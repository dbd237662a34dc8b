"""Published weights: files that an extractor needs, and their addresses.

A module ``extractors/<name>.py`` states them in a literal ``SOURCE``, which is read without importing the module,
because Snakemake needs it while parsing the workflow, without torch::

    SOURCE = {
        "file": "weights.pth",
        "url": "https://…/weights.pth",
        "sha256": "…",              # None if unknown to the project; a study then states it
        "bytes": 12345,             # or None
        "licence": "MIT",
        "by_hand": "how to download it with a browser",
    }

or, for several files, ``"files": [{"file": …, "url": …, "sha256": …, "bytes": …}, …]`` instead of the first four keys.
A file of a Python package that the environment contains has ``"package": "<name>"``; ``file`` is then its path in the
package, ``url`` the package's home page, and nothing is downloaded.
Files of a Hugging Face model need no ``url`` if ``"hub": "<owner>/<name>@<revision>"`` names it; a study can then
choose another model.
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
    """Read the source of an extractor without importing its module; ``None`` if it has no published weights.

    Raises:
        UserError: if the module is not valid Python, or its ``SOURCE`` is not a literal with the required keys.
    """
    path = FOLDER / f"{extractor}.py"
    if not path.is_file():
        return None
    if not cards.states(path, "SOURCE"):
        return None
    try:
        return _source(extractor, cards.literal(path, "SOURCE"))
    except (KeyError, TypeError, AttributeError):
        msg = f"{path}: SOURCE is not a literal with file, url, sha256, bytes, licence and by_hand; "
        raise UserError(msg + "write it as described in likeness/extractors/sources.py") from None


def _source(extractor: str, said: Mapping[str, Any]) -> Source:
    if "files" not in said:
        return Source(extractor, (_file(said, ""),), "", said["licence"], said["by_hand"])
    hub = said.get("hub", "")
    files = tuple(_file(entry, hub) for entry in said["files"])
    return Source(extractor, files, extractor, said["licence"], said["by_hand"], hub)


def _file(said: Mapping[str, Any], hub: str) -> File:
    url = address(hub, said["file"]) if hub else said["url"]
    return File(said["file"], url, said["sha256"], said["bytes"], said.get("package", ""))


def wanted_by(study: Mapping[str, Any], extractor: str) -> Source:
    """Return the files of an extractor, with the model and the hashes chosen by a study.

    Args:
        study: block ``checkpoints`` of the study, with defaults filled in.
        extractor: extractor with published weights.
    """
    found = source(extractor)
    assert found is not None, f"{extractor} has no published weights"
    return found.of(study["sources"].get(extractor, found.hub)).pinned(study["hashes"])
