"""Large files fetched over HTTPS: resumed after an interruption, held against their hash, whole or not at all.

Of Python alone, because the job that fetches may run in any environment, and because pooch and requests do not resume.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import urlsplit

from likeness.runtime import locks
from likeness.userinput.errors import UserError

TRIES = 5
"""Maximum number of consecutive failures of a server."""
PAUSE_SECONDS = 1.0
"""Pause before the second attempt; doubled before each further one."""
TIMEOUT_SECONDS = 60.0
"""A connection that gives no byte for this long counts as dropped."""
PROGRESS_SECONDS = 30.0
"""Between two reports of progress."""
CHUNK = 1 << 20
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses after which another attempt may succeed."""
LOCAL = {"localhost", "127.0.0.1", "::1"}


class NotFetchedError(Exception):
    """A file cannot be fetched; the message is the reason, without the file and the fix, which the caller knows."""


class WrongContentError(NotFetchedError):
    """What was fetched is another file than the wanted one."""


class _DroppedError(Exception):
    """An attempt failed; the next one may succeed."""


def sha256(path: Path) -> str:
    """Digest the content of a file, of which never more than a piece is in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def megabytes(size: float) -> str:
    """Write a number of bytes in MB or GB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


def partial(path: Path) -> Path:
    """Name the file that holds what has arrived of another one."""
    return path.with_name(f"{path.name}.part")


def fetch(url: str, path: Path, digest: str | None, size: int | None = None) -> str:
    """Fetch a file; resume a partial download that an interrupted call left.

    A process that wants the same file at the same place waits for the one that fetches it.

    Args:
        url: where from; HTTPS, but for this machine itself.
        path: where the file appears once it is whole and right. A file that is there already is left as it is.
        digest: its SHA-256. Where nobody knows it, everything is fetched but kept under the name of the partial file.
        size: in bytes, if known.

    Returns:
        The SHA-256 of the file at ``path``, or of the partial file where ``digest`` is ``None``.

    Raises:
        NotFetchedError: if it cannot be had; what has arrived stays for the next call.
        WrongContentError: if it is another file; of one that was fetched nothing stays.
        UserError: if the disk has no room for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = partial(path)
    with _alone(path):
        if path.exists():
            return sha256(path)
        left = part.exists()
        if left and digest is not None and size in (None, part.stat().st_size) and sha256(part) == digest:
            part.replace(path)
            return digest
        _download(url, part, size)
        found = sha256(part)
        if left and digest not in (None, found):
            print(f"{path.name}: what an earlier attempt left is of another file; fetching it anew")
            part.unlink()
            _download(url, part, size)
            found = sha256(part)
        if digest not in (None, found):
            part.unlink()
            msg = f"the file there has the sha256 {found}, not {digest}"
            raise WrongContentError(msg)
        if digest is not None:
            part.replace(path)
        return found


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from fetching the same file for the length of a block."""
    lock = path.with_name(f".{path.name}.lock")
    with locks.hold(lock, lambda: print(f"{path.name}: waiting for another process that fetches it")):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _download(url: str, part: Path, size: int | None) -> None:
    """Complete a partial file. An attempt that makes progress resets the count of failures."""
    failed, farthest = 0, _length(part)
    while True:
        try:
            _receive(url, part, size)
            return
        except _DroppedError as error:
            failed = 1 if _length(part) >= farthest + CHUNK else failed + 1
            farthest = max(farthest, _length(part))
            if failed == TRIES:
                msg = f"{error}, {TRIES} times in a row"
                raise NotFetchedError(msg) from error
            pause = PAUSE_SECONDS * 2 ** (failed - 1)
            print(f"{part.stem}: {error}; next try in {pause:g} s")
            time.sleep(pause)


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _receive(url: str, part: Path, size: int | None) -> None:
    """Ask once for what a partial file lacks, and add what comes.

    Raises:
        _DroppedError: if not everything comes.
        NotFetchedError: if asking again would not help.
    """
    start = _length(part)
    if size is not None and start > size:
        part.unlink()
        start = 0
    if start and start == size:
        return
    with _ask(url, start) as answer:
        if answer.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if answer.headers.get("Content-Range") == f"bytes */{start}":
                return
            part.unlink()
            msg = "the server has less of the file than has arrived"
            raise _DroppedError(msg)
        start = _first_byte(answer, start, part)
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else size
        if size is not None and total != size:
            msg = f"the file there has {total} bytes, not {size}"
            raise WrongContentError(msg)
        _check_room(part, (total or 0) - start)
        _write(answer, part, start, total)


def _ask(url: str, start: int) -> Any:
    """Give the answer of a server that is asked for a file from a byte on, also that there is no such byte."""
    headers = {"User-Agent": "likeness", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    opener = urllib.request.build_opener(_SafeRedirects)
    try:
        _check_url(url)
        return opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return error
        msg = f"the server answers {error.code} {error.reason}"
        raise (_DroppedError if error.code in PASSING else NotFetchedError)(msg) from None
    except ValueError as error:
        msg = f"{url}, or where it leads, is no address ({error})"
        raise NotFetchedError(msg) from None
    except (OSError, http.client.HTTPException) as error:
        _explain(error)


def _explain(error: Exception) -> NoReturn:
    """Say why there is no connection.

    Raises:
        NotFetchedError: if the server is not who it says.
        _DroppedError: otherwise.
    """
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        msg = f"the certificate of the server is not trusted: {reason.verify_message}"
        raise NotFetchedError(msg) from None
    said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    msg = f"no connection: {said}"
    raise _DroppedError(msg) from None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server elsewhere, but not out of HTTPS."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        _check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
        msg = f"{url} is not HTTPS, so that anybody on the way could change it"
        raise NotFetchedError(msg)


def _first_byte(answer: Any, start: int, part: Path) -> int:
    """Tell where the answer begins: where it was asked to, or at the first byte from a server that knows no ranges."""
    if not start:
        return 0
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        print(f"{part.stem}: the server cannot resume; fetching it anew")
        return 0
    begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if begins is None or int(begins[1]) != start:
        part.unlink()
        msg = "the server gives another part than it was asked for"
        raise _DroppedError(msg)
    return start


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    # what is overwritten, because a server cannot resume, counts as needed: it would be only a part of the whole
    if needed > free:
        msg = f"{part.parent}: has room for {megabytes(free)}, but {part.stem} takes {megabytes(needed)}; "
        raise UserError(msg + "free some space, or name another folder with `checkpoints.folder`")


def _write(answer: Any, part: Path, start: int, total: int | None) -> None:
    """Add what comes to the partial file, or overwrite it from the first byte."""
    came, told, began = start, time.monotonic(), time.monotonic()
    with part.open("ab" if start else "wb") as file:
        for piece in _pieces(answer):
            came += len(piece)
            if total is not None and came > total:
                msg = f"the file there has more than {total} bytes"
                raise WrongContentError(msg)
            file.write(piece)
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                rate = megabytes((came - start) / (told - began))
                print(f"{part.stem}: {megabytes(came)}{f' of {megabytes(total)}' if total else ''}, {rate}/s")
    if total is not None and came < total:
        msg = f"the connection was dropped after {came} of {total} bytes"
        raise _DroppedError(msg)


def _pieces(answer: Any) -> Iterator[bytes]:
    """Read until the end, or until the connection is dropped; what came before that is given."""
    while True:
        try:
            piece = answer.read1(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            msg = f"the connection was dropped ({error or type(error).__name__})"
            raise _DroppedError(msg) from None
        if not piece:
            return
        yield piece
