"""Everything that runs on the laptop: localcluster and the two operators, each a process of its own, and a kubectl pointed at them.

The operators are installed as on any cluster (`config/default`, with exactly the shipped roles) but for their Deployments: here they
run from this checkout, with tokens that `kubectl create token` issued to their service accounts.
"""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import yaml

from hack.render.kustomize import kubectl, render, to_yaml
from test.support.processes import Process

NAMESPACE = "kaito-system"
OPERATORS = {"kaito-controller": "kaito_controller", "gpu-provisioner": "gpu_provisioner"}
START_TIMEOUT_S = 60.0
TOKEN_DURATION = "24h"


class CommandFailed(RuntimeError):
    """A kubectl command did not succeed; the message is what it said."""


class World:
    """A context manager. `kubeconfig` is the administrator's; `folder` holds logs and credentials."""

    def __init__(self, folder: Path, *, time_scale: float) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.admin_url = ""
        self.time_scale = time_scale
        self._environment: dict[str, str] = {}
        self._stack = ExitStack()
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_cluster(self) -> None:
        """Bring localcluster up; returns when it is ready."""
        cluster = self._start(
            "localcluster", "hack.localcluster", "up", "--dir", str(self.folder), "--time-scale", str(self.time_scale)
        )
        cluster.wait_for_output("^# ready", START_TIMEOUT_S)
        for line in cluster.output.splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                self._environment[name] = shlex.split(value)[0] if value else ""
            elif line.startswith("# admin endpoint"):
                self.admin_url = line.split()[-1]

    def install(self) -> int:
        """`kubectl apply -k config/default` without the Deployments; the number of objects."""
        documents = [document for document in render("default") if document["kind"] != "Deployment"]
        definitions = [document for document in documents if document["kind"] == "CustomResourceDefinition"]
        self.apply(to_yaml(definitions))
        names = [f"crd/{document['metadata']['name']}" for document in definitions]
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
        self.apply(to_yaml([document for document in documents if document not in definitions]))
        return len(documents)

    def start_operators(self) -> None:
        """Start both binaries and wait until each is ready."""
        probes = {name: self._start_operator(name, module) for name, module in OPERATORS.items()}
        for name, port in probes.items():
            self.processes[name].wait_for(lambda port=port: _answers(port), START_TIMEOUT_S, f"{name} to be ready")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator; its output. Raises CommandFailed."""
        command = [kubectl(), "--kubeconfig", str(self.kubeconfig), *arguments]
        reply = subprocess.run(command, capture_output=True, text=True, input=stdin, check=False)
        if reply.returncode != 0:
            raise CommandFailed(reply.stderr.strip() or reply.stdout.strip())
        return reply.stdout or reply.stderr  # `No resources found` is said on stderr

    def apply(self, manifest: str) -> str:
        """`kubectl apply -f -`."""
        return self.kubectl("apply", "-f", "-", stdin=manifest)

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        """`kubectl get … -o json`, as a list."""
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "-o", "json"))["items"]
        return items

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """A request to localcluster's admin endpoint."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.admin_url}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read() or b"null")

    def _start_operator(self, name: str, module: str) -> int:
        port = _free_port()
        metrics = _free_port()
        flags = (
            f"--health-probe-bind-address=127.0.0.1:{port}",
            f"--metrics-bind-address=127.0.0.1:{metrics}",
            f"--kubeconfig={self._service_account_kubeconfig(name)}",
            *((f"--time-scale={self.time_scale:g}",) if module == "gpu_provisioner" else ()),
        )
        environment = {key: value for key, value in self._environment.items() if module == "gpu_provisioner"}
        self._start(name, module, *flags, env={**environment, "POD_NAMESPACE": NAMESPACE})
        return port

    def _service_account_kubeconfig(self, name: str) -> Path:
        token = self.folder / f"{name}.token"
        token.write_text(self.kubectl("-n", NAMESPACE, "create", "token", name, f"--duration={TOKEN_DURATION}").strip())
        token.chmod(0o600)
        document = yaml.safe_load(self.kubeconfig.read_text())
        for user in document["users"]:
            user["user"] = {"tokenFile": str(token)}
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path

    def _start(self, name: str, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> Process:
        process = Process.module(module, *arguments, env=env, log_dir=self.folder)
        self.processes[name] = self._stack.enter_context(process.start())
        return process


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
