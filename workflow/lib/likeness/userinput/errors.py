"""Errors that are shown to users as one sentence instead of a traceback."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import yaml

SHOWN = 60
"""Maximum number of characters of a user's value repeated in a message."""
LISTED = 20
"""Maximum number of known names listed in a message."""
FAULTS = 20
"""Maximum number of faults told at once."""

_FIXES = {
    errno.ENOSPC: "the disk is full; free some space and run again, finished files are kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run again, finished files are kept",
    errno.EROFS: "the file system is read-only; set the key `results` to a writable folder",
    errno.EACCES: "permission denied; change the permissions, or set the key `results` to a writable folder",
    errno.EPERM: "not permitted; change the permissions, or set the key `results` to a writable folder",
}

_OBSTACLES = {
    errno.ENOENT: "does not exist; correct the path",
    errno.ENOTDIR: "does not exist, because one of its parent folders is a file; correct the path",
    errno.EISDIR: "is a folder; name a file",
    errno.EACCES: "cannot be read by this user; change its permissions or those of its folders",
    errno.EPERM: "cannot be read by this user; change its permissions or those of its folders",
    errno.ENAMETOOLONG: "has a longer name than the file system allows; correct the path",
    errno.ELOOP: "is a symbolic link that leads to itself; correct the path",
}


class UserError(ValueError):
    """Invalid user input; the message has one line for every fault, which names the file, the key and the fix."""


class ConfigurationError(UserError):
    """Invalid configuration; the message has one line for every fault, which names the file, the key and the fix."""


class DatasetError(UserError):
    """Invalid dataset; the message has one line for every fault, which names the file, the key and the fix."""


class Faults:
    """Errors of independent checks, told together: one that a ``with`` block raises is noted, and the rest goes on.

    Args:
        refusal: error class to note and to raise.
    """

    def __init__(self, refusal: type[UserError]) -> None:
        self.refusal = refusal
        self.lines: dict[str, None] = {}

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, self.refusal):
            return False
        self.lines |= dict.fromkeys(str(error).splitlines())
        return True

    def refuse(self) -> None:
        """Raise an error that tells what was noted, if there is anything; a long list is cut.

        Raises:
            UserError: of class ``refusal``, with one line for each of the first :data:`FAULTS` errors.
        """
        lines = list(self.lines)[:FAULTS]
        if len(self.lines) > FAULTS:
            lines.append(f"… and {len(self.lines) - FAULTS} more")
        if lines:
            raise self.refusal("\n".join(lines))


def sentence(error: BaseException) -> str | None:
    """Return the message to show for an error; ``None`` for a bug, where the traceback should be shown instead."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _FIXES:
        return f"{error.filename or 'a file of the job'}: {_FIXES[error.errno]}"
    return None


def nearest(word: object, known: Iterable[object]) -> str | None:
    """Return the known word that an unknown one is probably meant to be; ``None`` if none is close."""
    # of names that differ by case alone, the first one
    spelt = {name.lower(): name for name in reversed([plain(k) for k in known])}
    near = difflib.get_close_matches(plain(word).lower(), spelt, n=1, cutoff=0.6)
    return spelt[near[0]] if near else None


def suggest(word: object, known: Iterable[object], otherwise: str = "") -> str:
    """Suggest the closest known word ("did you mean ...?"); if none is close, list the known words.

    Args:
        word: unknown word.
        known: valid words.
        otherwise: text to return instead of the list if no word is close.
    """
    names = [plain(k) for k in known]
    near = nearest(word, names)
    if near is not None:
        return f"did you mean '{near}'?"
    return otherwise or f"use one of {', '.join(names[:LISTED])}{', …' if len(names) > LISTED else ''}"


def shown(value: object) -> str:
    """Return the ``repr`` of a value, truncated to :data:`SHOWN` characters."""
    written = repr(value)
    return written if len(written) <= SHOWN else f"{written[: SHOWN - 1]}…"


def plain(text: object) -> str:
    """Return text without quotes, with unprintable characters escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def refuse_path(path: Path, error: Exception, refusal: type[UserError]) -> NoReturn:
    """Raise an error that explains why a file or folder cannot be accessed.

    Raises:
        UserError: always, of class ``refusal``.
    """
    code = error.errno if isinstance(error, OSError) else None
    said = _OBSTACLES.get(code or 0) or f"cannot be read ({plain(error)}); correct the path"
    msg = f"{plain(path)}: {said}"
    raise refusal(msg) from None


def explain_mark(error: yaml.MarkedYAMLError) -> str:
    """Describe a YAML syntax error: position, problem and fix."""
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    said = plain(error.problem or error.context or "not valid YAML")
    fix = error.note or ("indent with spaces instead of tabs" if r"'\t'" in said else "fix the YAML there")
    return f"{where}{said}; {fix}"


def other_network(path: Path, fault: str) -> UserError:
    """Create the error for a weights file that does not match the network it is loaded into."""
    msg = f"{path}: {fault}, so it belongs to a different network; fetch the file again"
    return UserError(msg)


def made_anew(path: Path, fault: str, source: Path) -> UserError:
    """Create the error for a damaged file written by a job; ``source`` is the folder or file to delete."""
    msg = f"{path}: {fault}; delete {source} and run again to recreate it"
    return UserError(msg)
