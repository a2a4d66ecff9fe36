"""What a stranger may send: objects and changes for everything that the operators read back, drawn by hypothesis. Pure.

A stroke is one request, as JSON, so that a seed file can hold it. Whether the API server takes it is not judged here: it is the
server's part to refuse what breaks a schema, and ours to survive what it lets through.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from test.fuzz.catalogue import TYPES, catalogue_data, offers
from test.fuzz.values import DEEP, junk, moments, nested, numbers, texts
from test.support.workspaces.generate import generate

Stroke = dict[str, Any]
"""`method`, `path`, `body`, and `kind` (the content type) for a PATCH. With the method `CLOUD`: see there."""

TEAM = "strangers"
RELEASE = "kaito-workspace"
NAMES = ("a", "b", "c")
MERGE = "application/merge-patch+json"
CLOUD = "CLOUD"
"""Stands for a method: the next reply of the cloud about `path` is `body`."""
_POOL_PROPERTIES = (
    *(
        "provisioningState",
        "powerState",
        "mode",
        "vmSize",
        "nodeLabels",
        "nodeTaints",
        "tags",
        "eTag",
        "status",
        "count",
    ),
)
_SOLD_PROPERTIES = ("family", "capabilities", "restrictions", "limit", "currentValue", "unit", "locations")
WORKSPACES = f"/apis/kaito.sh/v1alpha1/namespaces/{TEAM}/workspaces"
MACHINES = "/apis/karpenter.sh/v1alpha5/machines"
CORE = f"/api/v1/namespaces/{TEAM}"
OWN_CONFIGS = ("mine", "qlora-params-template", "lora-params-template")
CATALOGUE, OFFER = "kaito-catalogue", "kaito-instance-offer"
OWN_KEYS = ("training_config.yaml", "inference_config.yaml")
names = st.sampled_from(NAMES)
annotation_keys = st.sampled_from(
    [
        *("kaito.sh/machine-attempts", "kaito.sh/released", "kaito.sh/tuned-run", "kaito.sh/try-again", "kaito.sh/enablelb"),
        *("kaito.sh/workspace-uid", "kaito.sh/machine-ordinal", "kaito.sh/machine-attempt", "kaito.sh/claimed-by"),
        *("kaito.sh/creation-timestamp", "karpenter.sh/machine-linked", "karpenter.sh/do-not-evict", "kaito.sh/capacity-type", "x"),
    ]
)  # fmt: skip
annotations = st.dictionaries(annotation_keys, texts, max_size=5)
labels = st.dictionaries(
    st.sampled_from(
        ["kaito.sh/workspace", "kaito.sh/workspacenamespace", "apps", "agentpool", "kubernetes.azure.com/agentpool",
         "karpenter.sh/provisioner-name", "node.kubernetes.io/instance-type", "kaito.sh/machine-uid"]
    ),
    st.sampled_from(["", "a", "b", TEAM, "phi", "default", "Standard_NC6s_v3", "x" * 63]),
    max_size=5,
)  # fmt: skip
conditions = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(
                ["Ready", "MachineLaunched", "MachineInitialized", "WorkspaceReady", "InferenceReady", "PodScheduled",
                 "Complete", "Failed", "ReplicaFailure", "WorkspaceSucceeded"]
            ),
            "status": st.sampled_from(["True", "False", "Unknown"]),
            "reason": st.sampled_from(["x", "LaunchFailed", "InvalidMachine", "InternalError", "Unschedulable", "NotOurs_1:2"]),
            "message": texts,
            "lastTransitionTime": moments,
        }
    ),
    max_size=4,
    unique_by=lambda entry: entry["type"],
)  # fmt: skip


def stroke(method: str, path: str, body: Any) -> Stroke:
    return {"method": method, "path": path, "body": body, **({"kind": MERGE} if method == "PATCH" else {})}


def meta(name: str, *, labels: Any = None, annotations: Any = None, **more: Any) -> Stroke:
    return {"name": name, "labels": labels or {}, "annotations": annotations or {}, **more}


@st.composite
def workspaces(draw: st.DrawFn) -> Stroke:
    """Any Workspace, plausible or broken, now and then with a template nested beyond reason."""
    obj = next(iter(generate(draw(st.integers(0, 10**6)), 1)))
    obj["metadata"] = meta(draw(names), annotations=draw(annotations), namespace=TEAM)
    depth = draw(st.sampled_from([0, 0, 0, 50, 150, 900, 1500]))
    if depth and isinstance(obj.get("inference"), dict):
        container = {"name": "c", "image": "registry.example.com/a:1"}
        obj["inference"] = {"template": {"spec": {"containers": [container], "deep": nested(depth)}}}
    part = next(
        (obj[key] for key in ("inference", "tuning") if isinstance(obj.get(key), dict) and "preset" in obj[key]), {}
    )
    part.update(draw(st.sampled_from([{}, {"config": "mine"}])))
    if isinstance(part.get("preset"), dict):
        part["preset"].update(draw(st.sampled_from([{}, {"name": "mine"}, {"presetOptions": draw(junk)}])))
    if isinstance(obj.get("resource"), dict):
        ladder = st.lists(st.sampled_from([*TYPES, "", "x" * 300]), max_size=draw(st.sampled_from([2, 3, 60])))
        obj["resource"].update(draw(st.sampled_from([{}, {}, {"instanceTypes": draw(ladder)}])))
    return stroke("POST", WORKSPACES, {"apiVersion": "kaito.sh/v1alpha1", "kind": "Workspace", **obj})


@st.composite
def workspace_changes(draw: st.DrawFn) -> Stroke:
    body = {"metadata": {"annotations": draw(annotations), "labels": draw(labels)}}
    return stroke("PATCH", f"{WORKSPACES}/{draw(names)}", body)


@st.composite
def workspace_statuses(draw: st.DrawFn) -> Stroke:
    """Another program's status, within the schema or not."""
    failure = st.fixed_dictionaries(
        {"ordinal": numbers, "next": numbers, "failed": numbers, "message": texts, "at": moments}
    )
    record = st.fixed_dictionaries(
        {},
        optional={
            "uid": texts,
            "request": texts,
            "tunedRun": texts,
            "trainedRun": texts,
            "attempts": st.lists(failure, max_size=3),
            "release": junk,
        },
    )
    status = {
        "record": draw(st.one_of(record, junk)),
        "conditions": draw(conditions),
        "workerNodes": draw(st.one_of(junk, st.lists(texts, max_size=3))),
    }
    keep = draw(st.lists(st.sampled_from(sorted(status)), unique=True, min_size=1))
    return stroke("PATCH", f"{WORKSPACES}/{draw(names)}/status", {"status": {key: status[key] for key in keep}})


