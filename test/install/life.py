"""One life of the product, from installation to the last deletion, in which both operators meet everything that they are for.

Used to learn what they ask of an API server. Each chapter waits for its own end, so a chapter that stops working fails by name.
What is waited for is looked at through our own client: a kubectl for each look costs more than the product under test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, Self

import yaml

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.resources import EVENTS
from gpu_provisioner.api.dialect import NODE_CLAIM
from hack.demo.installation import CommandFailed, Installation
from hack.demo.story import SAMPLES, filled
from hack.localcluster.cloud.market import Market
from hack.localcluster.durations import Durations
from test.support import refused_pods
from test.support.kaito_rig import KINDS
from test.support.processes import wait_until
from test.support.workspaces import good

PATIENCE_S = 90.0
NODE_CLAIM_CRD = Path(__file__).parents[2] / "config" / "crd" / "karpenter.sh_nodeclaims.yaml"
TEAM = "team"
FULL_NODES = 9
"""What the samples, the distributed model and the template hold together."""
MAX_NODES = 20
"""Nodes of the namespace, once its limit was reached and raised."""
LABEL = "kaito.sh/workspace"
GPU_LABELS = {"node.kubernetes.io/instance-type": "Standard_NC6s_v3", "apps": "phi-3"}


class Cluster(Protocol):
    """LocalCluster, or a real control plane with localcluster's nodes and cloud."""

    @property
    def environment(self) -> dict[str, str]: ...
    @property
    def kubeconfig(self) -> Path: ...

    cloud: Any
    actors: Any


