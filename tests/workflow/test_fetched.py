"""Studies with published weights, from a server on this machine: fetched, resumed, put there by hand, trained with."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from builders import make_dataset
from edits import change, library, library_at, todo
from file_server import Served, serving
from project import command, copy_project, environment, snakemake
from tracing import complete, traced

EXTRACTOR = '''"""An extractor that somebody published."""

from pathlib import Path

import torch
from torch import Tensor, nn

from likeness.extractors.base import Extractor

SOURCE = {source}


class Blurred(Extractor):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, padding=1)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.first(image.to(self.first.weight.dtype)).relu()]


def build(config: dict) -> Blurred:
    return Blurred(config["channels"])


def read(path: Path) -> tuple[dict, dict[str, Tensor]]:
    state = torch.load(path, weights_only=True)
    del state["padding"]
    return {{"channels": len(state["bias"])}}, {{f"first.{{key}}": value for key, value in state.items()}}
'''
LOSS = '''"""Borrowed: features that somebody published."""

from likeness.losses._features import FeatureLoss

CARD = {
    "title": "Borrowed",
    "order": 299,
    "colour": "#123456",
    "marker": "x",
    "formula": "0",
    "range": [0, 2],
    "doi": None,
    "dimensions": [2],
    "supervision": "external",
    "extractor": "borrowed",
    "shares": ["_features"],
    "grid": [1.0],
}


class Loss(FeatureLoss):
    """Cosine of its features."""
'''
RULE = """use rule train as train_borrowed with:
    wildcard_constraints:
        loss="borrowed",
"""
STUDY: dict[str, Any] = {
    "title": "Published weights",
    "results": "results/borrowed",
    "datasets": {"flat": {"folder": "own/flat"}},
    "losses": {"borrowed": None},
    "methods": {"voxelmorph": {"channels_2d": [4, 8], "norm": "none"}},
    "training": {"steps": 4, "batch": 1, "validate_every": 2, "lambda": {"grid": [0.5]}},
}
RECORD = "results/borrowed/checkpoints/borrowed.json"
CONVERTED = "results/borrowed/extractors/borrowed.safetensors"
MODEL = "results/borrowed/models/flat/voxelmorph/borrowed/default/seed1"
FILE = "data/checkpoints/borrowed.pth"


def published() -> bytes:
    """Give a file of weights that is not too small to be interrupted."""
    torch.manual_seed(0)
    buffer = io.BytesIO()
    torch.save({"weight": torch.randn(4, 1, 3, 3), "bias": torch.randn(4), "padding": torch.randn(1_000_000)}, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving(published()) as served:
        yield served


@pytest.fixture
def project(server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with an extractor and a loss more, and a study of them; nothing is fetched yet."""
    monkeypatch.setenv("no_proxy", "*")
    server.asked.clear()
    server.drops, server.pause, server.statuses = [], 0.0, []
    folder = copy_project(tmp_path / "project")
    # or a test would wait for a quarter of a minute until a server was asked five times that is not there
    change(library(folder) / "runtime" / "download.py", ("PAUSE_SECONDS = 1.0", "PAUSE_SECONDS = 0.1"))
    write_extractor(folder, server)
    (library(folder) / "losses" / "borrowed.py").write_text(LOSS)
    (folder / "workflow" / "rules" / "losses" / "borrowed.smk").write_text(RULE)
    make_dataset(folder / "own" / "flat", 2, 32, with_field=True)
    configure(folder)
    return folder


def write_extractor(folder: Path, server: Served, digest: str | None = "", url: str = "") -> None:
    source = {
        "file": "borrowed.pth",
        "url": url or server.url,
        "sha256": hashlib.sha256(server.content).hexdigest() if digest == "" else digest,
        "bytes": len(server.content),
        "licence": "MIT",
        "by_hand": "open the address in a browser",
    }
    (library(folder) / "extractors" / "borrowed.py").write_text(EXTRACTOR.format(source=source))


def configure(folder: Path, **changes: Any) -> None:
    (folder / "config" / "borrowed.yaml").write_text(yaml.safe_dump(STUDY | changes))


