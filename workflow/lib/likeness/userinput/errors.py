"""What is told to a person instead of a traceback."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import yaml

SHOWN = 60
"""Most characters of a user's value that a message repeats."""
LISTED = 20
"""Most known names that a message lists."""

_FIXES = {
    errno.ENOSPC: "the disk is full; free some space and run again, what is finished is kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run again, what is finished is kept",
    errno.EROFS: "the file system is read-only; write elsewhere with the key `results`",
    errno.EACCES: "permission denied; change the permissions, or write elsewhere with the key `results`",
    errno.EPERM: "not permitted; change the permissions, or write elsewhere with the key `results`",
}

_OBSTACLES = {
    errno.ENOENT: "does not exist; correct the path",
    errno.ENOTDIR: "does not exist, because what should be its folder is a file; correct the path",
    errno.EISDIR: "is a folder; name a file",
    errno.EACCES: "may not be read by this user; change its permissions or those of its folders",
    errno.EPERM: "may not be read by this user; change its permissions or those of its folders",
    errno.ENAMETOOLONG: "has a longer name than the file system allows; correct the path",
    errno.ELOOP: "is a link that leads to itself; correct the path",
}


class UserError(ValueError):
    """Something that a user gave cannot be used; the message is one sentence with file, key and fix."""


class ConfigurationError(UserError):
    """The configuration asks for something impossible; the message names file, key and fix."""


class DatasetError(UserError):
    """A dataset that cannot be used; the message is one sentence that names the file, the key and the fix."""


def sentence(error: BaseException) -> str | None:
    """Give what to tell a person of an error, or ``None`` where the program is at fault and the traceback helps."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _FIXES:
        return f"{error.filename or 'a file of the job'}: {_FIXES[error.errno]}"
    return None


def suggest(word: object, known: Iterable[object], otherwise: str = "") -> str:
    """Phrase the nearest known word as a question; where none is near, list the known ones, or say what else to do."""
    names = [plain(k) for k in known]
    # of names that differ by case alone, the first one
    spelt = {name.lower(): name for name in reversed(names)}
    near = difflib.get_close_matches(plain(word).lower(), spelt, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{spelt[near[0]]}'?"
    return otherwise or f"use one of {', '.join(names[:LISTED])}{', …' if len(names) > LISTED else ''}"


def shown(value: object) -> str:
    """Show a value as it would be written in Python, on one line and not too long."""
    written = repr(value)
    return written if len(written) <= SHOWN else f"{written[: SHOWN - 1]}…"


def plain(text: object) -> str:
    """Show a name without quotes, what cannot be printed on one line escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def refuse_path(path: Path, error: Exception, refusal: type[UserError]) -> NoReturn:
    """Say why a file or folder cannot be reached or read.

    Raises:
        UserError: of the class given.
    """
    code = error.errno if isinstance(error, OSError) else None
    said = _OBSTACLES.get(code or 0) or f"cannot be read ({plain(error)}); correct the path"
    msg = f"{plain(path)}: {said}"
    raise refusal(msg) from None


def explain_mark(error: yaml.MarkedYAMLError) -> str:
    """Say where a text is no YAML, why, and what to do."""
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    said = plain(error.problem or error.context or "this is no YAML")
    fix = error.note or ("indent with spaces instead of tabs" if r"'\t'" in said else "fix the YAML there")
    return f"{where}{said}; {fix}"


def other_network(path: Path, fault: str) -> UserError:
    """Make the error for a file of weights that is of another network than the one it is read for."""
    msg = f"{path}: {fault}, so it is of another network; fetch the file again"
    return UserError(msg)


def made_anew(path: Path, fault: str, source: Path) -> UserError:
    """Make the error for a spoilt file that a job made, with the file or folder that all it made lies in."""
    msg = f"{path}: {fault}; delete {source} and run again, so that it is made anew"
    return UserError(msg)
