"""Pod templates of users: kept, merged, and refused where they reach beyond their namespace."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from kaito_controller.workloads import (
    TemplatePolicy,
    TemplateRefusedError,
    build_workload,
    template_fields,
    violations,
    volume_violations,
)
from test.unit.kaito_controller.workloads.cases import (
    ALL_LISTED,
    OURS,
    TEMPLATE,
    THREE_ADAPTERS,
    context,
    everything_allowed,
    pod_spec,
    workspace,
)


def deployment(template: dict[str, Any], policy: TemplatePolicy = OURS, **more: Any) -> dict[str, Any]:
    subject = workspace("own", inference={"template": template, **more})
    return build_workload(context(subject, template_policy=policy))


def with_pod(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "own", "image": "own:1"}], **fields}}


def with_container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "own", "image": "own:1", **fields}]}}


def test_what_the_user_wrote_is_kept_and_ours_is_added() -> None:
    built = deployment(TEMPLATE)["spec"]["template"]
    spec = built["spec"]
    assert built["metadata"]["labels"]["team"] == "search"
    assert built["metadata"]["labels"]["kaito.sh/workspace"] == "own"
    assert built["metadata"]["annotations"] == {"example.com/note": "kept"}
    assert spec["tolerations"][0] == {"key": "mine", "operator": "Exists"}
    assert len(spec["tolerations"]) == 4
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["key"] == "zone"
    assert term["matchFields"][0]["values"] == ["node-0"]
    assert spec["containers"][0]["resources"] == {"limits": {"nvidia.com/gpu": 1}}
    assert spec["automountServiceAccountToken"] is False
    assert spec["containers"][0]["securityContext"] == {"allowPrivilegeEscalation": False}


def test_the_deadline_of_a_rollout_follows_the_time_that_the_setting_gives_a_template() -> None:
    subject = workspace(inference={"template": {"spec": {"containers": [{"name": "m", "image": "example.com/m:1"}]}}})

    short, long = (
        build_workload(context(subject, template_readiness_s=seconds))["spec"]["progressDeadlineSeconds"]
        for seconds in (600.0, 1200.5)
    )

    assert long == short + 601


def test_a_label_of_the_user_cannot_take_the_place_of_the_selector() -> None:
    template = {**with_pod(), "metadata": {"labels": {"kaito.sh/workspace": "another"}}}
    built = deployment(template, TemplatePolicy(metadata_prefixes=("kaito.sh/",)))["spec"]
    assert built["template"]["metadata"]["labels"]["kaito.sh/workspace"] == "own"
    assert built["selector"]["matchLabels"] == {"kaito.sh/workspace": "own"}


def test_adapters_reach_the_first_container_and_give_way_to_the_users_names() -> None:
    template = with_pod(
        volumes=[{"name": "adapter-volume", "emptyDir": {}}], imagePullSecrets=[{"name": "mine"}, {"name": "team-a"}]
    )
    template["spec"]["containers"][0]["env"] = [{"name": "style", "value": "0.1"}]
    spec = pod_spec(deployment(template, adapters=THREE_ADAPTERS))
    server = spec["containers"][0]
    assert server["volumeMounts"] == [{"name": "adapter-volume-2", "mountPath": "/mnt/adapter"}]
    assert [entry["name"] for entry in server["env"]] == ["style", "facts", "adapter-7b-tone"]
    assert server["env"][0]["value"] == "0.1"
    assert [container["name"] for container in spec["initContainers"]] == ["style", "facts", "7b-tone"]
    assert [secret["name"] for secret in spec["imagePullSecrets"]] == ["mine", "team-a", "team-b"]


REFUSED = {
    "spec.hostNetwork": with_pod(hostNetwork=True),
    "spec.hostPID": with_pod(hostPID=True),
    "spec.hostIPC": with_pod(hostIPC=True),
    "spec.hostUsers": with_pod(hostUsers=True),
    "spec.serviceAccountName": with_pod(serviceAccountName="admin"),
    "spec.serviceAccount": with_pod(serviceAccount="admin"),
    "spec.automountServiceAccountToken": with_pod(automountServiceAccountToken=True),
    "spec.nodeName": with_pod(nodeName="node-7"),
    "spec.restartPolicy": with_pod(restartPolicy="Never"),
    "spec.activeDeadlineSeconds": with_pod(activeDeadlineSeconds=5),
    "spec.ephemeralContainers": with_pod(ephemeralContainers=[{"name": "debug"}]),
    "spec.securityContext.sysctls": with_pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
    "spec.securityContext.seccompProfile.type": with_pod(securityContext={"seccompProfile": {"type": "Unconfined"}}),
    "spec.volumes[0].hostPath": with_pod(volumes=[{"name": "root", "hostPath": {"path": "/"}}]),
    "spec.volumes[0].nfs": with_pod(volumes=[{"name": "far", "nfs": {"server": "s", "path": "/"}}]),
    "spec.volumes[0].projected.sources[0].serviceAccountToken": with_pod(
        volumes=[{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]
    ),
    "spec.containers[0].ports[0].hostPort": with_container(ports=[{"containerPort": 80, "hostPort": 80}]),
    "spec.containers[0].securityContext.privileged": with_container(securityContext={"privileged": True}),
    "spec.containers[0].securityContext.allowPrivilegeEscalation": with_container(
        securityContext={"allowPrivilegeEscalation": True}
    ),
    "spec.containers[0].securityContext.procMount": with_container(securityContext={"procMount": "Unmasked"}),
    "spec.containers[0].securityContext.capabilities.add": with_container(
        securityContext={"capabilities": {"add": ["SYS_ADMIN", "NET_BIND_SERVICE"]}}
    ),
    "spec.containers[0].securityContext.windowsOptions": with_container(
        securityContext={"windowsOptions": {"hostProcess": True}}
    ),
    "spec.containers[0].securityContext.seLinuxOptions.role": with_container(
        securityContext={"seLinuxOptions": {"role": "r"}}
    ),
    "spec.initContainers[0].securityContext.privileged": with_pod(
        initContainers=[{"name": "i", "image": "i:1", "securityContext": {"privileged": True}}]
    ),
    "spec.containers[0].securityContext.seLinuxOptions.type": with_container(
        securityContext={"seLinuxOptions": {"type": "spc_t"}}
    ),
    "spec.containers[0].securityContext.appArmorProfile.type": with_container(
        securityContext={"appArmorProfile": {"type": "Unconfined"}}
    ),
    "spec.containers[0].livenessProbe.httpGet.host": with_container(
        livenessProbe={"httpGet": {"host": "169.254.169.254", "port": 80, "path": "/"}}
    ),
    "spec.containers[0].readinessProbe.tcpSocket.host": with_container(
        readinessProbe={"tcpSocket": {"host": "10.0.0.1", "port": 80}}
    ),
    "spec.containers[0].lifecycle.postStart.httpGet.host": with_container(
        lifecycle={"postStart": {"httpGet": {"host": "10.0.0.1", "port": 80}}}
    ),
    "spec.containers[0].lifecycle.preStop.tcpSocket.host": with_container(
        lifecycle={"preStop": {"tcpSocket": {"host": "10.0.0.1", "port": 80}}}
    ),
    "spec.containers[0].ports[0].hostIP": with_container(ports=[{"containerPort": 80, "hostIP": "10.0.0.1"}]),
    "spec.containers[0].resources.claims": with_container(resources={"claims": [{"name": "gpu"}]}),
    "spec.containers[0].ofTomorrow": with_container(ofTomorrow=True),
    "spec.ofTomorrow": with_pod(ofTomorrow={}),
    "spec.resourceClaims": with_pod(resourceClaims=[{"name": "gpu"}]),
    "spec.priority": with_pod(priority=2000000000),
    "spec.priorityClassName": with_pod(priorityClassName="system-node-critical"),
    "spec.runtimeClassName": with_pod(runtimeClassName="host"),
    "spec.schedulerName": with_pod(schedulerName="mine"),
    "spec.schedulingGates": with_pod(schedulingGates=[{"name": "wait"}]),
    "spec.overhead": with_pod(overhead={"cpu": "1"}),
    "spec.volumes[0].projected.sources[0].podCertificate": with_pod(
        volumes=[
            {"name": "v", "projected": {"sources": [{"podCertificate": {"signerName": "a/b", "keyType": "RSA3072"}}]}}
        ]
    ),
    "spec.volumes[0].csi.driver": with_pod(
        volumes=[
            {"name": "v", "csi": {"driver": "file.csi.azure.com", "volumeAttributes": {"secretNamespace": "other"}}}
        ]
    ),
    "metadata.annotations": {
        **with_pod(),
        "metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/own": "unconfined"}},
    },
    "metadata.labels": {**with_pod(), "metadata": {"labels": {"azure.workload.identity/use": "true"}}},
    "metadata.finalizers": {**with_pod(), "metadata": {"finalizers": ["a/b"]}},
    "spec.tolerations": with_pod(tolerations="all"),
    "spec.containers[0].env": with_container(env="A=b"),
}


@pytest.mark.parametrize("field", sorted(REFUSED))
def test_a_template_that_reaches_beyond_its_namespace_is_refused_naming_the_field(field: str) -> None:
    (found,) = violations(REFUSED[field], OURS)
    assert found.field == f"inference.template.{field}"
    assert found.message


def test_a_refused_template_is_never_built() -> None:
    with pytest.raises(TemplateRefusedError, match=r"inference\.template\.spec\.volumes\[0\]\.hostPath"):
        deployment(REFUSED["spec.volumes[0].hostPath"])


@pytest.mark.parametrize(
    "template",
    [
        TEMPLATE,
        with_pod(serviceAccountName="default", hostNetwork=False, restartPolicy="Always", hostUsers=False),
        with_pod(
            volumes=[{"name": "a", "persistentVolumeClaim": {"claimName": "models"}}, {"name": "b", "emptyDir": {}}]
        ),
        with_container(
            securityContext={"capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}, "runAsUser": 0}
        ),
        with_pod(securityContext={"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}),
    ],
)
def test_a_template_that_stays_in_its_namespace_is_accepted(template: dict[str, Any]) -> None:
    assert violations(deepcopy(template), OURS) == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": {"k8s.v1.cni.cncf.io/networks": "other/net"}},
        {"annotations": {"sidecar.istio.io/inject": "true"}},
        {"annotations": {"example.com/note": "1"}},
        {"labels": {"aadpodidbinding": "identity"}},
        {"labels": {"kaito.sh/workspace": "other"}},
        {"labels": {"linkerd.io/inject": "enabled"}},
    ],
)
def test_a_key_that_another_program_may_act_on_is_refused_by_name(metadata: dict[str, Any]) -> None:
    (found,) = violations({**with_pod(), "metadata": metadata})
    ((key,),) = (list(keys) for keys in metadata.values())
    assert f'"{key}" is refused' in found.message


def test_what_the_clusters_operator_lists_is_let_through() -> None:
    policy = TemplatePolicy(("example.com/",), ("high",), ("kata",), ("inline.csi.example.com",))
    volume = {"name": "v", "csi": {"driver": "inline.csi.example.com"}}
    template = with_pod(priorityClassName="high", runtimeClassName="kata", volumes=[volume])

    assert violations(template, policy) == []
    assert len(violations(template)) == 3


READS_SECRETS = (
    with_container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
    with_container(envFrom=[{"secretRef": {"name": "s"}}]),
    with_pod(volumes=[{"name": "v", "secret": {"secretName": "s"}}]),
    with_pod(volumes=[{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]),
    with_pod(initContainers=[{"name": "i", "image": "i:1", "envFrom": [{"secretRef": {"name": "s"}}]}]),
)


@pytest.mark.parametrize("template", READS_SECRETS)
def test_a_template_that_reads_a_secret_is_refused_where_the_operator_says_so_and_only_there(
    template: dict[str, Any],
) -> None:
    assert violations(template) == []
    (found,) = violations(template, TemplatePolicy(secrets=False))
    assert "--template-secrets=refuse" in found.message


def test_capabilities_that_are_no_list_are_refused_and_not_passed_over() -> None:
    (found,) = violations(with_container(securityContext={"capabilities": {"add": "ALL"}}))
    assert found.message == "must be a list"


def test_a_volume_source_is_judged_like_a_volume() -> None:
    assert volume_violations({"persistentVolumeClaim": {"claimName": "data"}}, "tuning.input.volumeSource") == []
    (found,) = volume_violations({"hostPath": {"path": "/etc"}}, "tuning.input.volumeSource")
    assert found.field == "tuning.input.volumeSource.hostPath"


def test_every_allowed_field_is_one_of_kubernetes() -> None:
    """A misspelt entry would let nothing through, and nobody would notice."""
    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    schema = json.loads((folder / f"v{kubernetes_validate.latest_version()}-local" / "_definitions.json").read_text())
    definitions = schema["$defs"]

    def unknown(allowed: template_fields.Fields, name: str, path: str) -> list[str]:
        known = definitions[name]["properties"]
        missing = [f"{path}.{field}" for field in allowed if field not in known]
        for field, below in allowed.items():
            reference = (
                known[field].get("$ref") or known[field].get("items", {}).get("$ref") if field in known else None
            )
            if below is not None and reference:
                missing += unknown(below, reference.rpartition("/")[2], f"{path}.{field}")
        return missing

    assert unknown(template_fields.POD, "io.k8s.api.core.v1.PodSpec", "spec") == []


def test_a_template_that_uses_all_that_is_allowed_is_accepted() -> None:
    """The other half, that it passes Pod Security, is asked of a real API server."""
    assert violations(everything_allowed(), ALL_LISTED) == []
