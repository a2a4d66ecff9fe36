"""The Node object of an AKS virtual machine: labels, taints, capacity, conditions. Pure; facts as AKS and its kubelet write them."""

from __future__ import annotations

from controller_runtime.resources import Object
from hack.localcluster.cloud.model import CloudIdentity, VirtualMachine
from hack.localcluster.cloud.validation import parse_taint
from hack.localcluster.cloud.vm_sizes import VmSize, find_vm_size

NOT_READY_TAINT = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
UNINITIALIZED_TAINT = {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}
AUTO_DRAIN_TAINT = {"key": "remediator.kubernetes.azure.com/unschedulable", "effect": "NoSchedule"}
"""What AKS' node auto-drain puts on a spot node that is about to be taken back."""
EVICTION = {"VMEventScheduled": ("True", "VMEventScheduled", "Preempt: this spot VM is going to be evicted")}
"""What AKS' node problem detector makes of a scheduled event of the VM; the words are ours."""
GPU = "nvidia.com/gpu"
MAX_PODS = "110"
KUBELET_VERSION_PREFIX = "v"


def size_of(vm: VirtualMachine) -> VmSize:
    """The VM's size; the cloud refuses sizes that do not exist, so there is one."""
    size = find_vm_size(vm.vm_size)
    assert size is not None, vm.vm_size
    return size


def new_node(vm: VirtualMachine, identity: CloudIdentity, address: str) -> Object:
    """The Node as its kubelet registers it: not ready yet, GPUs unknown."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": vm.node_name,
            "labels": {**aks_labels(vm, identity), **vm.labels},
            "annotations": {
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            },
        },
        "spec": {
            "providerID": vm.provider_id,
            "podCIDR": "10.244.0.0/24",
            "taints": [*(parse_taint(text) for text in vm.taints), UNINITIALIZED_TAINT, NOT_READY_TAINT],
        },
        "status": {
            "capacity": capacity(vm, gpu=False),
            "allocatable": allocatable(vm, gpu=False),
            "addresses": [{"type": "Hostname", "address": vm.node_name}, {"type": "InternalIP", "address": address}],
            "nodeInfo": node_info(vm, identity),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    }


def aks_labels(vm: VirtualMachine, identity: CloudIdentity) -> dict[str, str]:
    """What AKS puts on every node of a pool."""
    size = size_of(vm)
    region = identity.location
    labels = {
        "agentpool": vm.pool,
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/instance-type": size.name,
        "beta.kubernetes.io/os": "linux",
        "failure-domain.beta.kubernetes.io/region": region,
        "failure-domain.beta.kubernetes.io/zone": vm.zone,
        "kubernetes.azure.com/agentpool": vm.pool,
        "kubernetes.azure.com/cluster": identity.node_resource_group,
        "kubernetes.azure.com/mode": vm.mode.lower(),
        "kubernetes.azure.com/node-image-version": "AKSUbuntu-2204gen2containerd-202610.12.0",
        "kubernetes.azure.com/nodepool-type": "VirtualMachineScaleSets",
        "kubernetes.azure.com/os-sku": "Ubuntu",
        "kubernetes.azure.com/role": "agent",
        "kubernetes.azure.com/storageprofile": "managed",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": vm.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/role": "agent",
        "node-role.kubernetes.io/agent": "",
        "node.kubernetes.io/instance-type": size.name,
        "topology.kubernetes.io/region": region,
        "topology.kubernetes.io/zone": vm.zone,
    }
    if size.gpus:
        labels |= {"accelerator": "nvidia", "kubernetes.azure.com/accelerator": "nvidia"}
    return labels


def capacity(vm: VirtualMachine, *, gpu: bool) -> dict[str, str]:
    """What the machine has; GPUs only once the device plugin has reported them."""
    size = size_of(vm)
    amounts = {
        "cpu": str(size.cores),
        "memory": f"{size.memory_gib * 1024 * 1024}Ki",
        "pods": MAX_PODS,
        "ephemeral-storage": f"{vm.os_disk_gib * 1024 * 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    }
    return {**amounts, GPU: str(size.gpus)} if gpu and size.gpus else amounts


def allocatable(vm: VirtualMachine, *, gpu: bool) -> dict[str, str]:
    """Capacity minus what AKS reserves (about 2 % of the cores, 5 % of memory, 10 % of the disk)."""
    size = size_of(vm)
    amounts = capacity(vm, gpu=gpu)
    amounts["cpu"] = f"{round(size.cores * 980)}m"
    amounts["memory"] = f"{round(size.memory_gib * 1024 * 1024 * 0.95)}Ki"
    amounts["ephemeral-storage"] = str(round(vm.os_disk_gib * 1024**3 * 0.9))
    return amounts


def node_info(vm: VirtualMachine, identity: CloudIdentity) -> Object:
    """status.nodeInfo."""
    return {
        "architecture": "amd64",
        "bootID": "",
        "containerRuntimeVersion": "containerd://1.7.28",
        "kernelVersion": "5.15.0-1098-azure",
        "kubeProxyVersion": "",
        "kubeletVersion": f"{KUBELET_VERSION_PREFIX}{identity.kubernetes_version}",
        "machineID": vm.node_name,
        "operatingSystem": "linux",
        "osImage": "Ubuntu 22.04.5 LTS",
        "systemUUID": "",
    }


def wanted_conditions(state: str) -> dict[str, tuple[str, str, str]]:
    """Node conditions for `starting`, `ready`, `not_ready` (the kubelet says so) and `unreachable` (it says nothing any more)."""
    if state == "unreachable":
        lost = ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        return dict.fromkeys(("MemoryPressure", "DiskPressure", "PIDPressure", "Ready"), lost)
    ready = {
        "ready": ("True", "KubeletReady", "kubelet is posting ready status"),
        "starting": (
            "False",
            "KubeletNotReady",
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady",
        ),
        "not_ready": ("False", "KubeletNotReady", "container runtime is down"),
    }[state]
    return {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        "Ready": ready,
    }


def lifecycle_taints(state: str) -> list[Object]:
    """What the node lifecycle controller adds while a node is not Ready."""
    if state == "ready":
        return []
    if state == "starting":
        return [NOT_READY_TAINT]
    key = "node.kubernetes.io/unreachable" if state == "unreachable" else "node.kubernetes.io/not-ready"
    return [{"key": key, "effect": "NoSchedule"}, {"key": key, "effect": "NoExecute"}]


def is_lifecycle_taint(taint: Object) -> bool:
    """Whether the taint is managed by node lifecycle or the cloud's node manager."""
    managed = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", UNINITIALIZED_TAINT["key"])
    return taint.get("key") in managed