class Life:
    """A context manager around one installation."""

    TIME_SCALE = 300.0
    DURATIONS = Durations(job_container_run_s=1500.0)
    """A tuning takes long enough to be caught at work."""
    CONTROLLER_FLAGS = ("--gpu-timeout-s=20", "--node-lost-timeout-s=5", "--machine-retry-delay-s=0.5")

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.client = Client.from_kubeconfig(cluster.kubeconfig, user_agent="life")
        settings = {
            "kaito-controller": self.CONTROLLER_FLAGS,
            "gpu-provisioner": (f"--time-scale={self.TIME_SCALE:g}",),
        }
        self.product = Installation(cluster.kubeconfig, folder, cluster.environment, settings=settings)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.product)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def live(self) -> None:
        """All chapters in order."""
        self.product.install()
        self.product.start_operators()
        self.product.kubectl("create", "namespace", TEAM)
        self.product.kubectl("annotate", "namespace", TEAM, f"kaito.sh/max-nodes={FULL_NODES}")
        login = ["--docker-server=registry", "--docker-username=user", "--docker-password=not-one"]
        self.product.kubectl("-n", TEAM, "create", "secret", "docker-registry", "push-secret", *login)
        self.serve_and_tune()
        self.edit()
        self.pods_refused()
        self.claim_missing()
        self.lose_labels()
        self.machine_deleted_under_a_running_model()
        self.pool_lost()
        self.machine_forced_away()
        self.workspace_forced_away()
        self.no_quota()
        self.status_overwritten()
        self.node_of_the_user()
        self.delete()
        self.order_by_node_claims()

    # -- chapters ---------------------------------------------------------------------------------------------------------------

    def serve_and_tune(self) -> None:
        """The quickstarts, a model over two nodes, a template: Deployment, StatefulSet, Job, Services, ConfigMap, Machines."""
        for path in sorted(SAMPLES.glob("*.yaml")):
            self.apply(yaml.safe_load(filled(path.read_text())))
        self.apply(good("distributed"))
        self.apply(good("template") | {"resource": good("inference")["resource"]})
        for workspace in self.objects("workspace"):
            self.ready(workspace["metadata"]["name"])

    def edit(self) -> None:
        """Edits by the user and a repair of what somebody else edited."""
        adapter = self.get("workspace", "workspace-phi-3-mini-adapter")
        adapter["inference"]["adapters"][0]["strength"] = "0.5"
        before = self._spec("deployment", "workspace-phi-3-mini-adapter")
        self.apply(adapter)
        self.wait(
            lambda: self._spec("deployment", "workspace-phi-3-mini-adapter") != before, "the Deployment to follow"
        )
        before = self._spec("service", "workspace-phi-3-mini")
        self.patch("service", "workspace-phi-3-mini", {"spec": {"selector": {LABEL: "stray"}}})
        self.wait(lambda: self._spec("service", "workspace-phi-3-mini") == before, "the Service to be repaired")
        name = "workspace-tuning-phi-3"
        tuning, before = self.get("workspace", name), self.uid("job", name)
        tuning["tuning"]["output"]["image"] = "myregistry.azurecr.io/phi-3-tuned:0.0.2"
        self.apply(tuning)
        self.wait(lambda: self.uid("job", name) not in ("", before), "a new Job for the edited tuning")
        self.lose_label("job", name)
        self.lose_label("configmap", self.configmap_of(name))

    def pods_refused(self) -> None:
        """A policy lets no pods in; why a StatefulSet has none is found in its Events."""
        for document in refused_pods.policy(TEAM):
            self.product.apply(yaml.safe_dump(document))
        self.wait(self._lets_no_pods_in, "the policy to be in force")
        self.product.kubectl("-n", TEAM, "delete", "pod", "good-distributed-0")
        self.wait(
            lambda: self._condition("good-distributed").get("reason") == "WorkloadRefused", "the refusal to be told"
        )
        for document in refused_pods.policy(TEAM):
            self.product.kubectl("delete", document["kind"], document["metadata"]["name"])
        self.ready("good-distributed")

    def claim_missing(self) -> None:
        """The namespace is full; its limit is raised; then a claim that is not there is missed before a node is ordered."""
        workspace = good("template") | {
            "resource": good("inference")["resource"],
            "metadata": {"name": "mounts-a-claim"},
        }
        claim = {"name": "models", "persistentVolumeClaim": {"claimName": "models"}}
        workspace["inference"]["template"]["spec"]["volumes"] = [claim]
        self.apply(workspace)
        self.wait(lambda: self._condition("mounts-a-claim").get("reason") == "NodeLimitReached", "the limit to be told")
        self.product.kubectl("annotate", "namespace", TEAM, f"kaito.sh/max-nodes={MAX_NODES}", "--overwrite")
        self.wait(
            lambda: self._condition("mounts-a-claim").get("reason") == "ContainerConfigInvalid",
            "the claim to be missed",
        )
        self.product.kubectl("-n", TEAM, "delete", "workspace", "mounts-a-claim")

    def lose_labels(self) -> None:
        """The same for what serves."""
        self.lose_label("deployment", "workspace-falcon-7b")
        self.lose_label("statefulset", "good-distributed")
        self.lose_label("service", "workspace-falcon-7b")

    def lose_label(self, kind: str, name: str) -> None:
        """Somebody strips our label: the caches lose the object, and the operator finds it again by its name."""
        self.patch(kind, name, {"metadata": {"labels": {LABEL: None}}})
        self.wait(lambda: LABEL in self.get(kind, name)["metadata"].get("labels", {}), f"the label on {kind} {name}")

    def machine_deleted_under_a_running_model(self) -> None:
        """Its node is drained, and another Machine takes its place."""
        (machine,) = self.machines("workspace-phi-3-mini")
        self.product.kubectl("delete", "machine", machine, "--wait=false")
        self.wait(
            lambda: self.machines("workspace-phi-3-mini") not in ([], [machine]), f"a Machine in the place of {machine}"
        )
        self.ready("workspace-phi-3-mini")

    def pool_lost(self) -> None:
        """An agent pool is deleted behind everybody's back: garbage collection lets the Machine go, and it is replaced."""
        (machine,) = self.machines("workspace-falcon-7b")
        self.cluster.cloud.pools.remove_behind(machine)
        self.wait(lambda: machine not in self.machines("workspace-falcon-7b"), f"{machine} to be given up")
        self.ready("workspace-falcon-7b")

    def machine_forced_away(self) -> None:
        """Somebody takes the finalizer off a Machine: its agent pool is nobody's, and garbage collection removes it."""
        (machine,) = self.machines("workspace-falcon-7b")
        self.force_away("gpu-provisioner", "machine", machine)
        self.wait(lambda: machine not in self.pools(), f"the agent pool {machine} to be collected")
        self.ready("workspace-falcon-7b")

    def workspace_forced_away(self) -> None:
        """The same with a Workspace: nobody wants its Machine any more."""
        (machine,) = self.machines("workspace-phi-3-mini-adapter")
        self.force_away("kaito-controller", "workspace", "workspace-phi-3-mini-adapter")
        self.wait(lambda: machine not in self.pools(), f"Machine and agent pool {machine} to go")

    def no_quota(self) -> None:
        """The cloud refuses, and the Workspace says so."""
        self.cluster.cloud.pools.set_market(Market(family_limits={"StandardNCADSA100v4Family": 0}))
        wanted = good("inference")
        wanted["metadata"]["name"], wanted["resource"]["instanceType"] = "too-big", "Standard_NC24ads_A100_v4"
        self.apply(wanted)
        self.wait(lambda: self._condition("too-big").get("reason") == "MachineFailing", "the refusal to be told")
        self.cluster.cloud.pools.set_market(Market())

    def status_overwritten(self) -> None:
        """Somebody writes to a Machine's status: it is put right, and the Event that it is ready counts up instead of being doubled."""
        (name,) = self.machines("workspace-phi-3-mini")
        machine = next(m for m in self.client.list(KINDS["machine"]).items if m["metadata"]["name"] == name)
        conditions = [
            c | ({"status": "False"} if c["type"] == "Ready" else {}) for c in machine["status"]["conditions"]
        ]
        patch = json.dumps({"status": {"conditions": conditions}})
        self.product.kubectl("patch", "machine", name, "--subresource=status", "--type=merge", "-p", patch)
        self.wait(self._told_repeatedly, "the Event to count up")

    def node_of_the_user(self) -> None:
        """A Workspace runs on a node that was there before, which it marks as taken."""
        node = next(n["metadata"]["name"] for n in self.product.objects("node") if "userpool" in n["metadata"]["name"])
        labels = [f"{key}={value}" for key, value in GPU_LABELS.items()]
        self.product.kubectl("label", "node", node, "--overwrite", *labels)
        gpus = {"nvidia.com/gpu": "1"}
        status = json.dumps({"status": {"capacity": gpus, "allocatable": gpus}})
        self.product.kubectl("patch", "node", node, "--subresource=status", "-p", status)
        wanted = good("inference")
        wanted["metadata"]["name"] = "on-my-node"
        wanted["resource"]["preferredNodes"] = [node]
        self.apply(wanted)
        self.wait(
            lambda: self.get("workspace", "on-my-node").get("status", {}).get("workerNodes") == [node],
            f"{node} to be taken",
        )

    def delete(self) -> None:
        """Everything goes."""
        self.product.kubectl("-n", TEAM, "delete", "workspace", "--all", f"--timeout={PATIENCE_S:.0f}s")
        self.wait(lambda: not self.client.list(KINDS["machine"]).items, "all Machines to be gone")

    def order_by_node_claims(self) -> None:
        """NodeClaims are installed too, and both operators begin anew: one orders by them, the other answers both."""
        self.product.apply(NODE_CLAIM_CRD.read_text())
        self.product.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/nodeclaims.karpenter.sh")
        self.restart("kaito-controller", "--node-api=nodeclaim")
        self.restart("gpu-provisioner")
        wanted = good("inference")
        wanted["metadata"]["name"] = "by-claim"
        wanted["resource"]["labelSelector"] = {"matchLabels": {"apps": "by-claim"}}  # not the user's node's
        self.apply(wanted)
        self.ready("by-claim")
        (claim,) = self.claims()
        self.cluster.cloud.pools.remove_behind(claim)
        self.wait(lambda: claim not in self.claims(), f"{claim} to be given up")
        self.ready("by-claim")
        self.product.kubectl("-n", TEAM, "delete", "workspace", "by-claim", f"--timeout={PATIENCE_S:.0f}s")
        self.wait(lambda: not self.claims(), "all NodeClaims to be gone")

    # -- words ------------------------------------------------------------------------------------------------------------------

    def apply(self, workspace: dict[str, Any]) -> None:
        workspace["metadata"]["namespace"] = TEAM
        for key in ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp"):
            workspace["metadata"].pop(key, None)
        self.product.apply(yaml.safe_dump(workspace))

    def patch(self, kind: str, name: str, patch: dict[str, Any]) -> None:
        self.product.kubectl("-n", TEAM, "patch", kind, name, "--type=merge", "-p", json.dumps(patch))

    def objects(self, kind: str) -> list[dict[str, Any]]:
        return self.client.list(KINDS[kind], TEAM).items

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """The object; {} when there is none."""
        return next((o for o in self.objects(kind) if o["metadata"]["name"] == name), {})

    def uid(self, kind: str, name: str) -> str:
        return str(self.get(kind, name).get("metadata", {}).get("uid", ""))

    def pools(self) -> list[str]:
        return [pool["name"] for pool in self.cluster.cloud.pools.list()]

    def force_away(self, operator: str, kind: str, name: str) -> None:
        """Delete an object without its finalizers while the operator that would clean up is not looking."""
        where = ["-n", TEAM] if kind == "workspace" else []
        process = self.product.operators[operator].process
        process.pause()
        try:
            self.product.kubectl("delete", kind, name, *where, "--wait=false")
            self.product.kubectl(
                "patch", kind, name, *where, "--type=merge", "-p", '{"metadata": {"finalizers": null}}'
            )
        finally:
            process.resume()

    def _lets_no_pods_in(self) -> bool:
        image = "--image=registry.example.com/any:1"
        try:
            self.product.kubectl("-n", TEAM, "run", "tried", image, "--restart=Never", "--dry-run=server")
        except CommandFailed as refused:
            return refused_pods.WORDS in str(refused)
        return False

    def _told_repeatedly(self) -> bool:
        """The provisioner has raised the count of an Event of its own."""
        events = self.client.list(EVENTS).items
        return any(
            (e.get("series") or {}).get("count", 0) > 1 for e in events if "provisioner" in e["reportingController"]
        )

    def machines(self, workspace: str) -> list[str]:
        found = self.client.list(KINDS["machine"], label_selector=f"{LABEL}={workspace}").items
        return [machine["metadata"]["name"] for machine in found]

    def restart(self, operator: str, *flags: str) -> None:
        """Another process of it, with further flags."""
        product = self.product
        product.operators[operator].process.terminate()
        product.settings = {**product.settings, operator: (*product.settings.get(operator, ()), *flags)}
        product.operators[operator] = product.start_operator(operator)
        self.wait(product.operators[operator].answers, f"{operator} to be ready")

    def claims(self) -> list[str]:
        return [claim["metadata"]["name"] for claim in self.client.list(NODE_CLAIM.resource).items]

    def configmap_of(self, job: str) -> str:
        """The ConfigMap that a tuning Job mounts; that of the run before it may still be there."""
        volumes = self.get("job", job)["spec"]["template"]["spec"]["volumes"]
        return next(volume["configMap"]["name"] for volume in volumes if "configMap" in volume)

    def ready(self, name: str) -> None:
        self.wait(
            lambda: self._condition(name).get("status") == "True",
            lambda: f"{name} to be ready; now {self._condition(name)}",
        )

    def _spec(self, kind: str, name: str) -> Any:
        return self.get(kind, name).get("spec")

    def _condition(self, name: str) -> dict[str, Any]:
        conditions = self.get("workspace", name).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == "WorkspaceReady"), {})

    def wait(self, condition: Callable[[], Any], what: str | Callable[[], str]) -> None:
        try:
            wait_until(condition, PATIENCE_S, what if isinstance(what, str) else "it", step_s=0.2)
        except AssertionError as error:
            raise AssertionError(f"{what if isinstance(what, str) else what()}: {error}") from None
