"""Published weights: what extractors say of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from likeness.extractors import sources
from likeness.extractors.sources import source
from likeness.runtime.published import File, Source
from likeness.userinput import cards
from likeness.userinput.errors import UserError

DIGEST = hashlib.sha256(b"weights" * 1000).hexdigest()
SINGLE = {"file": "a.pth", "url": "https://x.org/a.pth", "sha256": DIGEST, "bytes": 7000}
MORE = {"licence": "MIT", "by_hand": "see x.org"}


def written(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Source | None:
    """Read the source of a module of that text."""
    (folder / "vgg.py").write_text(text)
    monkeypatch.setattr(sources, "FOLDER", folder)
    for cached in (source, cards.tree):
        cached.cache_clear()
    try:
        return source("vgg")
    finally:
        for cached in (source, cards.tree):
            cached.cache_clear()


def test_what_a_module_says_is_read_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = written(monkeypatch, tmp_path, f"import no_such_module\nSOURCE = {SINGLE | MORE}\n")
    assert found == Source("vgg", (File("a.pth", "https://x.org/a.pth", DIGEST, 7000),), "", "MIT", "see x.org")
    assert found.place(Path("data")) == Path("data/a.pth")
    other = SINGLE | {"file": "sub/b.pth", "sha256": None, "bytes": None}
    found = written(monkeypatch, tmp_path, f"SOURCE = {MORE | {'files': [SINGLE, other]}}\n")
    assert found is not None
    assert found.place(Path("data")) == Path("data/vgg")
    assert [found.path(file, Path("data")) for file in found.files] == [
        Path("data/vgg/a.pth"),
        Path("data/vgg/sub/b.pth"),
    ]
    assert written(monkeypatch, tmp_path, "BUILT = 1\n") is None
    assert source("no_such_extractor") is None


def test_files_of_a_model_on_the_hub_lie_where_its_name_and_revision_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = {"file": "sub/a.pth", "sha256": DIGEST, "bytes": 7000}
    found = written(monkeypatch, tmp_path, f"SOURCE = {MORE | {'files': [file], 'hub': 'owner/model@1f'}}")
    assert found is not None
    assert found.files == (File("sub/a.pth", "https://huggingface.co/owner/model/resolve/1f/sub/a.pth", DIGEST, 7000),)
    assert found.place(Path("data")) == Path("data/vgg")
    assert found.of("owner/model@1f") is found
    other = found.of("own.er/mo-del@v_2")
    url = "https://huggingface.co/own.er/mo-del/resolve/v_2/sub/a.pth"
    assert other.files == (File("sub/a.pth", url, None, None),)
    assert other.path(other.files[0], Path("data")) == Path("data/hub/own.er/mo-del/v_2/sub/a.pth")
    assert found.identity == {"sub/a.pth": DIGEST}
    assert other.identity == {"sub/a.pth": None, "hub": "own.er/mo-del@v_2"}


@pytest.mark.parametrize(
    "text", ["SOURCE = {'file': NAME}", f"SOURCE = {SINGLE}", "SOURCE = 1", "SOURCE = {'files': 'a'}"]
)
def test_a_source_that_lacks_something_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"vgg.py: SOURCE is not a literal with file, url, sha256"):
        written(monkeypatch, tmp_path, text)


def test_a_module_that_is_no_python_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"vgg.py: line 2 is not valid Python"):
        written(monkeypatch, tmp_path, "a = 1\nb = (")


def test_every_source_of_the_project_is_complete_and_over_https() -> None:
    for path in sources.FOLDER.glob("*.py"):
        found = source(path.stem)
        for file in found.files if found else ():
            assert file.url.startswith("https://")
            assert file.sha256 is None or len(file.sha256) == 64
            assert file.size is None or file.size > 0


def test_of_stable_diffusion_three_small_files_have_no_known_hash() -> None:
    found = source("stable_diffusion")
    assert found is not None
    unknown = [name for name, digest in found.hashes.items() if digest is None]
    assert unknown == [
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "tokenizer/special_tokens_map.json",
    ]
