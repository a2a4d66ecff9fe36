"""A cluster with our CRDs and admission policy: `KUBECONFIG_UNDER_TEST`, else localcluster's API server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.errors import ApiError
from controller_runtime.resources import Object
from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from kaito_controller.api.capacity import CAPACITY_TYPE
from kaito_controller.api.labels import WORKSPACES
from test.support.kubectl import Kubectl
from test.support.processes import wait_until
from test.support.workspaces import changed, good

CONFIG = Path(__file__).resolve().parents[3] / "config"
NAMESPACE = f"admission-{os.getpid()}"
"""One of its own for each run: on a server without controllers a deleted namespace never goes away."""


@dataclass(frozen=True)
class Cluster:
    """Both ways to talk to it."""

    client: Client
    kubectl: Kubectl

    def install(self) -> str:
        """Apply CRDs and policies; standard error, where the server's warnings are."""
        files = [CONFIG / "crd" / "kaito.sh_workspaces.yaml", CONFIG / "crd" / "karpenter.sh_machines.yaml"]
        names = ("catalogue", "policy", "binding", "life-policy", "life-binding")
        names += ("default-type-policy", "default-type-binding", "capacity-type-policy", "capacity-type-binding")
        files += [CONFIG / "admission" / f"{name}.yaml" for name in names]
        done = self.kubectl.run("apply", *(f"--filename={file}" for file in files))
        assert done.returncode == 0, done.stdout + done.stderr
        self.kubectl(
            "wait",
            "crd/workspaces.kaito.sh",
            "crd/machines.karpenter.sh",
            "--for=condition=Established",
            "--timeout=30s",
        )
        wait_until(self._policy_is_active, timeout_s=30, what="the admission policy to take effect")
        wait_until(self._capacity_policy_is_active, timeout_s=30, what="the policy about capacity types to take effect")
        wait_until(self._life_policy_is_active, timeout_s=30, what="the policy about retired types to take effect")
        return done.stderr

    def refusal(self, obj: Object) -> str:
        """What the server says to a creation that is not carried out; "" when it would accept it."""
        return self.attempt(lambda: self.client.create(WORKSPACES, obj, NAMESPACE, dry_run=True))

    def attempt(self, call: Any) -> str:
        """The message of the refusal, "" when the call succeeds."""
        try:
            call()
        except ApiError as error:
            return error.message
        return ""

    def warnings(self, *objects: Object, command: str = "create") -> list[str]:
        """What kubectl shows of the server's warnings about writes that are accepted but not carried out."""
        text = yaml.safe_dump_all(objects)
        done = self.kubectl.run(command, "--dry-run=server", f"--namespace={NAMESPACE}", "-f", "-", stdin=text)
        assert done.returncode == 0, done.stderr
        return [line.removeprefix("Warning: ") for line in done.stderr.splitlines()]

    def _life_policy_is_active(self) -> bool:
        return self.warnings(changed(good("inference"), {"resource.instanceType": "Standard_NC6s_v3"})) != []

    def _capacity_policy_is_active(self) -> bool:
        return "is not one of" in self.refusal(asking_for("probe"))

    def _policy_is_active(self) -> bool:
        return "is no known preset" in self.refusal(changed(good("inference"), {"inference.preset.name": "probe"}))


def asking_for(capacity: str, **labels: str) -> Object:
    """A good Workspace with this annotation, and these labels on its nodes besides."""
    found = good("inference")
    found["metadata"]["annotations"] = {CAPACITY_TYPE: capacity}
    found["resource"]["labelSelector"]["matchLabels"] |= labels
    return found


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    given = os.environ.get("KUBECONFIG_UNDER_TEST")
    if given:
        yield given
        return
    folder = tmp_path_factory.mktemp("apiserver")
    with ApiServer(ServerOptions(folder=folder)) as server:
        yield str(server.write_kubeconfig(folder / "kubeconfig"))


@pytest.fixture(scope="session")
def cluster(kubeconfig: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    kubectl = Kubectl(kubeconfig, tmp_path_factory.mktemp("home"))
    running = Cluster(Client.from_kubeconfig(kubeconfig, user_agent="admission-tests"), kubectl)
    for namespace in ("kaito-system", NAMESPACE):
        kubectl.run("create", "namespace", namespace)  # may be there already
    running.install()
    yield running
    kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")
