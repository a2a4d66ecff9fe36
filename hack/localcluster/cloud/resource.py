"""The shapes of an agent pool: what AKS adds to a request, what it answers, and the VMs that a pool consists of. Pure."""

from __future__ import annotations

from typing import Any

from hack.localcluster.cloud.model import AgentPool, CloudIdentity, Properties

SPOT = "kubernetes.azure.com/scalesetpriority"
"""Label of each node of a spot pool, and key of its taint; AKS puts on both, and refuses them from anybody else."""


def with_defaults(identity: CloudIdentity, properties: Properties) -> Properties:
    """What AKS fills in; a disk size of 0 or none is its default of 128 GiB."""
    version = identity.kubernetes_version
    given = {key: value for key, value in properties.items() if value is not None}
    if not given.get("osDiskSizeGB"):
        given["osDiskSizeGB"] = 128
    if given.get("scaleSetPriority") == "Spot":
        given = _as_spot(given)
    return {
        "count": 1, "osDiskType": "Managed", "kubeletDiskType": "OS", "maxPods": 110, "type": "VirtualMachineScaleSets",
        "scaleDownMode": "Delete", "orchestratorVersion": version, "currentOrchestratorVersion": version,
        "enableNodePublicIP": False, "mode": "User", "enableEncryptionAtHost": False, "enableUltraSSD": False,
        "osType": "Linux", "osSKU": "Ubuntu", "nodeImageVersion": "AKSUbuntu-2204gen2containerd-202610.12.0",
        "upgradeSettings": {"maxSurge": "10%"}, "enableFIPS": False,
        **given,
    }  # fmt: skip


def _as_spot(given: Properties) -> Properties:
    taint = f"{SPOT}=spot:NoSchedule"
    return {
        "scaleSetEvictionPolicy": "Delete",
        "spotMaxPrice": -1,
        **given,
        "nodeLabels": {**(given.get("nodeLabels") or {}), SPOT: "spot"},
        "nodeTaints": [*(given.get("nodeTaints") or ()), taint],
    }


def to_resource(identity: CloudIdentity, pool: AgentPool) -> dict[str, Any]:
    """The pool as GET answers it."""
    status = {"status": {"provisioningError": pool.error}} if pool.error and pool.provisioning_state == "Failed" else {}
    return {
        "id": f"{identity.cluster_id}/agentPools/{pool.name}",
        "type": "Microsoft.ContainerService/ManagedClusters/AgentPools",
        "name": pool.name,
        "properties": {
            **pool.properties,
            "provisioningState": pool.provisioning_state,
            "powerState": {"code": pool.power_state},
            "eTag": pool.etag,
            **status,
        },
    }
