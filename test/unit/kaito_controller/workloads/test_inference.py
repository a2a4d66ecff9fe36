"""Preset workloads: what the pods run, where, with how much patience."""

from __future__ import annotations

from typing import Any

import pytest

from kaito_controller.workloads import (
    PodSettings,
    WorkloadContext,
    build_inference_deployment,
    build_inference_stateful_set,
    build_workload,
    pinned_nodes,
)
from kaito_controller.workloads.scheduling import pinned_affinity, tolerations
from test.unit.kaito_controller.workloads.cases import (
    CATALOG,
    THREE_ADAPTERS,
    adapter,
    all_containers,
    context,
    inference,
    pod_spec,
    private,
    workspace,
)


def server(ctx: WorkloadContext) -> dict[str, Any]:
    found: dict[str, Any] = pod_spec(build_workload(ctx))["containers"][0]
    return found


def spread(count: int = 2, gpus: int = 4) -> WorkloadContext:
    subject = workspace("w", inference={"preset": private("llama-2-70b-chat")}, resource={"count": count})
    return context(subject, gpus_per_pod=gpus)


def test_flags_come_sorted_in_groups_and_bare_flags_stay_bare() -> None:
    container = server(context(workspace(inference=inference("phi-3-mini-4k-instruct"))))
    assert container["command"] == ["accelerate", "launch"]
    assert container["args"] == [
        "--gpu_ids=all",
        "--machine_rank=0",
        "--num_machines=1",
        "--num_processes=1",
        "inference_api.py",
        "--pipeline=text-generation",
        "--torch_dtype=auto",
        "--trust_remote_code",
    ]


def test_llama_starts_in_its_folder_without_a_shell() -> None:
    container = server(context(workspace(inference={"preset": private("llama-2-7b")})))
    assert container["workingDir"] == "/workspace/llama/llama-2"
    assert container["command"] == ["torchrun"]
    assert "--master_addr=localhost" in container["args"]


def test_ranks_meet_at_the_first_pod_and_take_their_number_from_the_pod() -> None:
    container = server(spread(count=2, gpus=4))
    address = "w-0.w-headless.default.svc.cluster.local"
    assert {
        "--nnodes=2",
        "--nproc_per_node=4",
        "--node_rank=$(POD_INDEX)",
        f"--master_addr={address}",
        f"--rdzv_endpoint={address}:29500",
        "--rdzv_backend=c10d",
    } <= set(container["args"])
    (rank,) = container["env"]
    assert rank["name"] == "POD_INDEX"
    assert rank["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['apps.kubernetes.io/pod-index']"


def test_a_distributed_model_on_one_node_needs_no_rank_from_outside() -> None:
    container = server(spread(count=1, gpus=8))
    assert {"--nnodes=1", "--nproc_per_node=8", "--node_rank=0", "--master_addr=localhost"} <= set(container["args"])
    assert "env" not in container


def test_another_cluster_domain_reaches_the_rendezvous_address() -> None:
    ctx = WorkloadContext(
        spread().workspace, spread().preset, ("a", "b"), settings=PodSettings(cluster_domain="corp.example")
    )
    assert "--master_addr=w-0.w-headless.default.svc.corp.example" in server(ctx)["args"]


def test_all_ranks_start_at_once_under_the_headless_service() -> None:
    spec = build_inference_stateful_set(spread())["spec"]
    assert (spec["serviceName"], spec["podManagementPolicy"], spec["replicas"]) == ("w-headless", "Parallel", 2)


@pytest.mark.parametrize("name", sorted(CATALOG.presets))
def test_patience_matches_the_readiness_timeout_of_every_preset(name: str) -> None:
    preset = CATALOG.presets[name]
    spec = {"preset": private(name) if preset.access == "private" else {"name": name}}
    ctx = context(workspace(inference=spec))
    probes = server(ctx)
    startup = probes["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == preset.inference.readiness_timeout_s
    kinds = ("startupProbe", "readinessProbe", "livenessProbe")
    assert {probes[kind]["httpGet"]["path"] for kind in kinds} == {preset.contract.health_path}
    assert build_inference_deployment(ctx)["spec"]["progressDeadlineSeconds"] > preset.inference.readiness_timeout_s


def test_a_rollout_frees_the_gpu_before_it_needs_it_again() -> None:
    strategy = build_inference_deployment(context(workspace(inference=inference())))["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_gpus_are_requested_per_pod_and_shared_memory_is_there_on_one_node_too() -> None:
    container = server(context(workspace(inference=inference("falcon-40b")), gpus_per_pod=2))
    assert (
        container["resources"]["requests"]["nvidia.com/gpu"]
        == container["resources"]["limits"]["nvidia.com/gpu"]
        == "2"
    )
    assert {"name": "dshm", "mountPath": "/dev/shm"} in container["volumeMounts"]


def test_pods_are_bound_to_exactly_the_chosen_nodes_one_each() -> None:
    subject = workspace(inference=inference("falcon-7b"), resource={"count": 2})
    deployment = build_inference_deployment(context(subject, node_names=("n2", "n1")))
    assert pinned_nodes(deployment) == ("n1", "n2")
    (rule,) = pod_spec(deployment)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule == {
        "labelSelector": {"matchLabels": {"kaito.sh/workspace": "demo"}},
        "topologyKey": "kubernetes.io/hostname",
    }


def test_an_empty_label_selector_still_leaves_pods_a_node_to_run_on() -> None:
    subject = workspace(inference=inference(), resource={"labelSelector": {}})
    assert pinned_nodes(build_workload(context(subject))) == ("node-0",)


def test_nothing_is_built_before_nodes_are_chosen() -> None:
    with pytest.raises(ValueError, match="node_names is empty"):
        build_workload(context(workspace(inference=inference()), node_names=()))


def test_the_users_own_affinity_is_narrowed_not_replaced() -> None:
    own = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
            },
            "preferredDuringSchedulingIgnoredDuringExecution": ["kept"],
        }
    }
    merged = pinned_affinity("w", ("n1", "n2"), own)["nodeAffinity"]
    terms = merged["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchFields"][0]["values"] for term in terms] == [["n1"], ["n2"]]
    assert all(term["matchExpressions"] == [{"key": "a", "operator": "Exists"}] for term in terms)
    assert merged["preferredDuringSchedulingIgnoredDuringExecution"] == ["kept"]
    assert tolerations(tolerations()) == tolerations()


