"""Published files: fetched or put there by hand, and never used unverified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Served, serving

from likeness.runtime import download, published
from likeness.runtime.published import File, Source, missing, obtain
from likeness.userinput.errors import UserError

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.001)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Served]:
    with serving(CONTENT) as served:
        yield served


def single(url: str, digest: str | None = DIGEST, size: int | None = None) -> Source:
    return Source("vgg", (File("a.pth", url, digest, size),), "", "MIT", "see x.org")


def several(url: str) -> Source:
    names = ("unet/model.safetensors", "config.json")
    return Source("sd", tuple(File(name, url, DIGEST, None) for name in names), "sd", "MIT", "see x.org")


def test_files_are_fetched_once_and_verified(server: Served, tmp_path: Path) -> None:
    wanted = several(server.url)
    said = missing(wanted, tmp_path) or ""
    assert said.startswith(f"unet/model.safetensors, config.json: will be downloaded from {server.url} and 1 more (")
    assert f"(size unknown; licence: MIT) into {tmp_path / 'sd'}; without a network, copy missing files there" in said
    for _ in range(2):
        assert obtain(wanted, tmp_path) == tmp_path / "sd"
    assert missing(wanted, tmp_path) is None
    assert (tmp_path / "sd" / "unet" / "model.safetensors").read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_file_put_there_by_hand_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(CONTENT)
    before = path.stat()
    obtain(single("https://localhost:9/a.pth"), tmp_path)
    after = path.stat()
    # not the time of the last access, which reading it may change
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)


def test_another_file_put_there_by_hand_is_refused_and_stays(server: Served, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"mine")
    found = hashlib.sha256(b"mine").hexdigest()
    with pytest.raises(UserError) as error:
        obtain(single(server.url), tmp_path)
    said = f"{path}: is not the published file: its sha256 is {found}, not {DIGEST}; move it away to "
    assert str(error.value) == said + f"download it from {server.url}, or copy the right one there: see x.org"
    assert (path.read_bytes(), server.asked) == (b"mine", [])


def test_without_a_network_it_is_said_what_to_put_where(tmp_path: Path) -> None:
    url = "http://localhost:9/a.pth"
    with pytest.raises(UserError) as error:
        obtain(single(url), tmp_path)
    assert str(error.value) == (
        f"a.pth: cannot be downloaded from {url} (no connection: Connection refused, 5 times in a row); download it on "
        f"another machine (see x.org) and copy it to {tmp_path}/a.pth; sha256 {DIGEST}; licence: MIT"
    )
    said = missing(single(url, size=528_000_000), tmp_path) or ""
    assert said.startswith(
        f"a.pth: will be downloaded from {url} (528 MB; licence: MIT) into {tmp_path}; without a network"
    )


def test_what_the_server_gives_in_place_of_the_file_is_not_kept(server: Served, tmp_path: Path) -> None:
    server.content = b"<html>Please log in</html>"
    with pytest.raises(UserError, match=r"the file at http.* is not the published one: the downloaded file has "):
        obtain(single(server.url), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_hash_that_nobody_knows_has_to_be_stated(server: Served, tmp_path: Path) -> None:
    unknown = single(server.url, None)
    assert (missing(unknown, tmp_path) or "").endswith("`checkpoints: {hashes: {vgg: …}}`")
    how = rf"state it in the configuration: `checkpoints: {{hashes: {{vgg: {DIGEST}}}}}`"
    said = rf"a.pth: the project does not know the published sha256 of a.pth; .* \(see x.org\) and {how}"
    with pytest.raises(UserError, match=said):
        obtain(unknown, tmp_path)
    assert not (tmp_path / "a.pth").exists()
    obtain(unknown.pinned({"vgg": DIGEST.upper()}), tmp_path)
    assert (tmp_path / "a.pth").read_bytes() == CONTENT
    with pytest.raises(UserError, match=said):
        obtain(unknown, tmp_path)


def test_a_study_may_state_the_hash_of_another_file_which_it_has(server: Served, tmp_path: Path) -> None:
    mine = single(server.url, size=7000).pinned({"vgg": hashlib.sha256(b"mine").hexdigest()})
    with pytest.raises(UserError, match=r"the file at http.* is not the published one: the downloaded file has "):
        obtain(mine, tmp_path)
    (tmp_path / "a.pth").write_bytes(b"mine")
    assert obtain(mine, tmp_path) == tmp_path / "a.pth"
    assert single(server.url, size=7000).pinned({"vgg": DIGEST}).files[0].size == 7000


def test_hashes_of_several_files_are_stated_at_once(server: Served, tmp_path: Path) -> None:
    names = ("model.safetensors", "config.json", "unet/config.json")
    files = tuple(File(name, server.url, DIGEST if name == names[0] else None, None) for name in names)
    wanted = Source("sd", files, "sd", "MIT", "see x.org")
    (tmp_path / "sd" / "unet").mkdir(parents=True)
    (tmp_path / "sd" / "unet" / "config.json").write_bytes(b"mine")
    found = hashlib.sha256(b"mine").hexdigest()
    how = f"`checkpoints: {{hashes: {{sd: {{config.json: {DIGEST}, unet/config.json: {found}}}}}}}`"
    with pytest.raises(UserError) as refusal:
        obtain(wanted, tmp_path)
    assert str(refusal.value).endswith(
        f"published sha256 of config.json, unet/config.json; compare that of the file with the "
        f"publisher's (see x.org) and state it in the configuration: {how}"
    )
    stated = wanted.pinned({"sd": {"config.json": DIGEST, "unet/config.json": found}})
    assert stated.hashes == {"model.safetensors": DIGEST, "config.json": DIGEST, "unet/config.json": found}
    assert obtain(stated, tmp_path) == tmp_path / "sd"
    assert len(server.asked) == 2


def test_of_another_model_every_hash_is_stated_and_no_file_of_the_first_is_used(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "HUB", server.url.rpartition("/")[0])
    first = several(server.url)
    obtain(first, tmp_path)
    server.content = b"another model"
    other = first.of("owner/model@1f")
    digest = hashlib.sha256(server.content).hexdigest()
    block = f"{{unet/model.safetensors: {digest}, config.json: {digest}}}"
    said = missing(other, tmp_path) or ""
    assert f"into {tmp_path / 'hub' / 'owner' / 'model' / '1f'}; " in said
    assert said.endswith("`checkpoints: {hashes: {sd: {unet/model.safetensors: …, config.json: …}}}`")
    # that the project knows the hashes of the first model is of no use
    with pytest.raises(UserError) as refusal:
        obtain(other.pinned({}), tmp_path)
    assert "published sha256 of unet/model.safetensors, config.json; compare" in str(refusal.value)
    assert str(refusal.value).endswith(f"`checkpoints: {{hashes: {{sd: {block}}}}}`")
    with pytest.raises(UserError, match=r"published sha256 of config\.json; compare"):
        obtain(other.pinned({"sd": {"unet/model.safetensors": digest}}), tmp_path)
    place = obtain(other.pinned({"sd": dict.fromkeys(other.hashes, digest)}), tmp_path)
    assert place == tmp_path / "hub" / "owner" / "model" / "1f"
    assert (place / "config.json").read_bytes() == server.content
    assert (tmp_path / "sd" / "config.json").read_bytes() == CONTENT
    # the hashes of one model, left behind when the other was named
    with pytest.raises(UserError, match="is not the published file"):
        obtain(other.pinned({"sd": dict.fromkeys(other.hashes, DIGEST)}), tmp_path)


def test_a_folder_that_cannot_be_written_to_is_told(server: Served, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("a file")
    with pytest.raises(
        UserError, match=r"cannot be written \(.*\); fix that, or name another folder with `checkpoints.folder`"
    ):
        obtain(single(server.url), tmp_path / "weights")


def packaged(name: str, package: str, digest: str | None = DIGEST) -> Source:
    return Source("vgg", (File(name, "https://x.org", digest, None, package),), "", "MIT", "install it again")


def test_a_file_of_a_package_is_used_where_it_is_and_verified(tmp_path: Path) -> None:
    """Any package will do: this test's own tool is one."""
    place = Path(pytest.__file__)
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    wanted = packaged("pytest/__init__.py", "pytest", digest)
    assert missing(wanted, tmp_path) is None
    assert obtain(wanted, tmp_path) == place
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError) as error:
        obtain(packaged("pytest/__init__.py", "pytest"), tmp_path)
    said = f"{place}: is not the published file: its sha256 is {digest}, not {DIGEST}; install it again"
    assert str(error.value) == said


def test_a_package_that_is_missing_or_incomplete_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^a\.pth: is part of the Python package no-such-package, which is not installed"
    ):
        obtain(packaged("a.pth", "no-such-package"), tmp_path)
    with pytest.raises(
        UserError, match=r"^a\.pth: .*package pytest, which is incomplete: there is no .*/a\.pth; install"
    ):
        obtain(packaged("a.pth", "pytest"), tmp_path)
    # jobs may have another environment than the process that asks what is missing
    assert missing(packaged("a.pth", "no-such-package"), tmp_path) is None