@st.composite
def machines(draw: st.DrawFn) -> Stroke:
    marks = {"kaito.sh/workspace": draw(names), "kaito.sh/workspacenamespace": TEAM} | draw(labels)
    requirement = {
        "key": "node.kubernetes.io/instance-type",
        "operator": "In",
        "values": draw(st.lists(st.sampled_from(["Standard_NC6s_v3", "", "x"]), max_size=2)),
    }
    spec = {
        "machineTemplateRef": {"name": "x"},
        "requirements": [requirement],
        "resources": {"requests": {"storage": draw(st.one_of(numbers, texts))}},
    }
    body = {
        "apiVersion": "karpenter.sh/v1alpha5",
        "kind": "Machine",
        "metadata": meta(f"ws{draw(numbers) % 9}00000000", labels=marks, annotations=draw(annotations)),
        "spec": spec,
    }
    return stroke("POST", MACHINES, body)


@st.composite
def machine_statuses(draw: st.DrawFn) -> Stroke:
    status = {
        "conditions": draw(conditions),
        "nodeName": draw(texts),
        "providerID": draw(texts),
        "capacity": draw(st.one_of(junk, st.just({"nvidia.com/gpu": "9" * 30}))),
    }
    keep = draw(st.lists(st.sampled_from(sorted(status)), unique=True, min_size=1))
    return stroke(
        "PATCH", f"{MACHINES}/ws{draw(numbers) % 9}00000000/status", {"status": {key: status[key] for key in keep}}
    )


