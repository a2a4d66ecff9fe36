"""What the demo shows, in the order in which it shows it; each step is one function that prints what a user would type and see."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import yaml

from hack.demo.installation import NAMESPACE, CommandFailed
from hack.demo.progress import Progress
from hack.demo.world import World
from hack.render.kustomize import ROOT
from test.support.processes import wait_until

SAMPLES = ROOT / "config" / "samples"
PLACEHOLDERS = {
    "ACR_REPO_HERE": "myregistry",
    "IMAGE_NAME_HERE": "phi-3-tuned",
    "ADAPTER_HERE": "phi-3-adapter",
    "ACR_REGISTRY_SECRET_HERE": "push-secret",
}
READY_TIMEOUT_S = 120.0
DELETION_TIMEOUT_S = 60.0
REFUSED = "workspace-too-big"
REFUSED_FAMILY = "StandardNCADSA100v4Family"
REFUSED_MANIFEST = f"""\
apiVersion: kaito.sh/v1alpha1
kind: Workspace
metadata:
  name: {REFUSED}
resource:
  instanceType: Standard_NC24ads_A100_v4
  labelSelector:
    matchLabels:
      apps: too-big
inference:
  preset:
    name: falcon-7b
"""


class Story:
    """The steps of one demonstration."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._began = time.monotonic()
        self.workspaces: list[str] = []

    def say(self, text: str) -> None:
        """One line with the time since the start."""
        print(f"[{time.monotonic() - self._began:5.1f} s] {text}", flush=True)

    def title(self, text: str) -> None:
        """Begin a chapter."""
        print(f"\n== {text}", flush=True)

    def show(self, *arguments: str) -> str:
        """Print a kubectl command and what it says."""
        print(f"\n$ kubectl {' '.join(arguments)}")
        output = self._world.product.kubectl(*arguments)
        print(output.rstrip(), flush=True)
        return output

    def start(self) -> None:
        """Cluster, installation, operators."""
        self.title("A cluster, a cloud and two operators on this machine")
        scale = self._world.time_scale
        self.say(
            f"starting localcluster; the cloud is {scale:g} times as fast as Azure: a minute takes {60 / scale:.1f} s"
        )
        self._world.start_cluster()
        self.say("localcluster is ready: API server, scheduler, kubelets and an AKS agent-pool API, all on loopback")
        self.say(f"installed config/default: {self._world.product.install()} objects, with the shipped roles enforced")
        self._world.product.start_operators()
        self.say(
            "kaito-controller and gpu-provisioner are ready: a process each, instead of the pods of their Deployments,"
        )
        self.say("with the flags, the variables and the service account that those pods would have")

    def refuse_placeholder(self) -> None:
        """An unfilled quickstart is refused before anything is paid for."""
        self.title("A mistake is refused at kubectl apply")
        name = "tuning-phi-3-qlora.yaml"
        print(f"\n$ kubectl apply -f config/samples/{name}        (placeholders not filled in)")
        try:
            self._world.product.apply((SAMPLES / name).read_text())
        except CommandFailed as error:
            print(error)
        else:
            raise CommandFailed(f"{name} was accepted with its placeholders")
        self.say("nothing was stored and nothing ordered; the same file with its placeholders filled in follows")

    def apply_quickstarts(self) -> None:
        """The published quickstarts, placeholders filled in."""
        self.title("The quickstarts")
        self._world.product.kubectl(
            "create", "secret", "docker-registry", PLACEHOLDERS["ACR_REGISTRY_SECRET_HERE"],
            "--docker-server=myregistry.azurecr.io", "--docker-username=demo", "--docker-password=demo",  # pragma: allowlist secret
        )  # fmt: skip
        for path in sorted(SAMPLES.glob("*.yaml")):
            manifest = filled(path.read_text())
            print(f"$ kubectl apply -f config/samples/{path.name}")
            print(self._world.product.apply(manifest).rstrip())
            self.workspaces.append(yaml.safe_load(manifest)["metadata"]["name"])

    def wait(self) -> None:
        """Live progress until all are ready, then the published tables."""
        print()
        self.say(f"waiting for WorkspaceReady of all {len(self.workspaces)}; one line each time a reason changes")
        progress = Progress(self._world, self.say)
        progress.wait_ready(self.workspaces, READY_TIMEOUT_S)
        self.title("How long each phase took")
        progress.show_phases()
        self.title("What kubectl shows")
        self.show("get", "workspace")
        self.show("get", "service", "--selector", "kaito.sh/workspace")
        self.show("get", "machine")

    def chat(self) -> None:
        """One answer from the model server, through the Service."""
        self.title("The endpoint answers")
        path = "/api/v1/namespaces/default/services/workspace-phi-3-mini:80/proxy/chat"
        body = json.dumps({"prompt": "What is Kubernetes?"})
        print(f"\n$ echo '{body}' | kubectl create --raw {path} -f -")
        print(self._world.product.kubectl("create", "--raw", path, "-f", "-", stdin=body).rstrip(), flush=True)

    def quota(self) -> None:
        """A failure and its explanation."""
        self.title("When the cloud says no")
        self._world.admin("PUT", "/cloud/market", {"families": {REFUSED_FAMILY: 0}})
        self.say(f"(the subscription now has no quota for {REFUSED_FAMILY})")
        print("\n$ kubectl apply -f -        (falcon-7b on a Standard_NC24ads_A100_v4)")
        print(self._world.product.apply(REFUSED_MANIFEST).rstrip(), flush=True)
        progress = Progress(self._world, self.say)
        progress.wait_reason(REFUSED, {"MachineFailing"}, 60)
        self.explain(REFUSED)
        self.workspaces.append(REFUSED)

    def explain(self, name: str) -> None:
        """The plugin's page, as `kubectl kaito` shows it where the plugin is on the PATH."""
        print(f"\n$ kubectl kaito explain {name}\n", flush=True)
        command = ["-m", "kaito_controller.cli", "explain", name, f"--kubeconfig={self._world.kubeconfig}"]
        subprocess.run([sys.executable, *command], check=False)  # exit code 1: it is not ready

    def delete(self) -> None:
        """Delete everything and prove that nothing is left."""
        self.title("Deleting everything")
        self.say(f"kubectl delete workspace {' '.join(self.workspaces)}")
        self._world.product.kubectl("delete", "workspace", *self.workspaces, f"--timeout={DELETION_TIMEOUT_S:.0f}s")
        self.say("the Workspaces are gone; waiting for what they had: pods, Services, Machines, nodes, agent pools")
        wait_until(lambda: not self.leftovers(), DELETION_TIMEOUT_S, "nothing to be left")
        self.show(
            "get", "workspace,machine,deployment,statefulset,job,pod,service", "--selector", "kaito.sh/workspace", "-A"
        )
        pools = [pool["name"] for pool in self._world.admin("GET", "/cloud/pools")]
        nodes = [node["metadata"]["name"] for node in self._world.product.objects("node")]
        self.say(f"agent pools left in the cloud: {', '.join(pools)} (those that were there before)")
        self.say(f"nodes left: {', '.join(nodes)}")

    def leftovers(self) -> list[str]:
        """Whatever still exists because of a Workspace."""
        kinds = "workspace,machine,deployment,statefulset,job,pod,service,configmap"
        found = [f"{o['kind']}/{o['metadata']['name']}" for o in self._world.product.objects(kinds, "-A") if _ours(o)]
        found += [f"pool/{p['name']}" for p in self._world.admin("GET", "/cloud/pools") if p["name"].startswith("ws")]
        return found


def _ours(obj: dict[str, dict[str, object]]) -> bool:
    labels = obj["metadata"].get("labels") or {}
    return (obj["metadata"].get("namespace") != NAMESPACE and "kaito.sh/workspace" in str(labels)) or obj[
        "kind"
    ] == "Workspace"


def filled(manifest: str) -> str:
    """A quickstart with its placeholders filled in."""
    for placeholder, value in PLACEHOLDERS.items():
        manifest = manifest.replace(placeholder, value)
    return manifest