def fails(folder: Path, *arguments: str) -> str:
    """Run Snakemake, which has to fail, and give what it printed."""
    call = command("borrowed", *arguments)
    done = subprocess.run(call, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_study_with_published_weights_fetches_them_once_and_trains(project: Path, server: Served) -> None:
    assert todo(project, "borrowed", MODEL) == {"fetch": 1, "convert": 1, "prepare": 1, "train_borrowed": 1}
    with traced(project / "loaded"):
        said = snakemake(project, "borrowed", "--cores", "1", MODEL).stderr
    with library_at(library(project)):
        # what is fetched is held against its hash, which is among the params in place of code
        assert complete(project / "loaded") == {"fetch": False, "convert": True, "prepare": True, "train": True}
    digest = hashlib.sha256(server.content).hexdigest()
    assert f"borrowed.pth: will be downloaded from {server.url} (4 MB; licence: MIT) into data/checkpoints" in said
    assert (project / FILE).read_bytes() == server.content
    described = json.loads((project / CONVERTED).with_suffix(".json").read_text())
    assert described["architecture"] == {"name": "borrowed", "channels": 4}
    assert described["hashes"] == {"borrowed.pth": digest}
    assert described["source"] == {"files": {"borrowed.pth": server.url}, "licence": "MIT"}
    assert (project / MODEL / "training.json").is_file()
    # the file served its purpose; and an address, a licence or a comment that changes makes nothing anew
    (project / FILE).unlink()
    configure(project, checkpoints={"folder": "elsewhere"})
    write_extractor(project, server, url="https://example.org/b.pth")
    assert todo(project, "borrowed", MODEL) == {}
    # another study has the file already
    (project / "elsewhere").mkdir()
    (project / "elsewhere" / "borrowed.pth").write_bytes(server.content)
    configure(project, checkpoints={"folder": "elsewhere"}, results="results/other")
    snakemake(project, "borrowed", "--cores", "1", CONVERTED.replace("borrowed/", "other/", 1))
    assert len(server.asked) == 1


@pytest.mark.slow
def test_a_fetch_that_is_killed_is_gone_on_with(project: Path, server: Served) -> None:
    server.pause = 0.1
    part = project / f"{FILE}.part"
    call = command("borrowed", "--cores", "1", RECORD)
    with subprocess.Popen(call, cwd=project, env=environment(), start_new_session=True) as process:
        while not part.exists() or part.stat().st_size < 500_000:
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    server.pause = 0.0
    length = part.stat().st_size
    assert not (project / FILE).exists()
    snakemake(project, "borrowed", "--cores", "1", RECORD)
    assert server.asked[0] == ""
    first = int(server.asked[-1].removeprefix("bytes=").removesuffix("-"))
    assert first >= length
    assert (project / FILE).read_bytes() == server.content
    assert not part.exists()


@pytest.mark.slow
def test_without_a_network_the_file_is_put_there_by_hand_and_stays(project: Path, server: Served) -> None:
    digest = hashlib.sha256(server.content).hexdigest()
    write_extractor(project, server, url="https://localhost:9/borrowed.pth")
    said = fails(project, "--cores", "1", CONVERTED)
    assert f"download it on another machine (open the address in a browser) and copy it to {FILE};" in said
    assert f"; sha256 {digest}" in said
    file = project / FILE
    file.write_bytes(b"something else")
    for _ in range(2):
        said = fails(project, "--cores", "1", CONVERTED)
        assert f"{FILE}: is not the published file: its sha256 is " in said
        assert file.read_bytes() == b"something else"
    file.write_bytes(server.content)
    before = file.stat()
    snakemake(project, "borrowed", "--cores", "1", CONVERTED)
    # whatever is forced or starts over, the file of a person is not touched
    snakemake(project, "borrowed", "--cores", "1", "--forceall", CONVERTED)
    snakemake(project, "borrowed", "--delete-all-output", CONVERTED)
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert file.stat().st_ino == before.st_ino


@pytest.mark.slow
def test_a_hash_that_the_project_does_not_know_is_stated_by_the_study(project: Path, server: Served) -> None:
    write_extractor(project, server, digest=None)
    digest = hashlib.sha256(server.content).hexdigest()
    stated = f"`checkpoints: {{hashes: {{borrowed: {digest}}}}}`"
    assert f"state it in the configuration: {stated}" in fails(project, "--cores", "1", CONVERTED)
    assert not (project / FILE).exists()
    configure(project, checkpoints={"hashes": {"borrowed": digest}})
    snakemake(project, "borrowed", "--cores", "1", CONVERTED)
    # all of it had arrived
    assert server.asked == [""]


@pytest.mark.slow
def test_another_model_on_the_hub_is_fetched_anew_and_never_mistaken(project: Path, server: Served) -> None:
    of_hub(project, server)
    digest = hashlib.sha256(server.content).hexdigest()
    snakemake(project, "borrowed", "--cores", "1", CONVERTED)
    assert (project / "data" / "checkpoints" / "borrowed" / "borrowed.pth").read_bytes() == server.content
    assert todo(project, "borrowed", CONVERTED) == {}
    # of which no hash is stated
    configure(project, checkpoints={"sources": {"borrowed": "other/model@2"}})
    assert todo(project, "borrowed", CONVERTED) == {"fetch": 1, "convert": 1}
    stated = f"`checkpoints: {{hashes: {{borrowed: {{borrowed.pth: {digest}}}}}}}`"
    assert f"state it in the configuration: {stated}" in fails(project, "--cores", "1", CONVERTED)
    # of which another is stated
    said = {"sources": {"borrowed": "other/model@2"}, "hashes": {"borrowed": {"borrowed.pth": "0" * 64}}}
    configure(project, checkpoints=said)
    assert f"not {'0' * 64}" in fails(project, "--cores", "1", CONVERTED)
    configure(project, checkpoints=said | {"hashes": {"borrowed": {"borrowed.pth": digest}}})
    snakemake(project, "borrowed", "--cores", "1", CONVERTED)
    described = json.loads((project / CONVERTED).with_suffix(".json").read_text())
    base = server.url.rpartition("/")[0]
    assert described["source"]["files"] == {"borrowed.pth": f"{base}/other/model/resolve/2/borrowed.pth"}
    assert (project / "data" / "checkpoints" / "hub" / "other" / "model" / "2" / "borrowed.pth").is_file()
    # another revision, with the hashes as they were
    configure(project, checkpoints=said | {"sources": {"borrowed": "other/model@3"}})
    assert todo(project, "borrowed", CONVERTED) == {"fetch": 1, "convert": 1}


def of_hub(folder: Path, server: Served) -> None:
    """Make the file that somebody published one of a model on a hub, which is the server."""
    change(library(folder) / "runtime" / "published.py", ("https://huggingface.co", server.url.rpartition("/")[0]))
    digest = hashlib.sha256(server.content).hexdigest()
    source = {
        "hub": "owner/model@1",
        "files": [{"file": "borrowed.pth", "sha256": digest, "bytes": len(server.content)}],
        "licence": "MIT",
        "by_hand": "see the hub",
    }
    text = EXTRACTOR.format(source=source).replace("torch.load(path,", 'torch.load(path / "borrowed.pth",')
    (library(folder) / "extractors" / "borrowed.py").write_text(text)


@pytest.mark.slow
def test_an_extractor_of_another_dataset_goes_through_the_same_jobs(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    for name in ("here", "there"):
        make_dataset(folder / "own" / name, 2, 32, with_field=True, seed=len(name))
    variants = {"moved": {"trained_on": "there"}}
    pretraining = {"steps": 4, "batch": 1, "validate_every": 2, "channels_2d": [4, 8]}
    configure(
        folder,
        datasets={name: {"folder": f"own/{name}"} for name in ("here", "there")},
        losses={"deepsim_ae": {"variants": variants}},
        pretraining=pretraining,
        statistics={"simulations": 200},
    )
    moved = "results/borrowed/models/here/voxelmorph/deepsim_ae/moved/seed1"
    said = snakemake(folder, "borrowed", "--dry-run", moved).stdout
    [inputs] = re.findall(r"rule train_deepsim_ae:\n    input: (.*)\n", said)
    weights = "results/borrowed/extractors/there/autoencoder/seed1"
    assert inputs == f"results/borrowed/data/here, {weights}.safetensors, {weights}.json"
    # on the dataset that it is of there is no such variant
    assert todo(folder, "borrowed")["train_deepsim_ae"] == 3
    assert todo(folder, "borrowed", "--config", "only_datasets=here")["train_deepsim_ae"] == 2
    snakemake(folder, "borrowed", "--cores", "1", moved)
    assert json.loads((folder / moved / "provenance.json").read_text())["options"]["trained_on"] == "there"
