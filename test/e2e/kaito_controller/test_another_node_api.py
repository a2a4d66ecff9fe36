"""A node API is one folder: the tree of the product with `test/support/another_node_api/stall` in it, and no other file touched.

The steps are those of `docs/node-apis.md`. The test is the provisioner of that API.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import controller_runtime
import gpu_provisioner
import kaito_controller
from controller_runtime.clock import SYSTEM_CLOCK, rfc3339
from controller_runtime.resources import Object, name_of
from hack.localcluster.cloud.model import VirtualMachine
from test.support import another_node_api
from test.support.another_node_api.stall import FULL, STALLS
from test.support.kaito_rig import GPU_SIZE, ROOT, Rig
from test.support.processes import Process
from test.support.workspace_world import workspace

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.our_provisioner("no provisioner takes part: the test is that of its own API"),
]
FOLDER = Path(another_node_api.__file__).parent / "stall"
ACCOUNT = "system:serviceaccount:kaito-system:kaito-controller"
A10, H100 = "Standard_NV36ads_A10_v5", "Standard_NC40ads_H100_v5"


class StallRig(Rig):
    """The controller from a copy of its package, as the ServiceAccount that is shipped, on a cluster that has Stalls only."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, provisioner=False, machine_crd=False)
        self.orders = STALLS
        self.tree = folder / "tree"
        for package in (controller_runtime, gpu_provisioner, kaito_controller):
            shutil.copytree(Path(str(package.__file__)).parent, self.tree / package.__name__)
        shutil.copytree(FOLDER, self.tree / kaito_controller.__name__ / "nodeapi" / FOLDER.name)

    def _install(self) -> None:
        super()._install()
        self.kubectl("create", "namespace", "kaito-system")
        for file in (ROOT / "config/rbac/kaito-controller.yaml", FOLDER / "crd.yaml", FOLDER / "access.yaml"):
            self.kubectl("apply", "-f", str(file))
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")

    def process(self, module: str) -> Process:
        environment = {**self._environment, "KUBECONFIG": str(self.cluster.kubeconfig_for(ACCOUNT))}
        argv = [sys.executable, "-P", "-c", START.format(tree=str(self.tree), module=module), "--log-format=console"]
        return Process(argv, env=environment, name=module, log_dir=self.folder, cwd=self.tree)

    def tell(self, stall: Object, **status: str) -> None:
        """Write a status, as the meadow does."""
        told = {"status": {"since": rfc3339(SYSTEM_CLOCK.now()), **status}}
        self.client.patch(STALLS, name_of(stall), told, subresource="status")

    def stand(self, stall: Object) -> VirtualMachine:
        """The machine of a Stall joins with the labels of its order, and its status says so."""
        vm = self.bring_node(f"node-{name_of(stall)}", stall["metadata"]["labels"], vm_size=type_of(stall))
        self.tell(stall, phase="Standing", node=vm.node_name)
        return vm


START = "import sys; sys.path.insert(0, {tree!r}); import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
"""The packages of the tree come before those of the checkout, wherever the interpreter finds these."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StallRig]:
    with StallRig(tmp_path_factory.mktemp("stalls")) as running:
        yield running


def type_of(stall: Object) -> str:
    wanted = {r["key"]: r["values"] for r in stall["spec"]["requirements"]}
    return str(wanted["node.kubernetes.io/instance-type"][0])


def ordered(rig: StallRig, namespace: str, instance_type: str) -> Object:
    """The Stall of this type, once it is there."""

    def found() -> Object | None:
        return next((s for s in rig.machines("phi", namespace) if type_of(s) == instance_type), None)

    stall: Object = rig.wait_for(found, f"a Stall of {instance_type}")
    return stall


def test_the_folder_of_an_api_orders_the_node_that_a_workspace_needs(rig: StallRig, namespace: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace))
    vm = rig.stand(ordered(rig, namespace, GPU_SIZE))
    try:
        rig.wait_ready("phi", namespace)

        assert rig.worker_nodes("phi", namespace) == [vm.node_name]
        assert "node_api=stall" in rig.controller.output
        assert "why=only-one-installed" in rig.controller.output
        rig.kubectl("delete", "workspace", "phi", "-n", namespace, "--timeout=60s")
        assert rig.machines("phi", namespace) == []
    finally:
        rig.clean(namespace)
        rig.take_away(vm)


def test_its_word_for_a_type_that_cannot_be_had_leads_to_the_next_entry_of_a_list(
    rig: StallRig, namespace: str
) -> None:
    listed = {"instanceType": A10, "instanceTypes": [A10, H100]}
    rig.kubectl.apply(workspace("phi", namespace, resource=listed))
    rig.tell(ordered(rig, namespace, A10), phase="Refused", reason=FULL, message="no stall is free")

    vm = rig.stand(ordered(rig, namespace, H100))
    try:
        rig.wait_ready("phi", namespace)

        message = rig.condition("phi", namespace, "MachineReady")[2]
        assert f"Instance type {H100}, entry 2 of 2" in message
        assert FULL in message
        assert "no stall is free" in message
    finally:
        rig.clean(namespace)
        rig.take_away(vm)
