"""Files come whole and right or not at all, whether servers drop connections, cannot resume or give something else."""

from __future__ import annotations

import hashlib
import random
import shutil
import ssl
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from file_server import Served, serving

from likeness.runtime import download
from likeness.runtime.download import NotFetchedError, WrongContentError, fetch, partial
from likeness.userinput.errors import UserError

CONTENT = random.Random(1).randbytes(5_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 5.0)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Served]:
    with serving(CONTENT) as served:
        yield served


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights" / "a.pth"


def files(path: Path) -> list[str]:
    """Name everything in the folder of a file."""
    return sorted(p.name for p in path.parent.iterdir())


@pytest.mark.parametrize("size", [SIZE, None])
@pytest.mark.parametrize("says_length", [True, False])
def test_a_file_is_fetched_whole(server: Served, path: Path, size: int | None, says_length: bool) -> None:
    server.says_length = says_length
    assert fetch(server.url, path, DIGEST, size) == DIGEST
    assert path.read_bytes() == CONTENT
    assert files(path) == ["a.pth"]


def test_a_file_that_is_there_is_left_as_it_is(server: Served, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"mine")
    assert fetch(server.url, path, DIGEST) == hashlib.sha256(b"mine").hexdigest()
    assert (path.read_bytes(), server.asked) == (b"mine", [])


def test_a_dropped_connection_is_gone_on_with(server: Served, path: Path) -> None:
    server.drops = [2_000_000, 10, 1_500_000]
    fetch(server.url, path, DIGEST, SIZE)
    assert path.read_bytes() == CONTENT
    assert server.asked == ["", "bytes=2000000-", "bytes=2000010-", "bytes=3500010-"]