def test_pods_get_no_identity_and_no_privileges() -> None:
    spec = pod_spec(build_workload(context(workspace(inference=inference(adapters=THREE_ADAPTERS)))))
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in all_containers(spec):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_configured_user_makes_the_model_run_as_non_root_with_a_home_to_cache_in() -> None:
    container = server(context(workspace(inference=inference()), preset_run_as_user=1000))
    assert container["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["runAsUser"] == 1000
    assert {"name": "HOME", "value": "/tmp"} in container["env"]


@pytest.mark.parametrize("distributed", [False, True])
def test_adapters_are_copied_in_order_on_every_kind_of_workload(distributed: bool) -> None:
    preset = private("llama-2-13b" if distributed else "mistral-7b")
    spec = pod_spec(build_workload(context(workspace(inference={"preset": preset, "adapters": THREE_ADAPTERS}))))
    copies = spec["initContainers"]
    assert [copy["name"] for copy in copies] == ["style", "facts", "7b-tone"]
    assert copies[0]["command"] == ["cp", "-R", "/data/.", "/mnt/adapter/style"]
    assert copies[0]["volumeMounts"] == [
        {"name": "adapter-volume", "mountPath": "/mnt/adapter/style", "subPath": "style"}
    ]
    strengths = {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}
    assert strengths == {"style": "0.5", "facts": "1.0", "adapter-7b-tone": "1.0"}
    assert [secret["name"] for secret in spec["imagePullSecrets"]] == ["models", "team-a", "team-b"]


def test_adapter_names_that_are_no_container_names_are_made_so_without_clashes() -> None:
    names = ["Style", "style", "demo", "x" * 70]
    spec = pod_spec(build_workload(context(workspace(inference=inference(adapters=[adapter(name) for name in names])))))
    assert [copy["name"] for copy in spec["initContainers"]] == ["style", "style-2", "demo-2", "x" * 63]
    assert [copy["volumeMounts"][0]["subPath"] for copy in spec["initContainers"]] == names


@pytest.mark.parametrize("name", ["../escape", "a/b", "", "..", "-rf"])
def test_an_adapter_name_that_leaves_its_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="adapter name"):
        build_workload(context(workspace(inference=inference(adapters=[adapter(name)]))))


def test_the_workspace_decides_between_the_published_image_and_its_own() -> None:
    public = server(context(workspace(inference=inference("falcon-7b")), image_registry="mirror.example.com/kaito"))
    assert public["image"].startswith("mirror.example.com/kaito/kaito-falcon-7b:")
    own = {"preset": private("falcon-7b")}
    assert server(context(workspace(inference=own)))["image"] == "registry.example.com/llama-2:0.0.1"


def test_pull_secrets_of_a_published_image_are_not_taken_from_unused_options() -> None:
    unused = {"name": "falcon-7b", "presetOptions": {"imagePullSecrets": ["unused"]}}
    assert "imagePullSecrets" not in pod_spec(build_workload(context(workspace(inference={"preset": unused}))))
