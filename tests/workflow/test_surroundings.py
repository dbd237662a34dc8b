"""What a study meets beside its configuration: files that may not be read, folders that take nothing, full disks,
broken weights. One sentence on the terminal, before any job where it can be told, and earlier results as they were.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from builders import make_dataset
from project import Smoke, copy_project, copy_with_results, files
from safetensors.torch import save

CONFIG: dict[str, Any] = {
    "title": "Small",
    "results": "results/small",
    "datasets": {"own": {"folder": "own"}},
    "losses": {"mse": None, "deepsim_ae": None},
    "methods": {"voxelmorph": {"channels_2d": [4, 4], "norm": "none"}},
    "training": {"steps": 2, "batch": 1, "validate_every": 1, "lambda": {"grid": [1]}},
    "pretraining": {"steps": 2, "batch": 1, "validate_every": 1, "channels_2d": [4, 4], "norm": "none"},
}
DROP_BOUND = 24
"""Of prctl(2): take a capability away from whatever is executed next."""
OVERRIDES = (1, 2)
"""The capabilities by which root reads and writes whatever permissions say."""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A copy of the project with a dataset and an earlier result."""
    folder = copy_project(tmp_path / "project")
    set_up(folder)
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def set_up(folder: Path, size: int = 16) -> None:
    make_dataset(folder / "own", size=size, images={"train": 2, "val": 2, "test": 2})
    (folder / "config" / "small.yaml").write_text(yaml.safe_dump(CONFIG))
    earlier = folder / "results" / "small" / "tables" / "summary.csv"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("an earlier result")


def bind_to_permissions() -> None:
    """Let permissions bind root too."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in OVERRIDES:
            if libc.prctl(DROP_BOUND, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")


def call(
    project: Path, *targets: str, config: str = "small", mount: str = "", make: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the study as somebody whom permissions bind, or, where something is to be mounted, in a world of its own."""
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", "1", "--configfile", f"config/{config}.yaml"]
    if make:
        command = ["make", "figures", f"CONFIG=config/{config}.yaml", "CORES=1"]
    if mount:
        # visible to this command alone, and gone when it ends; needs no rights where user namespaces are allowed
        command = ["unshare", "-rm", "bash", "-c", f'{mount} && exec "$@"', "bash", *command]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command,
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=None if mount else bind_to_permissions,
    )


def refused(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    """The sentence stands on a line of its own, there is no traceback, and no job ran."""
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2), said
    assert [line for line in said.splitlines() if line.startswith(sentence)], said
    assert "Traceback" not in said, said
    assert "Error in rule" not in said, said


def test_an_image_that_may_not_be_read(project: Path) -> None:
    before = files(project / "results")
    (project / "own" / "image" / "val1.png").chmod(0)
    refused(
        call(project),
        "config/small.yaml: key 'datasets.own.folder': own/image/val1.png: cannot be read by this user; change its",
    )
    assert files(project / "results") == before


def test_a_folder_that_may_not_be_read(project: Path) -> None:
    before = files(project / "results")
    (project / "own").chmod(0)
    said = "key 'datasets.own.folder': own/dataset.yaml: cannot be read by this user; change its permissions or those"
    refused(call(project), f"config/small.yaml: {said}")
    assert files(project / "results") == before


@pytest.mark.parametrize("make", [False, True])
def test_a_results_folder_that_may_not_be_written(project: Path, make: bool) -> None:
    before = files(project / "results")
    (project / "results" / "small").chmod(0o555)
    said = "config/small.yaml: key 'results': results/small: permission denied; change the permissions, or set"
    refused(call(project, make=make), said)
    assert files(project / "results") == before


def test_a_project_folder_that_may_not_be_written(project: Path) -> None:
    """Snakemake itself would end with a traceback."""
    project.chmod(0o555)
    said = f"{project}/.snakemake: Snakemake cannot write its state here (Permission denied); free some space"
    refused(call(project, make=True), said)


@pytest.fixture
def mounting() -> None:
    """Skip where nothing can be mounted: then there is no disk to be filled."""
    done = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"neither root nor user namespaces to mount a small disk: {done.stderr.decode().strip()}")


@pytest.mark.usefixtures("mounting")
@pytest.mark.parametrize("make", [False, True])
def test_a_read_only_disk(project: Path, make: bool) -> None:
    if not make:
        # Snakemake has a sentence of its own for results that it would have to replace
        (project / "results" / "small" / "tables" / "summary.csv").unlink()
    before = files(project / "results")
    done = call(project, mount="mount --bind results results && mount -o remount,bind,ro results", make=make)
    refused(done, "config/small.yaml: key 'results': results/small: the file system is read-only; set the key")
    assert files(project / "results") == before


@pytest.mark.usefixtures("mounting")
@pytest.mark.parametrize("make", [False, True])
def test_a_full_disk(project: Path, make: bool) -> None:
    done = call(project, mount="mount -t tmpfs -o size=512k none results && mkdir results/small", make=make)
    refused(done, "config/small.yaml: key 'results': results/small: the disk is full; free some space and run again")
    assert "MB are free)" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("mounting")
def test_a_disk_that_fills_up_under_a_job(project: Path) -> None:
    """The job ends with a sentence, and its log, if there is room for it, has the traceback."""
    shutil.rmtree(project / "own")
    make_dataset(project / "own", size=300, images={"train": 2, "val": 2, "test": 2})
    done = call(project, "results/small/data/own", mount="mount -t tmpfs -o size=1200k none results")
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "Error in rule prepare" in said
    assert "results/small/data/own: the disk is full; free some space and run again, finished files are kept" in said
    assert "Traceback" not in said, said


class Evil:
    """Unpickled, it leaves a file behind."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


RUN = "mni-brain/voxelmorph/{loss}/default/seed1"


@pytest.fixture(scope="module")
def trained(smoke_study: Smoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with an extractor and two trainings."""
    return copy_with_results(smoke_study.kept, tmp_path_factory.mktemp("trained") / "project")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pickle", "other"])
def test_broken_weights_end_a_job_with_a_sentence(trained: Path, tmp_path: Path, kind: str) -> None:
    results = trained / "results" / "smoke"
    model = results / "models" / RUN.format(loss="mse") / "0.1.safetensors"
    extractor = results / "extractors" / "mni-brain" / "autoencoder" / "seed1.safetensors"
    before = {path: path.read_bytes() for path in (model, extractor)}
    for path in before:
        path.write_bytes(pickle.dumps(Evil(tmp_path / "ran")) if kind == "pickle" else save({"weight": torch.zeros(3)}))
    for sample in results.glob("samples/**/*.npz"):
        sample.unlink()
    samples = [f"results/smoke/samples/{RUN.format(loss=loss)}.npz" for loss in ("mse", "deepsim_ae")]
    done = call(trained, *samples, config="smoke")
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "Traceback" not in said, said
    wrong = "contains no weights (" if kind == "pickle" else "contains weights of another architecture than the study's"
    for path, source in ((model, model.parent), (extractor, extractor)):
        lines = [line for line in said.splitlines() if line.startswith(f"{path.relative_to(trained)}: {wrong}")]
        assert lines, said
        assert lines[0].endswith(f"delete {source.relative_to(trained)} and run again to recreate it")
    assert "Traceback" in (results / "logs" / "register" / f"{RUN.format(loss='mse')}.log").read_text()
    assert not (tmp_path / "ran").exists()
    for path, content in before.items():
        path.write_bytes(content)
