"""What is told to a person instead of a traceback."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

SHOWN = 60
"""A value of a user is cut to so many characters in a message."""
LISTED = 20
"""At most so many known names are listed in a message."""

_MENDS = {
    errno.ENOSPC: "the disk is full; free some space and run again, what is finished is kept",
    errno.EDQUOT: "the disk quota is used up; free some space and run again, what is finished is kept",
    errno.EROFS: "the file system is read-only; write elsewhere with the key `results`",
    errno.EACCES: "permission denied; change the permissions, or write elsewhere with the key `results`",
    errno.EPERM: "not permitted; change the permissions, or write elsewhere with the key `results`",
}


class Refusal(ValueError):
    """Something that a person gave cannot be used; the message is one sentence with file, key and mend."""


class ConfigurationError(Refusal):
    """The configuration asks for something impossible; the message names file, key and mend."""


class DatasetError(Refusal):
    """A dataset that cannot be used; the message is one sentence that names the file, the key and the mend."""


def sentence(error: BaseException) -> str | None:
    """Give what to tell a person of an error, or ``None`` where it is a fault of ours and the traceback helps."""
    if isinstance(error, Refusal):
        return str(error)
    if isinstance(error, OSError) and error.errno in _MENDS:
        return f"{error.filename or 'a file of the job'}: {_MENDS[error.errno]}"
    return None


def suggest(word: object, known: Iterable[object]) -> str:
    """Phrase the nearest known word as a question, or list the known ones."""
    names = [plain(k) for k in known]
    near = difflib.get_close_matches(plain(word), names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"use one of {', '.join(names[:LISTED])}{', …' if len(names) > LISTED else ''}"


def shown(value: object) -> str:
    """Show a value as it would be written in Python, on one line and not too long."""
    written = repr(value)
    return written if len(written) <= SHOWN else f"{written[: SHOWN - 1]}…"


def plain(text: object) -> str:
    """Show a name without quotes, what cannot be printed on one line escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))
