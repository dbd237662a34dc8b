"""As much of a Kubernetes cluster's API as Snakemake's plugin asks for; a pod is a process on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WORK = "/workdir/"
"""Where a pod's volumes can be made to appear; the others are used where they lie."""
HIDDEN = ("KUBECONFIG", "CUDA_VISIBLE_DEVICES")


@dataclass
class Pod:
    """A job that was created, and the process that runs it."""

    spec: dict[str, Any]
    process: subprocess.Popen[bytes]

    @property
    def container(self) -> dict[str, Any]:
        """What the pod runs and asks for."""
        return self.spec["containers"][0]

    @property
    def rule(self) -> str:
        """The rule of its job."""
        return re.search(r"--allowed-rules (\w+)", self.container["args"][-1])[1]  # type: ignore[index]

    @property
    def status(self) -> dict[str, int]:
        """What the API says of it."""
        code = self.process.poll()
        return {"active" if code is None else "failed" if code else "succeeded": 1}

    def kill(self) -> None:
        """End it as an eviction does that has no patience."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


@dataclass
class Cluster:
    """The pods of a cluster whose image is an environment of this machine.

    Args:
        folder: for the pods' working directories, logs and volumes.
        binaries: what an image would have on its path first.
    """

    folder: Path
    binaries: Path
    pods: dict[str, Pod] = field(default_factory=dict)

    def create(self, name: str, spec: dict[str, Any]) -> None:
        """Start a pod."""
        place = self.folder / "pods" / name
        place.mkdir(parents=True)
        container = spec["containers"][0]
        for mount in container["volumeMounts"]:
            if mount["mountPath"].startswith(WORK):
                volume = self.folder / "volumes" / mount["name"]
                volume.mkdir(parents=True, exist_ok=True)
                (place / mount["mountPath"].removeprefix(WORK)).symlink_to(volume)
        environment = {key: value for key, value in os.environ.items() if key not in HIDDEN}
        environment |= {"PATH": f"{self.binaries}:{os.environ['PATH']}", "KUBERNETES_SERVICE_HOST": "stand-in"}
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                container["command"] + container["args"],
                cwd=place,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pods[name] = Pod(spec, process)

    def delete(self, name: str) -> None:
        """End a pod and remove what lay in it."""
        self.pods[name].kill()
        shutil.rmtree(self.folder / "pods" / name, ignore_errors=True)

    def logs(self) -> str:
        """Give the ends of what the pods printed."""
        return "\n".join(f"{path.name}\n{path.read_text()[-2000:]}" for path in sorted(self.folder.glob("*.log")))


def _answers(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Answers(BaseHTTPRequestHandler):
        def _body(self) -> dict[str, Any]:
            return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")

        def _answer(self, content: dict[str, Any]) -> None:
            text = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            body = self._body()
            if self.path.endswith("/jobs"):
                cluster.create(body["metadata"]["name"], body["spec"]["template"]["spec"])
            self._answer(body)

        def do_GET(self) -> None:
            job = re.search(r"/jobs/([\w-]+)/status", self.path)
            self._answer({"status": cluster.pods[job[1]].status} if job else {"items": []})

        def do_DELETE(self) -> None:
            self._body()
            if job := re.search(r"/jobs/([\w-]+)", self.path):
                cluster.delete(job[1])
            self._answer({"status": "Success"})

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Answers


@contextmanager
def stand_in(folder: Path, binaries: Path) -> Iterator[tuple[Cluster, Path]]:
    """Run a cluster for the length of a block; give it, and the file that tells clients where it is."""
    folder.mkdir()
    cluster = Cluster(folder, binaries)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _answers(cluster))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    client = {
        "clusters": [{"name": "stand-in", "cluster": {"server": address}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "stand-in", "user": "nobody"}}],
        "current-context": "here",
    }
    config = folder / "kubeconfig"
    config.write_text(json.dumps(client))
    try:
        yield cluster, config
    finally:
        for pod in cluster.pods.values():
            pod.kill()
        server.shutdown()