def test_an_interrupted_call_is_gone_on_with(server: Served, path: Path) -> None:
    path.parent.mkdir()
    partial(path).write_bytes(CONTENT[:123_456])
    fetch(server.url, path, DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.asked == ["bytes=123456-"]


def test_a_server_that_cannot_resume_gives_everything_anew(
    server: Served, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.ranges = False
    server.drops = [2_000_000]
    fetch(server.url, path, DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.asked == ["", "bytes=2000000-"]
    assert "a.pth: the server cannot resume; starting again" in capsys.readouterr().out


@pytest.mark.parametrize("size", [SIZE, None])
def test_what_is_left_of_another_file_is_fetched_anew(server: Served, path: Path, size: int | None) -> None:
    path.parent.mkdir()
    partial(path).write_bytes(b"x" * 1000)
    fetch(server.url, path, DIGEST, size)
    assert path.read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-", ""]


@pytest.mark.parametrize("size", [SIZE, None])
def test_more_than_there_is_is_fetched_anew(server: Served, path: Path, size: int | None) -> None:
    path.parent.mkdir()
    partial(path).write_bytes(CONTENT + b"more")
    fetch(server.url, path, DIGEST, size)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [SIZE, None])
def test_a_partial_file_that_is_whole_asks_nobody(server: Served, path: Path, size: int | None) -> None:
    path.parent.mkdir()
    partial(path).write_bytes(CONTENT)
    fetch(server.url, path, DIGEST, size)
    assert (path.read_bytes(), server.asked) == (CONTENT, [])


def test_another_content_gets_no_name(server: Served, path: Path) -> None:
    wrong = hashlib.sha256(b"wrong").hexdigest()
    with pytest.raises(WrongContentError, match=f"has the sha256 {DIGEST}, not {wrong}"):
        fetch(server.url, path, wrong)
    assert files(path) == []


def test_another_size_is_not_even_fetched(server: Served, path: Path) -> None:
    path.parent.mkdir()
    partial(path).write_bytes(CONTENT[:1000])
    with pytest.raises(WrongContentError, match=f"has {SIZE} bytes, not {SIZE + 1}"):
        fetch(server.url, path, DIGEST, SIZE + 1)
    assert partial(path).read_bytes() == CONTENT[:1000]


def test_no_more_is_taken_than_there_should_be(server: Served, path: Path) -> None:
    server.says_length = False
    with pytest.raises(WrongContentError, match="more than 100000 bytes"):
        fetch(server.url, path, DIGEST, 100_000)
    assert not path.exists()


def test_without_a_known_hash_a_file_gets_no_name(server: Served, path: Path) -> None:
    for _ in range(2):
        assert fetch(server.url, path, None) == DIGEST
        assert files(path) == ["a.pth.part"]
    assert server.asked == ["", f"bytes={SIZE}-"]
    fetch(server.url, path, DIGEST)
    assert (path.read_bytes(), len(server.asked)) == (CONTENT, 2)


def test_an_overloaded_server_is_asked_again(server: Served, path: Path) -> None:
    server.statuses = [503, 429, 500]
    fetch(server.url, path, DIGEST)
    assert path.read_bytes() == CONTENT


def test_a_server_that_keeps_failing_is_given_up(server: Served, path: Path) -> None:
    server.statuses = [503] * 99
    with pytest.raises(NotFetchedError, match="the server responds with 503 Service Unavailable, 5 times in a row"):
        fetch(server.url, path, DIGEST)
    assert len(server.asked) == download.TRIES


def test_a_server_that_gives_next_to_nothing_is_given_up_and_what_came_is_kept(server: Served, path: Path) -> None:
    server.drops = [2_000_000, *[10] * 99]
    with pytest.raises(NotFetchedError, match="the connection was dropped after 2000040 of 5000000 bytes, 5 times"):
        fetch(server.url, path, DIGEST)
    assert partial(path).read_bytes() == CONTENT[:2_000_040]


def test_a_server_that_stalls_counts_as_dropped(server: Served, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(download, "TRIES", 2)
    server.pause = 0.3
    with pytest.raises(NotFetchedError, match=r"the connection was dropped .*timed out"):
        fetch(server.url, path, DIGEST)
    assert partial(path).stat().st_size > 0


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_not_asked_twice(server: Served, path: Path, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(NotFetchedError, match=f"the server responds with {status} "):
        fetch(server.url, path, DIGEST)
    assert len(server.asked) == 1


def test_nobody_is_there(server: Served, path: Path) -> None:
    closed = server.url.replace("127.0.0.1", "localhost").rpartition(":")[0] + ":9/weights.pth"
    with pytest.raises(NotFetchedError, match="no connection: Connection refused, 5 times in a row"):
        fetch(closed, path, DIGEST)


def test_a_redirect_is_followed(server: Served, path: Path) -> None:
    server.statuses, server.location = [302], server.url
    fetch(server.url, path, DIGEST)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "location",
    [
        "http://example.org/weights.pth",
        "http://localhost@example.org/weights.pth",
        "http://localhost.example.org/weights.pth",
        "ftp://localhost/weights.pth",
        "file:///etc/hostname",
        "https://[",
    ],
)
def test_nothing_but_https_is_asked(server: Served, path: Path, location: str) -> None:
    with pytest.raises(NotFetchedError, match=r"is not HTTPS|is not a valid address"):
        fetch(location, path, DIGEST)
    server.statuses, server.location = [302], location
    with pytest.raises(NotFetchedError, match=r"is not HTTPS|is not allowed|is not a valid address"):
        fetch(server.url, path, DIGEST)
    assert not path.exists()


def test_a_server_that_is_not_who_it_says_is_not_asked_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def fail(*_: object, **__: object) -> None:
        tries.append(1)
        error = ssl.SSLCertVerificationError(1, "bad")
        error.verify_message = "self-signed certificate"
        raise urllib.error.URLError(error)

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", fail)
    with pytest.raises(NotFetchedError, match="certificate of the server is not trusted: self-signed"):
        fetch("https://localhost/weights.pth", path, DIGEST)
    assert len(tries) == 1


def test_a_full_disk_is_told_before(server: Served, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=SIZE - 1))
    with pytest.raises(UserError, match=r"weights: has 5 MB of free space, but a.pth needs 5 MB; .*`checkpoints"):
        fetch(server.url, path, DIGEST)
    assert not partial(path).exists()
    partial(path).write_bytes(CONTENT[:1000])
    fetch(server.url, path, DIGEST)
    assert path.read_bytes() == CONTENT


def test_two_processes_fetch_a_file_once(server: Served, path: Path) -> None:
    server.pause = 0.005
    threads = [threading.Thread(target=fetch, args=(server.url, path, DIGEST)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (path.read_bytes(), len(server.asked)) == (CONTENT, 1)


def test_progress_is_told(
    server: Served, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "PROGRESS_SECONDS", 0.05)
    server.pause = 0.005
    fetch(server.url, path, DIGEST, SIZE)
    assert "a.pth: " in (said := capsys.readouterr().out)
    assert " of 5 MB, " in said