@st.composite
def nodes(draw: st.DrawFn) -> Stroke:
    ready = {
        "type": "Ready",
        "status": draw(st.sampled_from(["True", "False"])),
        "lastTransitionTime": draw(moments),
        "message": draw(texts),
    }
    quantity = draw(st.sampled_from(["1", "0", "-1", "9" * 400, "1e400", "1Ki", "٣"]))
    status = {
        "conditions": [ready],
        "allocatable": {"nvidia.com/gpu": quantity},
        "capacity": {"nvidia.com/gpu": quantity},
    }
    name = f"stranger-{draw(names)}"
    body = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": meta(name, labels=draw(labels), annotations=draw(annotations)),
        "status": status,
    }
    return draw(
        st.sampled_from(
            [stroke("POST", "/api/v1/nodes", body), stroke("PATCH", f"/api/v1/nodes/{name}/status", {"status": status})]
        )
    )


@st.composite
def config_maps(draw: st.DrawFn) -> Stroke:
    """Training and engine configurations, as text that is no YAML, or too much of it."""
    yaml = st.sampled_from(
        [
            *(
                "training_config: {LoraConfig: {r: 8}}",
                "a: &a [*a]",
                "training_config: {ModelConfig: {x: 9999-99-99}}",
                DEEP,
            ),
            *(
                'training_config: {TrainingArguments: {output_dir: "\\ud800"}}',
                "training_config: {TrainingArguments: {n: 1" + "0" * 5000 + "}}",
            ),
            *(
                "training_config: {QuantizationConfig: {load_in_4bit: .nan}}",
                "training_config: {LoraConfig: {r: 2026-01-01, s: !!set {a}, 1: x}}",
                "vllm: {max-model-len: 0x" + "f" * 4000 + "}",
                "vllm: {compilation-config: {a: 2026-01-01, 1: x}, max-model-len: 1" + ":1" * 9000 + "}",
                "vllm: {" + ", ".join(f"max-model-lem{number}: 1" for number in range(900)) + "}",
                "vllm: {max-model-len: [" + "1," * 15000 + "1]}",
                "{" * 5000,
                "? " * 5000,
                "a: 190:20:30.15",
                "!!python/object:os.system x",
            ),
        ]
    )
    data = {draw(st.sampled_from([*OWN_KEYS, "x"])): draw(st.one_of(yaml, texts))}
    return _config_map(draw, draw(st.sampled_from(OWN_CONFIGS)), TEAM, data)


@st.composite
def catalogues(draw: st.DrawFn) -> Stroke:
    """An entry of the catalogue, for the controller or for the admission policy, or an offer of instance types."""
    name, where = draw(st.sampled_from([(CATALOGUE, RELEASE), (CATALOGUE, "kaito-system"), (OFFER, RELEASE)]))
    data = {"offer.json": draw(offers())} if name == OFFER else draw(catalogue_data)
    return _config_map(draw, name, where, data)


