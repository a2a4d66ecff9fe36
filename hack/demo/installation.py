"""The product on one cluster: the objects of `config/default` (or of another base), and its operators as processes with the shipped
flags and roles.

The Deployments' pods are played by processes: the same module, the same arguments and variables, a token that `kubectl create token`
issued to the same ServiceAccount. Only what a laptop forces is added: free ports on loopback, the kubeconfig, the addresses of the cloud.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import yaml

from hack.render.kustomize import Document, kubectl, render, to_yaml
from test.support.processes import Process

NAMESPACE = "kaito-system"
OPERATORS = {"kaito-controller": "kaito_controller", "gpu-provisioner": "gpu_provisioner"}
START_TIMEOUT_S = 60.0
TOKEN_DURATION = "24h"


class CommandFailed(RuntimeError):
    """A kubectl command did not succeed; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A running replica and the ports it serves on."""

    process: Process
    probes_port: int
    metrics_port: int

    def answers(self, path: str = "/readyz") -> bool:
        """Does the probe say 200?"""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.probes_port}{path}", timeout=2) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False


@dataclass
class Installation:
    """A context manager, which stops the operators. `environment` is what the cloud of the cluster asks the provisioner to know."""

    kubeconfig: Path
    folder: Path
    environment: Mapping[str, str]
    interpreter: Sequence[str] = (sys.executable,)
    settings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Further flags, by operator."""
    announce: Callable[[str, int], None] = lambda service, port: None
    """Told which port is behind the Service of an operator's metrics, for a cluster that can lead there."""
    base: str = "default"
    """Which folder of `config/` is installed; operators without a Deployment there are not started."""
    operators: dict[str, Operator] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def _rendered(self) -> list[Document]:
        return render(self.base)

    def install(self) -> int:
        """`kubectl apply -k` of the base without the Deployments; the number of objects."""
        documents = [document for document in self._rendered if document["kind"] != "Deployment"]
        definitions = [document for document in documents if document["kind"] == "CustomResourceDefinition"]
        self.apply(to_yaml(definitions))
        names = [f"crd/{document['metadata']['name']}" for document in definitions]
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
        self.apply(to_yaml([document for document in documents if document not in definitions]))
        return len(documents)

    def start_operators(self) -> None:
        """Start every binary that has a Deployment and wait until each is ready."""
        for document in self._rendered:
            if document["kind"] == "Deployment":
                name = document["metadata"]["name"]
                self.operators[name] = self.start_operator(name)
        for name, operator in self.operators.items():
            operator.process.wait_for(operator.answers, START_TIMEOUT_S, f"{name} to be ready")
            self.announce(f"{name}-metrics", operator.metrics_port)

    def start_operator(self, name: str) -> Operator:
        """Start one replica; it need not be ready yet."""
        probes, metrics = free_port(), free_port()
        container = self._container(name)
        flags = (
            *container["args"],
            f"--health-probe-bind-address=127.0.0.1:{probes}",
            f"--metrics-bind-address=127.0.0.1:{metrics}",
            f"--kubeconfig={self.service_account_kubeconfig(name)}",
            *self.settings.get(name, ()),
        )
        command = [*self.interpreter, "-m", OPERATORS[name], *flags]
        variables = _variables(container) | (dict(self.environment) if name == "gpu-provisioner" else {})
        process = Process(command, env=variables, name=name, log_dir=self.folder, cwd=self.folder)
        self._stack.enter_context(process.start())
        return Operator(process, probes, metrics)

    def service_account_kubeconfig(self, name: str) -> Path:
        """A kubeconfig with a token of the ServiceAccount, in a file as the kubelet would project it."""
        token = self.folder / f"{name}.token"
        token.touch(mode=0o600)
        token.write_text(self.kubectl("-n", NAMESPACE, "create", "token", name, f"--duration={TOKEN_DURATION}").strip())
        document = yaml.safe_load(self.kubeconfig.read_text())
        for user in document["users"]:
            user["user"] = {"tokenFile": str(token)}
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator; its output. Raises CommandFailed."""
        # With a cache of its own, so that nothing of a cluster that is gone tomorrow stays in the user's home.
        command = [kubectl(), f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.folder / 'kubectl'}", *arguments]
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

    def _container(self, name: str) -> Document:
        """The container of a shipped Deployment."""
        for document in self._rendered:
            if document["kind"] == "Deployment" and document["metadata"]["name"] == name:
                container: Document = document["spec"]["template"]["spec"]["containers"][0]
                return container
        raise LookupError(f"config/{self.base} has no Deployment {name}")


def _variables(container: Document) -> dict[str, str]:
    """The container's variables; those that the kubelet would fill in hold the namespace."""
    return {variable["name"]: variable.get("value", NAMESPACE) for variable in container["env"]}


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
