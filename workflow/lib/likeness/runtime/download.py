"""Download large files over HTTPS: resumable, verified by hash, and atomic.

Uses only the standard library, because the job can run in any environment, and pooch and requests do not resume.
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
"""Maximum number of consecutive failures."""
PAUSE_SECONDS = 1.0
"""Delay before the first retry; doubled before each further one."""
TIMEOUT_SECONDS = 60.0
"""Time without data after which a connection counts as dropped."""
PROGRESS_SECONDS = 30.0
"""Interval between progress messages."""
CHUNK = 1 << 20
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Temporary HTTP errors, which are retried."""
LOCAL = {"localhost", "127.0.0.1", "::1"}


class NotFetchedError(Exception):
    """A download failed; the message is the reason, to which the caller adds the file and the fix."""


class WrongContentError(NotFetchedError):
    """The downloaded file is not the expected one."""


class _DroppedError(Exception):
    """A temporary failure, after which the download is retried."""


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, reading it in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def megabytes(size: float) -> str:
    """Format a number of bytes in MB or GB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


def partial(path: Path) -> Path:
    """Return the path of the partial download of a file."""
    return path.with_name(f"{path.name}.part")


def fetch(url: str, path: Path, digest: str | None, size: int | None = None) -> str:
    """Download a file, resuming a partial download.

    If another process downloads the same file, wait for it.

    Args:
        url: address; HTTPS, except for the local machine.
        path: where the file appears once it is complete and verified. An existing file is kept.
        digest: its SHA-256. If ``None``, the file is downloaded but keeps the name of the partial download.
        size: size in bytes, if known.

    Returns:
        The SHA-256 of the file at ``path``, or of the partial download if ``digest`` is ``None``.

    Raises:
        NotFetchedError: if the download fails; the partial download is kept for the next call.
        WrongContentError: if the file is not the expected one; it is deleted if it was downloaded.
        UserError: if there is not enough disk space.
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
            print(f"{path.name}: the partial download is of another file; starting again")
            part.unlink()
            _download(url, part, size)
            found = sha256(part)
        if digest not in (None, found):
            part.unlink()
            msg = f"the downloaded file has the sha256 {found}, not {digest}"
            raise WrongContentError(msg)
        if digest is not None:
            part.replace(path)
        return found


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Exclude other processes from downloading the same file inside the block."""
    lock = path.with_name(f".{path.name}.lock")
    with locks.hold(lock, lambda: print(f"{path.name}: waiting for another process that downloads it")):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _download(url: str, part: Path, size: int | None) -> None:
    """Complete a partial download; the count of failures is reset by progress of at least one chunk."""
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
            print(f"{part.stem}: {error}; retrying in {pause:g} s")
            time.sleep(pause)


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _receive(url: str, part: Path, size: int | None) -> None:
    """Request the missing part of a file once, and append what arrives.

    Raises:
        _DroppedError: if the response is incomplete.
        NotFetchedError: if a retry would not help.
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
            msg = "the file on the server is shorter than the partial download"
            raise _DroppedError(msg)
        start = _first_byte(answer, start, part)
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else size
        if size is not None and total != size:
            msg = f"the file on the server has {total} bytes, not {size}"
            raise WrongContentError(msg)
        _check_room(part, (total or 0) - start)
        _write(answer, part, start, total)


def _ask(url: str, start: int) -> Any:
    """Request a file from byte ``start`` on and return the response; also for status 416 (range not satisfiable)."""
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
        msg = f"the server responds with {error.code} {error.reason}"
        raise (_DroppedError if error.code in PASSING else NotFetchedError)(msg) from None
    except ValueError as error:
        msg = f"{url}, or its redirection, is not a valid address ({error})"
        raise NotFetchedError(msg) from None
    except (OSError, http.client.HTTPException) as error:
        _explain(error)


def _explain(error: Exception) -> NoReturn:
    """Raise an error that explains a failed connection.

    Raises:
        NotFetchedError: if the certificate of the server is not trusted.
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
    """Follow redirections, but only to HTTPS."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        _check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
        msg = f"{url} is not HTTPS, so the content could be manipulated"
        raise NotFetchedError(msg)


def _first_byte(answer: Any, start: int, part: Path) -> int:
    """Return the first byte of the response: the requested one, or 0 if the server does not support ranges."""
    if not start:
        return 0
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        print(f"{part.stem}: the server cannot resume; starting again")
        return 0
    begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if begins is None or int(begins[1]) != start:
        part.unlink()
        msg = "the server sent another range than requested"
        raise _DroppedError(msg)
    return start


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    # when starting again, the overwritten data do not reduce the required space, since the file grows beyond them
    if needed > free:
        msg = f"{part.parent}: has {megabytes(free)} of free space, but {part.stem} needs {megabytes(needed)}; "
        raise UserError(msg + "free some space, or name another folder with `checkpoints.folder`")


def _write(answer: Any, part: Path, start: int, total: int | None) -> None:
    """Append the response to the partial download, or overwrite it from the start."""
    came, told, began = start, time.monotonic(), time.monotonic()
    with part.open("ab" if start else "wb") as file:
        for piece in _pieces(answer):
            came += len(piece)
            if total is not None and came > total:
                msg = f"the file on the server has more than {total} bytes"
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
    """Read chunks until the end of the response or a dropped connection, after yielding everything received."""
    while True:
        try:
            piece = answer.read1(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            msg = f"the connection was dropped ({error or type(error).__name__})"
            raise _DroppedError(msg) from None
        if not piece:
            return
        yield piece
