"""Published files: downloaded, copied by the user or part of an installed package, and verified by hash in all cases.

Results depend on the content of the files only, not on how they were obtained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from likeness.runtime import download
from likeness.runtime.download import megabytes
from likeness.userinput.errors import UserError

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class File:
    """A published file; ``sha256`` and ``size`` (bytes) are ``None`` if unknown to the project.

    ``package`` is the installed Python package that contains the file, under the name ``name``; empty if there is none.
    """

    name: str
    url: str
    sha256: str | None
    size: int | None
    package: str = ""


@dataclass(frozen=True)
class Source:
    """The published weights of an extractor.

    Attributes:
        extractor: name of the extractor.
        files: all files.
        folder: subfolder of the files; empty for a single file.
        licence: licence of the weights.
        by_hand: how a user can download them.
        hub: Hugging Face model of the files, ``<owner>/<name>@<revision>``; empty if there is none.
        stated: whether the model was chosen by the study rather than the project.
    """

    extractor: str
    files: tuple[File, ...]
    folder: str
    licence: str
    by_hand: str
    hub: str = ""
    stated: bool = False

    def place(self, folder: Path) -> Path:
        """Return the argument of the extractor's ``read``: the file, or the folder of several files."""
        return folder / self.folder if self.folder else self.path(self.files[0], folder)

    def path(self, file: File, folder: Path) -> Path:
        """Return the path of a file below the folder of all weights, or in its package."""
        return _packaged(file) if file.package else folder / self.folder / file.name

    def pinned(self, hashes: Mapping[str, str | Mapping[str, str]]) -> Source:
        """Return the source with hashes stated by a study, for files unknown to the project or for other files.

        Args:
            hashes: SHA-256 by extractor; for several files by their names.
        """
        given = hashes.get(self.extractor, {})
        stated = {self.files[0].name: given} if isinstance(given, str) else given
        return replace(self, files=tuple(_pinned(file, stated.get(file.name, "").lower()) for file in self.files))

    def of(self, hub: str) -> Source:
        """Return the files of another Hugging Face model, whose hashes are unknown to the project.

        They have a separate folder, so that files of different models cannot be confused.
        """
        if hub == self.hub:
            return self
        files = tuple(File(file.name, address(hub, file.name), None, None) for file in self.files)
        name, _, revision = hub.partition("@")
        by_hand = f"download these files of the model {name} on the Hugging Face hub, at its revision {revision}"
        return Source(self.extractor, files, f"hub/{name}/{revision}", f"that of {name}", by_hand, hub, stated=True)

    def plain(self) -> dict[str, Any]:
        """Return files and licence as plain types, for the record of the conversion."""
        return {"files": {file.name: file.url for file in self.files}, "licence": self.licence}

    @property
    def hashes(self) -> dict[str, str | None]:
        """SHA-256 of every file, which identifies the content regardless of its origin."""
        return {file.name: file.sha256 for file in self.files}

    @property
    def identity(self) -> dict[str, str | None]:
        """Values whose change requires a new download: the hashes, and the model chosen by a study."""
        return {**self.hashes, **({"hub": self.hub} if self.stated else {})}


def _packaged(file: File) -> Path:
    """Return the path of a file of an installed package, which is not imported.

    Raises:
        UserError: if the package is not installed, or does not contain the file.
    """
    try:
        path = Path(str(distribution(file.package).locate_file(file.name)))
    except PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        msg = f"{file.name}: is part of the Python package {file.package}, which is "
        msg += "not installed" if path is None else f"incomplete: there is no {path}"
        raise UserError(msg + "; install it again, for example with `make setup`")
    return path


def address(hub: str, file: str) -> str:
    """Return the address of a file of a Hugging Face model ``<owner>/<name>@<revision>``."""
    name, _, revision = hub.partition("@")
    return f"{HUB}/{name}/resolve/{revision}/{file}"


def _pinned(file: File, digest: str) -> File:
    if digest in ("", file.sha256):
        return file
    # a different hash means a different file, whose size is unknown
    return replace(file, sha256=digest, size=None if file.sha256 else file.size)