def _config_map(draw: st.DrawFn, name: str, namespace: str, data: dict[str, str]) -> Stroke:
    """It is created or changed."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(name, labels=draw(labels)), "data": data}
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    return draw(st.sampled_from([stroke("POST", path, body), stroke("PATCH", f"{path}/{name}", {"data": data})]))


@st.composite
def events(draw: st.DrawFn) -> Stroke:
    """About a workload of which pods are missing; its times and note are whatever the reporter says."""
    kind = draw(st.sampled_from(["Job", "StatefulSet", "Deployment"]))
    about = {"kind": kind, "name": draw(names), "namespace": TEAM, "uid": draw(texts)}
    body = {
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": meta(f"e{draw(st.integers(0, 9))}", namespace=TEAM),
        "regarding": about,
        "reason": "FailedCreate", "note": draw(texts)[:1000], "type": "Warning", "action": "x",
        "eventTime": "2026-01-02T03:04:05.000000Z", "reportingController": "x", "reportingInstance": "x",
        "series": draw(st.sampled_from([None, {"count": 2, "lastObservedTime": "9999-12-31T23:59:59.000000Z"}])),
    }  # fmt: skip
    return stroke("POST", f"/apis/events.k8s.io/v1/namespaces/{TEAM}/events", body)


@st.composite
def pods(draw: st.DrawFn) -> Stroke:
    name = f"pod-{draw(names)}"
    ended = {"exitCode": draw(numbers), "reason": draw(texts), "message": draw(texts), "finishedAt": draw(moments)}
    state = draw(
        st.sampled_from(
            [
                {"terminated": ended},
                {"waiting": {"reason": "ImagePullBackOff", "message": ended["message"]}},
                {"running": {"startedAt": ended["finishedAt"]}},
            ]
        )
    )
    container = {
        "name": "c",
        "image": "i",
        "imageID": "",
        "ready": False,
        "restartCount": 1,
        "state": state,
        "lastState": {"terminated": ended},
    }
    status = {
        "phase": draw(st.sampled_from(["Pending", "Running", "Failed"])),
        "conditions": draw(conditions),
        "containerStatuses": [container],
    }
    if draw(st.booleans()):
        return stroke("PATCH", f"{CORE}/pods/{name}/status", {"status": status})
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(name, labels={"kaito.sh/workspace": draw(names)} | draw(labels)),
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    return stroke("POST", f"{CORE}/pods", body)


@st.composite
def workloads(draw: st.DrawFn) -> Stroke:
    """A Deployment of the Workspace's name, or a change to the one that the controller made."""
    name = draw(names)
    path = f"/apis/apps/v1/namespaces/{TEAM}/deployments"
    quantity = draw(st.sampled_from(["1", "1e999999999", "NaN", "sNaN", "1e-999999999", "9" * 100, "x"]))
    container = {"name": "c", "image": "i", "resources": {"limits": {"cpu": quantity}}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta(name, labels=draw(labels), annotations=draw(annotations)),
        "spec": {
            "replicas": draw(st.sampled_from([0, 1, 3])),
            "selector": {"matchLabels": {"a": "b"}},
            "template": template,
        },
    }
    change = {
        "metadata": {"annotations": draw(annotations), "labels": draw(labels)},
        "spec": {"replicas": draw(st.sampled_from([0, 1, 5]))},
    }
    return draw(st.sampled_from([stroke("POST", path, body), stroke("PATCH", f"{path}/{name}", change)]))


@st.composite
def removals(draw: st.DrawFn) -> Stroke:
    return stroke("DELETE", draw(st.sampled_from([f"{WORKSPACES}/{name}" for name in NAMES])), None)


@st.composite
def cloud_replies(draw: st.DrawFn) -> Stroke:
    """What the cloud answers to the next requests for pools, quotas or instance types, instead of the truth."""
    pool = {
        "name": draw(st.one_of(texts, junk)),
        "properties": draw(
            st.one_of(junk, st.dictionaries(st.sampled_from(_POOL_PROPERTIES), st.one_of(junk, moments), max_size=6))
        ),
    }
    sold = {
        "name": draw(st.one_of(junk, st.just({"value": "standardNCSv3Family"}), st.just("Standard_NC6s_v3"))),
        "resourceType": "virtualMachines",
        **draw(st.dictionaries(st.sampled_from(_SOLD_PROPERTIES), junk, max_size=5)),
    }
    entry = draw(st.sampled_from([pool, sold]))
    listed = {
        "value": draw(st.sampled_from([[entry], entry, None, [None]])),
        "nextLink": draw(st.one_of(st.none(), junk)),
    }
    body = draw(st.one_of(junk, st.just(entry), st.just(listed), st.just({"error": entry}), st.just({"code": entry})))
    resource = draw(st.sampled_from(["agentPools", "agentPools", "usages", "skus"]))
    return {"method": CLOUD, "path": resource, "body": body}


any_stroke = st.one_of(
    workspaces(), workspaces(), workspace_changes(), workspace_changes(), workspace_statuses(), machines(), machine_statuses(),
    nodes(), config_maps(), catalogues(), catalogues(), events(), pods(), workloads(), removals(), cloud_replies(),
)  # fmt: skip
volleys = st.lists(any_stroke, min_size=4, max_size=12)
"""Requests that are sent one after another, before anybody looks whether the operators still live."""
