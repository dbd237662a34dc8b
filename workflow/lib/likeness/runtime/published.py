"""Files that others published: fetched once or put there by hand, and held against their hash either way.

That they are the published ones is all that a result depends on; how they came is none of its business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from likeness.runtime import download
from likeness.runtime.download import megabytes
from likeness.userinput.errors import UserError

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class File:
    """A published file; ``sha256`` and ``size``, in bytes, are ``None`` where the project does not know them."""

    name: str
    url: str
    sha256: str | None
    size: int | None


@dataclass(frozen=True)
class Source:
    """What an extractor's published weights are.

    Attributes:
        extractor: its name.
        files: all of them.
        folder: the folder of the files, below that of all weights; empty for a single file.
        licence: of the weights.
        by_hand: where a person finds them.
        hub: the model on the Hugging Face hub that the files belong to, ``<owner>/<name>@<revision>``, or nothing.
        stated: whether the study says so, rather than the project.
    """

    extractor: str
    files: tuple[File, ...]
    folder: str
    licence: str
    by_hand: str
    hub: str = ""
    stated: bool = False

    def place(self, folder: Path) -> Path:
        """Give what the extractor's ``read`` is called with: the file, or the folder of several."""
        return folder / self.folder if self.folder else folder / self.files[0].name

    def path(self, file: File, folder: Path) -> Path:
        """Give the place of a file below the folder of all weights."""
        return folder / self.folder / file.name

    def pinned(self, hashes: Mapping[str, str | Mapping[str, str]]) -> Source:
        """Give the files with the hashes that a study states: of those that the project does not know, or of others.

        Args:
            hashes: by extractor; of several files by their names.
        """
        given = hashes.get(self.extractor, {})
        stated = {self.files[0].name: given} if isinstance(given, str) else given
        return replace(self, files=tuple(_pinned(file, stated.get(file.name, "").lower()) for file in self.files))

    def of(self, hub: str) -> Source:
        """Give the files of another model on the hub, of which the project knows no hash.

        They have a folder of their own, so that those of one model never stand for those of another.
        """
        if hub == self.hub:
            return self
        files = tuple(File(file.name, address(hub, file.name), None, None) for file in self.files)
        name, _, revision = hub.partition("@")
        by_hand = f"download these files of the model {name} on the Hugging Face hub, at its revision {revision}"
        return Source(self.extractor, files, f"hub/{name}/{revision}", f"that of {name}", by_hand, hub, stated=True)

    def plain(self) -> dict[str, Any]:
        """Say what the files are, as plain types, for the record of what was made from them."""
        return {"files": {file.name: file.url for file in self.files}, "licence": self.licence}

    @property
    def hashes(self) -> dict[str, str | None]:
        """The SHA-256 of every file, which decides what is made from them, wherever they come from."""
        return {file.name: file.sha256 for file in self.files}

    @property
    def identity(self) -> dict[str, str | None]:
        """What has to be fetched anew once it changes: the hashes, and the model that a study names."""
        return {**self.hashes, **({"hub": self.hub} if self.stated else {})}


def address(hub: str, file: str) -> str:
    """Give the address of a file of a model on the hub, ``<owner>/<name>@<revision>``."""
    name, _, revision = hub.partition("@")
    return f"{HUB}/{name}/resolve/{revision}/{file}"


def _pinned(file: File, digest: str) -> File:
    if digest in ("", file.sha256):
        return file
    # of another file than the project knows, its size is another too
    return replace(file, sha256=digest, size=None if file.sha256 else file.size)