def missing(wanted: Source, folder: Path) -> str | None:
    """Describe the missing files: address, size, and where to copy them by hand.

    Files of packages are not looked for, because jobs may have another Python environment than Snakemake.

    Returns:
        A sentence, or ``None`` if all files exist and can be verified.
    """
    files = [file for file in wanted.files if not file.package and not wanted.path(file, folder).exists()]
    unknown = {file.name: "…" for file in wanted.files if not file.sha256}
    if not files:
        names = ", ".join(unknown)
        return f"{names}: the sha256 is not known to the project, {_how_to_state(wanted, unknown)}" if unknown else None
    names = ", ".join(file.name for file in files)
    sizes = [file.size or 0 for file in files]
    size = f"{megabytes(sum(sizes))}{'' if all(sizes) else ' and more'}" if any(sizes) else "size unknown"
    first = f"{files[0].url}{f' and {len(files) - 1} more' if len(files) > 1 else ''}"
    return (
        f"{names}: will be downloaded from {first} ({size}; licence: {wanted.licence}) into {folder / wanted.folder}; "
        f"without a network, copy missing files there by hand: {wanted.by_hand}"
        f"{f'; the sha256 is not known to the project, {_how_to_state(wanted, unknown)}' if unknown else ''}"
    )


def _to_be_stated(wanted: Source, file: File) -> str:
    return "" if file.sha256 else f"; its sha256 is not known, {_how_to_state(wanted, {file.name: '…'})}"


def _how_to_state(wanted: Source, digests: Mapping[str, str]) -> str:
    entries = ", ".join(f"{name}: {digest}" for name, digest in digests.items())
    value = f"{{{entries}}}" if wanted.folder else next(iter(digests.values()))
    return f"state it in the configuration: `checkpoints: {{hashes: {{{wanted.extractor}: {value}}}}}`"


def obtain(wanted: Source, folder: Path) -> Path:
    """Download every missing file, and verify all files by hash.

    Returns:
        The argument of the extractor's ``read``.

    Raises:
        UserError: if a file cannot be downloaded, is not the published one, or its hash is unknown; files copied by a
            user are kept.
    """
    unknown = {}
    for file in wanted.files:
        path = wanted.path(file, folder)
        digest = _digest(path) if path.exists() else _fetch(wanted, file, path)
        if file.sha256 is None:
            unknown[file.name] = digest
        elif digest != file.sha256:
            msg = f"{path}: is not the published file: its sha256 is {digest}, not {file.sha256}; "
            if file.package:
                raise UserError(msg + wanted.by_hand)
            msg += "move it away to "
            raise UserError(msg + f"download it from {file.url}, or copy the right one there: {wanted.by_hand}")
    if unknown:
        msg = f"{wanted.place(folder)}: the project does not know the published sha256 of {', '.join(unknown)}; "
        msg += f"compare that of the file with the publisher's ({wanted.by_hand}) and "
        raise UserError(msg + _how_to_state(wanted, unknown))
    return wanted.place(folder)


def _digest(path: Path) -> str:
    try:
        return download.sha256(path)
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); fix that, or copy the file there again"
        raise UserError(msg) from error


def _fetch(wanted: Source, file: File, path: Path) -> str:
    """Download a file; one with unknown hash keeps the name of the partial download."""
    known = f"{megabytes(file.size)}, " if file.size else ""
    print(f"{file.name}: downloading from {file.url} ({known}licence: {wanted.licence})")
    try:
        return download.fetch(file.url, path, file.sha256, file.size)
    except download.WrongContentError as error:
        msg = f"{file.name}: the file at {file.url} is not the published one: {error}; {_by_hand(wanted, file, path)}"
        raise UserError(msg) from error
    except download.NotFetchedError as error:
        msg = f"{file.name}: cannot be downloaded from {file.url} ({error}); {_by_hand(wanted, file, path)}"
        raise UserError(msg) from error
    except OSError as error:
        msg = f"{error.filename or path}: cannot be written ({error.strerror}); fix that, or name another folder "
        raise UserError(msg + "with `checkpoints.folder`") from error


def _by_hand(wanted: Source, file: File, path: Path) -> str:
    digest = f"sha256 {file.sha256}; " if file.sha256 else ""
    return (
        f"download it on another machine ({wanted.by_hand}) and copy it to {path}; {digest}licence: {wanted.licence}"
        f"{_to_be_stated(wanted, file)}"
    )
