"""Jobs through profiles/kubernetes, on a stand-in for a cluster: what pods ask for, and that a killed one goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from site import getsitepackages

import pytest
from kubernetes_stand_in import Cluster, Pod, stand_in
from project import FILES, PARTS, copy_project, environment, files, planned, snakemake

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]

TRAINING = "mni-brain/voxelmorph/deepsim_ae/default/seed1"
TARGET = f"results/smoke/runtimes/train/{TRAINING}.json"


def make_driver(folder: Path, requirements: Path) -> Path:
    """Make the environment that drives Snakemake: the plugins on top of the one that runs this test."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True, check=True
    )
    (Path(where.stdout.strip()) / "below.pth").write_text("\n".join(getsitepackages()))
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
    return python


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[Pod]]:
    """Train a network, whose pod is killed once; give the storage, what Snakemake printed, and the pods."""
    assert shutil.which("rsync"), "rsync: not installed; the storage plugin copies with it"
    folder = tmp_path_factory.mktemp("kubernetes")
    project, storage, log = copy_project(folder / "project"), folder / "storage", folder / "snakemake.log"
    storage.mkdir()
    # pods get what git knows
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    subprocess.run(["git", "add", *PARTS, *FILES], cwd=project, check=True)
    python = make_driver(folder / "driver", project / "profiles" / "kubernetes" / "requirements.txt")
    call = [python, "-m", "snakemake", "--configfile", "config/smoke.yaml", "--profile", "profiles/kubernetes"]
    call += ["--default-storage-prefix", storage, "--seconds-between-status-checks", "1"]
    call += ["--default-resources", "gpu=1", "gpu_manufacturer=nvidia", "scale=0", "--", TARGET]
    with stand_in(folder / "cluster", python.parent) as (cluster, config), log.open("wb") as output:
        whole = environment() | {"KUBECONFIG": str(config)}
        study = subprocess.Popen(call, cwd=project, env=whole, stdout=output, stderr=subprocess.STDOUT)
        try:
            kill_once(cluster, study)
        finally:
            study.kill()
        assert study.wait() == 0, log.read_text()[-3000:] + cluster.logs()
        return storage, log.read_text(), list(cluster.pods.values())


def kill_once(cluster: Cluster, study: subprocess.Popen[bytes], seconds: float = 900) -> None:
    """Wait for the end of a study; kill its training as soon as it could go on."""
    work = cluster.folder / "volumes" / "likeness-work" / "smoke" / "work" / f"train.{TRAINING.replace('/', '.')}"
    end, killed = time.monotonic() + seconds, False
    while study.poll() is None and time.monotonic() < end:
        # the last of what it leaves for the run that goes on
        if not killed and list(work.glob("*/*.checkpoint")) and list(work.glob("*/runtime.json")):
            killed = True
            next(pod for pod in cluster.pods.values() if pod.rule == "train_deepsim_ae").kill()
        time.sleep(0.05)
    assert killed


def test_pods_ask_for_what_rules_state(done: tuple[Path, str, list[Pod]]) -> None:
    _, log, pods = done
    assert [pod.rule for pod in pods] == ["simulate", "prepare", "pretrain", "train_deepsim_ae", "train_deepsim_ae"]
    for pod in pods[:4]:
        needs, asked = planned(log)[pod.rule], pod.container["resources"]
        assert asked["limits"]["memory"] == asked["requests"]["memory"] == f"{needs.mem_mb}M"
        assert asked["limits"]["cpu"] == f"{needs.threads}000m"
        assert int(asked["limits"].get("nvidia.com/gpu", 0)) == needs.gpus
    assert {pod.rule for pod in pods if "nvidia.com/gpu" in pod.container["resources"]["limits"]} == {
        "pretrain",
        "train_deepsim_ae",
    }
    volumes = [volume["persistentVolumeClaim"]["claimName"] for volume in pods[0].spec["volumes"][1:]]
    assert volumes == ["likeness", "likeness-work"]


def test_a_killed_training_goes_on_to_what_a_local_run_gives(done: tuple[Path, str, list[Pod]], tmp_path: Path) -> None:
    storage, _, _ = done
    project = copy_project(tmp_path / "project")
    snakemake(project, "smoke", "--cores", "2", TARGET)
    for kind in (f"models/{TRAINING}", "extractors", "data/mni-brain"):
        expected = files(project / "results" / "smoke" / kind)
        assert expected
        assert files(storage / "results" / "smoke" / kind).items() >= expected.items()
    assert json.loads((storage / TARGET).read_text())["runs"] == 2