def missing(wanted: Source, folder: Path) -> str | None:
    """Say of the files that are not there where they would be fetched from, their size, and where to put them by hand.

    Returns:
        A sentence, or ``None`` where all are there and can be verified.
    """
    files = [file for file in wanted.files if not wanted.path(file, folder).exists()]
    unknown = {file.name: "…" for file in wanted.files if not file.sha256}
    if not files:
        names = ", ".join(unknown)
        return f"{names}: the sha256 is not known to the project, {_how_to_state(wanted, unknown)}" if unknown else None
    names = ", ".join(file.name for file in files)
    sizes = [file.size or 0 for file in files]
    size = f"{megabytes(sum(sizes))}{'' if all(sizes) else ' and more'}" if any(sizes) else "size unknown"
    first = f"{files[0].url}{f' and {len(files) - 1} more' if len(files) > 1 else ''}"
    return (
        f"{names}: will be fetched from {first} ({size}; licence: {wanted.licence}) into {folder / wanted.folder}; "
        f"without a network put what is missing there by hand: {wanted.by_hand}"
        f"{f'; the sha256 is not known to the project, {_how_to_state(wanted, unknown)}' if unknown else ''}"
    )


def _to_be_stated(wanted: Source, file: File) -> str:
    return "" if file.sha256 else f"; its sha256 is not known, {_how_to_state(wanted, {file.name: '…'})}"


def _how_to_state(wanted: Source, digests: Mapping[str, str]) -> str:
    entries = ", ".join(f"{name}: {digest}" for name, digest in digests.items())
    value = f"{{{entries}}}" if wanted.folder else next(iter(digests.values()))
    return f"state it in the configuration: `checkpoints: {{hashes: {{{wanted.extractor}: {value}}}}}`"


def obtain(wanted: Source, folder: Path) -> Path:
    """Fetch every file that is not there, and hold those that are against their hash.

    Returns:
        What the extractor's ``read`` is called with.

    Raises:
        UserError: if a file cannot be fetched, is not the published one, or nobody says what is; what a user put there
            stays.
    """
    unknown = {}
    for file in wanted.files:
        path = wanted.path(file, folder)
        digest = _digest(path) if path.exists() else _fetch(wanted, file, path)
        if file.sha256 is None:
            unknown[file.name] = digest
        elif digest != file.sha256:
            msg = f"{path}: is not the published file: its sha256 is {digest}, not {file.sha256}; move it away, so "
            raise UserError(msg + f"that it is fetched from {file.url}, or put the right one there: {wanted.by_hand}")
    if unknown:
        msg = f"{wanted.place(folder)}: the project does not know which sha256 was published of {', '.join(unknown)}; "
        msg += f"compare what is there with what its publisher says ({wanted.by_hand}) and "
        raise UserError(msg + _how_to_state(wanted, unknown))
    return wanted.place(folder)


def _digest(path: Path) -> str:
    try:
        return download.sha256(path)
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); fix that, or put the file there again"
        raise UserError(msg) from error


def _fetch(wanted: Source, file: File, path: Path) -> str:
    """Fetch a file; one whose hash nobody knows is kept, but not under its name."""
    known = f"{megabytes(file.size)}, " if file.size else ""
    print(f"{file.name}: fetching it from {file.url} ({known}licence: {wanted.licence})")
    try:
        return download.fetch(file.url, path, file.sha256, file.size)
    except download.WrongContentError as error:
        msg = f"{file.name}: what {file.url} gives is not the published file: {error}; {_by_hand(wanted, file, path)}"
        raise UserError(msg) from error
    except download.NotFetchedError as error:
        msg = f"{file.name}: cannot be fetched from {file.url} ({error}); {_by_hand(wanted, file, path)}"
        raise UserError(msg) from error
    except OSError as error:
        msg = f"{error.filename or path}: cannot be written ({error.strerror}); fix that, or name another folder "
        raise UserError(msg + "with `checkpoints.folder`") from error


def _by_hand(wanted: Source, file: File, path: Path) -> str:
    digest = f"sha256 {file.sha256}; " if file.sha256 else ""
    return (
        f"fetch it on another machine ({wanted.by_hand}) and put it at {path}; {digest}licence: {wanted.licence}"
        f"{_to_be_stated(wanted, file)}"
    )
