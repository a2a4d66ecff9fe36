"""Records what `explain` reads, in situations that both operators bring about on localcluster; the goldens are made from the records.

`python -m test.unit.kaito_controller.cli.record [NAME …]` records them anew (all: about two minutes); then run
`python -m test.unit.kaito_controller.cli.explained`. A record holds no more of an object than a page could come from.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controller_runtime.clock import SYSTEM_CLOCK
from hack.localcluster.actors.podfaults import PodFault, PodFaultKind
from hack.localcluster.cloud.market import Market, Stock
from kaito_controller.cli.cluster import Cluster
from kaito_controller.cli.explain.gathered import gather
from test.support.kaito_rig import Rig
from test.support.supply import GPU_FAMILY, GPU_SIZE
from test.support.workspace_world import tuning, workspace

RECORDED = Path(__file__).with_name("recorded")
_DROPPED = ("managedFields", "template", "volumes", "affinity", "tolerations", "images", "volumeMounts", "record")
Scene = Callable[[Rig, str], None]


def _apply(rig: Rig, namespace: str, **parts: Any) -> None:
    rig.kubectl.apply(workspace("phi", namespace, **parts))


def _reach(reason: str, **parts: Any) -> Scene:
    def scene(rig: Rig, namespace: str) -> None:
        _apply(rig, namespace, **parts)
        rig.wait_reason("phi", namespace, reason, timeout_s=60.0)

    return scene


def _with_fault(reason: str, fault: PodFault, **parts: Any) -> Scene:
    def scene(rig: Rig, namespace: str) -> None:
        rig.cluster.actors.pod_faults.add(fault)
        _reach(reason, **parts)(rig, namespace)

    return scene


def _with_stock(reason: str, stock: Stock) -> Scene:
    def scene(rig: Rig, namespace: str) -> None:
        rig.cluster.cloud.pools.set_stock(GPU_SIZE, stock)
        _reach(reason)(rig, namespace)

    return scene


def _quota(rig: Rig, namespace: str) -> None:
    rig.cluster.cloud.pools.set_quota(families={GPU_FAMILY: 0})
    _reach("MachineFailing")(rig, namespace)


def _loading(rig: Rig, namespace: str) -> None:
    rig.cluster.actors.pod_faults.add(PodFault(PodFaultKind.NEVER_READY))
    _reach("ModelLoading")(rig, namespace)


def _ill_node(rig: Rig, namespace: str) -> None:
    _reach("InferenceServing")(rig, namespace)
    (node,) = rig.worker_nodes("phi", namespace)
    rig.cluster.actors.fleet.set_health(node, "not_ready")
    rig.wait_reason("phi", namespace, "NodeNotReady")


def _cordoned(rig: Rig, namespace: str) -> None:
    _reach("InferenceServing")(rig, namespace)
    (node,) = rig.worker_nodes("phi", namespace)
    rig.kubectl("cordon", node)
    rig.kubectl("delete", "pod", "--all", "-n", namespace)
    rig.wait_reason("phi", namespace, "PodUnschedulable")


def _foreign_service(rig: Rig, namespace: str) -> None:
    rig.kubectl("create", "service", "clusterip", "phi", "--tcp=80:80", "-n", namespace)
    _reach("NameTaken")(rig, namespace)


def _deleting(rig: Rig, namespace: str) -> None:
    _reach("InferenceServing")(rig, namespace)
    (machine,) = rig.machines("phi", namespace)
    rig.kubectl("patch", "machine", machine["metadata"]["name"], "--type=json", "-p", json.dumps(
        [{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/keep"}]))  # fmt: skip
    rig.kubectl("delete", "workspace", "phi", "-n", namespace, "--wait=false")
    rig.wait_reason("phi", namespace, "DeletingMachines", "WorkspaceDeleting")


def _push_secret(rig: Rig, namespace: str) -> None:
    rig.kubectl("create", "secret", "generic", "push", "-n", namespace, "--from-literal=.dockerconfigjson={}")


def _tuned(scene: Scene) -> Scene:
    def prepared(rig: Rig, namespace: str) -> None:
        _push_secret(rig, namespace)
        scene(rig, namespace)

    return prepared


BAD_DOWNLOAD = PodFault(PodFaultKind.EXIT, container="data-downloader", exit_code=22, message="404 Not Found")
SCENES: dict[str, Scene] = {
    "node-is-being-made": _reach("MachinesPending"),
    "quota-is-refused": _quota,
    "cloud-has-no-capacity": _with_stock("MachineFailing", Stock.NO_CAPACITY),
    "type-is-not-sold": _with_stock("MachineAttemptsExhausted", Stock.NOT_ALLOWED),
    "image-cannot-be-pulled": _with_fault("ImagePullFailed", PodFault(PodFaultKind.PULL, message="401 Unauthorized")),
    "container-crashes": _with_fault(
        "ContainerCrashing", PodFault(PodFaultKind.CRASH, exit_code=3, message="CUDA too old")
    ),
    "container-lacks-memory": _with_fault("OutOfMemory", PodFault(PodFaultKind.OOM)),
    "model-loads": _loading,
    "serves": _reach("InferenceServing"),
    "serves-on-two-nodes": _reach("InferenceServing", resource={"count": 2}),
    "node-is-ill": _ill_node,
    "node-is-cordoned": _cordoned,
    "name-is-taken": _foreign_service,
    "model-does-not-fit": _reach("ModelDoesNotFit", inference={"preset": {"name": "falcon-40b"}}),
    "being-deleted": _deleting,
    "tuning-image-cannot-be-pulled": _tuned(
        _with_fault("ImagePullFailed", PodFault(PodFaultKind.PULL, container="phi"), tuning=tuning())
    ),
    "tuning-is-done": _tuned(_reach("TuningSucceeded", tuning=tuning())),
    "tuning-fails": _tuned(_with_fault("GPUReleased", BAD_DOWNLOAD, tuning=tuning())),
    "tuning-config-is-missing": _tuned(_reach("TuningConfigMissing", tuning=tuning(config="mine"))),
}


def lean(value: Any) -> Any:
    """Without what no page is made from."""
    if isinstance(value, dict):
        return {k: lean(v) for k, v in value.items() if k not in _DROPPED}
    return [lean(item) for item in value] if isinstance(value, list | tuple) else value


@contextmanager
def _undone(rig: Rig, namespace: str) -> Iterator[None]:
    rig.kubectl("create", "namespace", namespace)
    try:
        yield
    finally:
        rig.cluster.cloud.pools.set_market(Market())
        rig.cluster.actors.pod_faults.clear()
        for machine in rig.machines("phi", namespace):
            kept = [f for f in machine["metadata"].get("finalizers", []) if f != "example.com/keep"]
            rig.kubectl("patch", "machine", machine["metadata"]["name"], "--type=merge", "-p", json.dumps(
                {"metadata": {"finalizers": kept}}))  # fmt: skip
        rig.clean(namespace)


def record(names: list[str]) -> None:
    """One file for each situation."""
    with tempfile.TemporaryDirectory() as folder, Rig(Path(folder)) as rig:
        for number, name in enumerate(names):
            namespace = f"team-{number}"
            with _undone(rig, namespace):
                SCENES[name](rig, namespace)
                found = gather(Cluster(rig.client, namespace), "phi", SYSTEM_CLOCK).to_document()
                path = RECORDED / f"{name}.json"
                path.write_text(json.dumps(lean(found), indent=1, default=str) + "\n", "utf-8")
            print(name, file=sys.stderr, flush=True)


if __name__ == "__main__":
    record(sys.argv[1:] or list(SCENES))
