"""The two Deployments: Pod Security *restricted* asserted field by field, and everything that points at something points at what exists."""

from __future__ import annotations

from typing import Any

import pytest

from test.install import shipped

NAMES = ["kaito-controller", "gpu-provisioner"]
VOLUMES_OF_RESTRICTED = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = shipped.deployments()[name]["spec"]["template"]["spec"]
    return spec


def test_there_are_exactly_two_deployments() -> None:
    assert sorted(shipped.deployments()) == sorted(NAMES)


def test_the_namespace_enforces_the_restricted_standard() -> None:
    (namespace,) = shipped.of_kind(shipped.base(), "Namespace")

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", NAMES)
def test_pod_meets_the_restricted_standard(name: str) -> None:
    spec = pod(name)

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & set(spec)
    for volume in spec["volumes"]:
        assert set(volume) - {"name"} <= VOLUMES_OF_RESTRICTED
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["privileged"] is False
        assert not any("hostPort" in port for port in container["ports"])


@pytest.mark.parametrize("name", NAMES)
def test_pod_goes_further_than_restricted(name: str) -> None:
    spec, container = pod(name), shipped.container(shipped.deployments()[name])

    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["automountServiceAccountToken"] is False
    sources = [source for volume in spec["volumes"] for source in volume.get("projected", {}).get("sources", ())]
    (token,) = [source["serviceAccountToken"] for source in sources if "serviceAccountToken" in source]
    assert token["expirationSeconds"] <= 3600
    assert set(container["resources"]) == {"requests", "limits"}
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", NAMES)
def test_two_replicas_elect_a_leader_and_a_drain_takes_one(name: str) -> None:
    deployment = shipped.deployments()[name]
    budgets = {d["metadata"]["name"]: d for d in shipped.of_kind(shipped.base(), "PodDisruptionBudget")}

    assert deployment["spec"]["replicas"] == 2
    assert "--leader-elect=true" in shipped.container(deployment)["args"]
    assert budgets[name]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("kind", ["PodDisruptionBudget", "NetworkPolicy", "Service"])
@pytest.mark.parametrize("name", NAMES)
def test_every_selector_meets_the_pods_it_is_for(kind: str, name: str) -> None:
    labels = shipped.deployments()[name]["spec"]["template"]["metadata"]["labels"]
    selecting = []
    for document in shipped.of_kind(shipped.base(), kind):
        spec = document["spec"]
        selector = spec.get("podSelector", spec.get("selector", {}))
        wanted = selector.get("matchLabels", selector)
        assert wanted, f"{shipped.key(document)} selects every pod"
        if wanted.items() <= labels.items():
            selecting.append(document["metadata"]["name"])

    assert len(selecting) == 1


@pytest.mark.parametrize("name", NAMES)
def test_probes_and_services_name_ports_that_the_container_has(name: str) -> None:
    container = shipped.container(shipped.deployments()[name])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    assert f"--metrics-bind-address=:{ports['metrics']}" in container["args"]
    assert f"--health-probe-bind-address=:{ports['probes']}" in container["args"]
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "probes"}
    targets = [p["targetPort"] for d in shipped.of_kind(shipped.base(), "Service") for p in d["spec"]["ports"]]
    assert set(targets) == {"metrics"}


@pytest.mark.parametrize("name", NAMES)
def test_slow_start_on_a_busy_node_is_no_reason_to_kill(name: str) -> None:
    container = shipped.container(shipped.deployments()[name])

    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 120
    assert "initialDelaySeconds" not in container["livenessProbe"], "the startup probe is the delay"


@pytest.mark.parametrize("name", NAMES)
def test_pod_outlives_the_graceful_stop_of_its_process(name: str) -> None:
    from controller_runtime.settings import OperatorSettings

    stop = OperatorSettings.model_fields["graceful_shutdown_timeout_s"].default

    assert pod(name)["terminationGracePeriodSeconds"] > stop


def test_only_the_provisioner_has_a_cloud_identity() -> None:
    deployments = shipped.deployments()
    use = "azure.workload.identity/use"

    assert deployments["gpu-provisioner"]["spec"]["template"]["metadata"]["labels"][use] == "true"
    assert use not in deployments["kaito-controller"]["spec"]["template"]["metadata"]["labels"]
    assert "AZURE_" not in str(deployments["kaito-controller"])
    assert "ARM_" not in str(deployments["kaito-controller"])


def test_every_role_is_bound_to_the_service_account_that_the_pods_run_as() -> None:
    accounts = {d["metadata"]["name"]: d for d in shipped.of_kind(shipped.base(), "ServiceAccount")}
    assert {pod(name)["serviceAccountName"] for name in NAMES} == set(accounts)
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        for binding in shipped.of_kind(shipped.base(), kind):
            (subject,) = binding["subjects"]
            roles = shipped.of_kind(shipped.base(), binding["roleRef"]["kind"])
            assert binding["roleRef"]["name"] in {role["metadata"]["name"] for role in roles}
            assert subject["namespace"] == accounts[subject["name"]]["metadata"]["namespace"]
            assert binding["roleRef"]["name"].startswith(subject["name"])


def test_no_role_has_wildcards_or_reads_secrets() -> None:
    for kind in ("ClusterRole", "Role"):
        for role in shipped.of_kind(shipped.base(), kind):
            for rule in role["rules"]:
                assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]], shipped.key(role)
                assert not {"secrets", "pods/exec", "nodes/proxy", "serviceaccounts/token"} & set(rule["resources"])
                assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
