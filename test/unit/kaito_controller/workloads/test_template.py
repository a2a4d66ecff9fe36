"""Pod templates of users: kept, merged, and refused where they reach beyond their namespace."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from kaito_controller.workloads import TemplateRefusedError, build_workload, violations, volume_violations
from test.unit.kaito_controller.workloads.cases import TEMPLATE, THREE_ADAPTERS, context, pod_spec, workspace


def deployment(template: dict[str, Any], **more: Any) -> dict[str, Any]:
    return build_workload(context(workspace("own", inference={"template": template, **more})))


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
    assert len(spec["tolerations"]) == 3
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["key"] == "zone"
    assert term["matchFields"][0]["values"] == ["node-0"]
    assert spec["containers"][0]["resources"] == {"limits": {"nvidia.com/gpu": 1}}
    assert spec["automountServiceAccountToken"] is False
    assert spec["containers"][0]["securityContext"] == {"allowPrivilegeEscalation": False}


def test_a_label_of_the_user_cannot_take_the_place_of_the_selector() -> None:
    template = {**with_pod(), "metadata": {"labels": {"kaito.sh/workspace": "another"}}}
    built = deployment(template)["spec"]
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
    "spec.containers[0].securityContext.windowsOptions.hostProcess": with_container(
        securityContext={"windowsOptions": {"hostProcess": True}}
    ),
    "spec.containers[0].securityContext.seLinuxOptions": with_container(
        securityContext={"seLinuxOptions": {"role": "r"}}
    ),
    "spec.initContainers[0].securityContext.privileged": with_pod(
        initContainers=[{"name": "i", "image": "i:1", "securityContext": {"privileged": True}}]
    ),
    "spec.tolerations": with_pod(tolerations="all"),
    "spec.containers[0].env": with_container(env="A=b"),
}


@pytest.mark.parametrize("field", sorted(REFUSED))
def test_a_template_that_reaches_beyond_its_namespace_is_refused_naming_the_field(field: str) -> None:
    (found,) = violations(REFUSED[field])
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
    assert violations(deepcopy(template)) == []


def test_a_volume_source_is_judged_like_a_volume() -> None:
    assert volume_violations({"persistentVolumeClaim": {"claimName": "data"}}, "tuning.input.volumeSource") == []
    (found,) = volume_violations({"hostPath": {"path": "/etc"}}, "tuning.input.volumeSource")
    assert found.field == "tuning.input.volumeSource.hostPath"
