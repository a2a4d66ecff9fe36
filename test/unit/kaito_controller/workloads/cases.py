"""Workspaces that the builder tests share: the published quickstarts, and one for each thing a Workspace can ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from kaito_controller.api.types import Workspace
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.runtime_image import with_runtime_image
from kaito_controller.catalog.sizing import runtime_arguments
from kaito_controller.workloads import PodSettings, TemplatePolicy, WorkloadContext, build_tuning_job
from test.support import published_schemas

API_VERSIONS = ("1.30", kubernetes_validate.latest_version())
UID = "6f1c2d3e-0000-4000-8000-000000000001"
CATALOG = load_catalog()
GOLDEN = Path(__file__).parent / "golden"

QLORA = {
    "ModelConfig": {"torch_dtype": "bfloat16", "local_files_only": True, "device_map": "auto"},
    "QuantizationConfig": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "LoraConfig": {"r": 8, "lora_alpha": 8, "lora_dropout": 0.0},
    "TrainingArguments": {"output_dir": "/mnt/results", "save_strategy": "epoch"},
}
DATA_URL = "https://example.org/resolve/main/data/train-00000-of-00001.parquet?download=true"

SETTINGS = {field.name for field in dataclasses.fields(PodSettings)}


def workspace(name: str = "demo", namespace: str = "default", *, uid: str = UID, **sections: Any) -> Workspace:
    """A Workspace as it is read from the cluster; `resource` and metadata are filled in."""
    metadata = {"name": name, "namespace": namespace, "uid": uid, **sections.pop("metadata", {})}
    resource = {"instanceType": "Standard_NC6s_v3", "labelSelector": {"matchLabels": {"apps": name}}}
    resource |= sections.pop("resource", {})
    found = Workspace.from_object({"metadata": metadata, "resource": resource, **sections})
    assert found.malformed == ()
    return found


def context(subject: Workspace, **fields: Any) -> WorkloadContext:
    """The context that the reconciler would give for it: preset from the catalogue, one node name per node.

    `fields` are those of the context, and of its settings.
    """
    count = subject.resource.count if subject.resource else 1
    defaults: dict[str, Any] = {
        "preset": CATALOG.preset(subject.preset.name) if subject.preset else None,
        "node_names": tuple(f"node-{number}" for number in range(count)),
    }
    if subject.tuning:
        defaults |= {"tuning_config": QLORA, "tuning_config_map": "qlora-params-template"}
    told: dict[str, Any] = {"template_policy": OURS, "load_balancer_namespaces": ("*",)}
    told |= {name: fields.pop(name) for name in SETTINGS & fields.keys()}
    return WorkloadContext(workspace=subject, settings=PodSettings(**told), **(defaults | fields))


RUNTIME_IMAGE = "registry.example.com/runtime:1@sha256:" + "0" * 64


def on_runtime(subject: Workspace, **fields: Any) -> WorkloadContext:
    """As `context`, in a cluster whose operator names a runtime image; arguments as the preflight gives them for unknown GPUs."""
    catalog = with_runtime_image(CATALOG, RUNTIME_IMAGE)
    assert subject.preset is not None
    preset = catalog.presets[subject.preset.name]
    told = () if subject.tuning else tuple(runtime_arguments(preset, None))
    return context(subject, **{"preset": preset, "runtime_args": told, **fields})


def inference(preset: str = "phi-3-mini-4k-instruct", **more: Any) -> dict[str, Any]:
    return {"preset": {"name": preset}, **more}


def adapter(name: str, *secrets: str, **more: Any) -> dict[str, Any]:
    source = {"name": name, "image": f"registry.example.com/{name}:0.0.1", "imagePullSecrets": list(secrets)}
    return {"source": source, **more}


def tuning(data: dict[str, Any] | None = None, preset: str = "phi-3-mini-128k-instruct", **more: Any) -> dict[str, Any]:
    return {
        "preset": {"name": preset},
        "method": "qlora",
        "input": data or {"urls": [DATA_URL]},
        "output": {"image": "registry.example.com/adapter:0.0.1", "imagePushSecret": "push"},
        **more,
    }


def private(preset: str = "llama-2-7b") -> dict[str, Any]:
    options = {"image": "registry.example.com/llama-2:0.0.1", "imagePullSecrets": ["models"]}
    return {"name": preset, "accessMode": "private", "presetOptions": options}


OURS = TemplatePolicy(metadata_prefixes=("example.com/",))
"""The cluster's operator lets templates carry the company's own annotations."""
TEMPLATE = {
    "metadata": {"labels": {"team": "search"}, "annotations": {"example.com/note": "kept"}},
    "spec": {
        "containers": [
            {
                "name": "server",
                "image": "registry.example.com/own:1",
                "ports": [{"name": "http", "containerPort": 8000}],
                "resources": {"limits": {"nvidia.com/gpu": 1}},
            }
        ],
        "tolerations": [{"key": "mine", "operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}
                    ]
                }
            }
        },
    },
}

THREE_ADAPTERS = [adapter("style", "team-a", strength="0.5"), adapter("facts", "team-a", "team-b"), adapter("7b-tone")]


def _quickstart(name: str, **sections: Any) -> WorkloadContext:
    return context(workspace(name, **sections))


CASES: dict[str, Callable[[], WorkloadContext]] = {
    "inference-phi-3-mini": lambda: _quickstart("workspace-phi-3-mini", inference=inference()),
    "inference-phi-3-mini-adapter": lambda: _quickstart(
        "workspace-phi-3-mini-adapter",
        inference=inference("phi-3-mini-128k-instruct", adapters=[adapter("phi-3-adapter", strength="1.0")]),
    ),
    "inference-falcon-7b": lambda: _quickstart(
        "workspace-falcon-7b", inference=inference("falcon-7b"), resource={"instanceType": "Standard_NC12s_v3"}
    ),
    "tuning-phi-3-qlora": lambda: _quickstart("workspace-tuning-phi-3", tuning=tuning()),
    "load-balancer": lambda: _quickstart(
        "open", inference=inference(), metadata={"annotations": {"kaito.sh/enablelb": "True"}}
    ),
    "two-copies": lambda: _quickstart("twins", inference=inference("falcon-7b"), resource={"count": 2}),
    "distributed-two-nodes": lambda: context(
        workspace("spread", "models", inference={"preset": private("llama-2-70b-chat")}, resource={"count": 2}),
        gpus_per_pod=4,
    ),
    "distributed-one-node-adapters": lambda: context(
        workspace("single", inference={"preset": private("llama-2-13b"), "adapters": THREE_ADAPTERS}), gpus_per_pod=2
    ),
    "private-image-adapters": lambda: _quickstart(
        "mine", inference={"preset": private(), "adapters": [adapter("style", "models", "team-a")]}
    ),
    "three-adapters": lambda: _quickstart("tuned", inference=inference(adapters=THREE_ADAPTERS)),
    "non-root": lambda: context(workspace("careful", inference=inference()), preset_run_as_user=1000),
    "template": lambda: _quickstart("own", inference={"template": TEMPLATE}, resource={"count": 2}),
    "template-adapters": lambda: _quickstart(
        "own-adapters", inference={"template": TEMPLATE, "adapters": THREE_ADAPTERS}
    ),
    "tuning-image": lambda: context(
        workspace(
            "from-image",
            tuning=tuning({"image": "registry.example.com/data:1", "imagePullSecrets": ["data"]}, "falcon-40b"),
        ),
        gpus_per_pod=2,
    ),
    "tuning-volume": lambda: context(
        workspace(
            "from-volume",
            tuning=tuning({"volumeSource": {"persistentVolumeClaim": {"claimName": "data"}}}, "falcon-7b"),
        ),
        tuning_deadline_s=86400,
    ),
    "runtime-phi-3-mini": lambda: on_runtime(workspace("workspace-phi-3-mini", inference=inference())),
    "runtime-adapters": lambda: on_runtime(
        workspace("tuned", inference=inference(adapters=[adapter("style", "team-a", "team-b"), adapter("7b-tone")]))
    ),
    "runtime-adapters-with-strengths": lambda: on_runtime(
        workspace("tuned", inference=inference(adapters=THREE_ADAPTERS))
    ),
    "runtime-tuning": lambda: on_runtime(workspace("workspace-tuning-phi-3", tuning=tuning())),
    "runtime-tuning-image": lambda: on_runtime(
        workspace("from-image", tuning=tuning({"image": "registry.example.com/data:1", "imagePullSecrets": ["data"]}))
    ),
    "tuning-urls-private": lambda: context(
        workspace(
            "from-urls",
            tuning={
                **tuning(
                    {"urls": ["http://a.example/x.json", "https://b.example/x.json", "https://c.example/get?f=y.csv"]}
                ),
                "preset": private("mistral-7b"),
            },
        ),
        tuning_config={**QLORA, "TrainingArguments": {"output_dir": "results/run 1"}},
    ),
}
"""Every case has a golden file of the same name."""


def validate(obj: dict[str, Any]) -> None:
    """Check an object against the published schemas, unknown fields refused."""
    for version in API_VERSIONS:
        published_schemas.validate(obj, version)


def pod_spec(obj: dict[str, Any]) -> dict[str, Any]:
    return obj["spec"]["template"]["spec"]


def all_containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*(spec.get("initContainers") or []), *spec["containers"]]


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Every text in an object (keys of maps too) with the path to it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, "<key>"), key
            yield from strings(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from strings(item, (*path, index))
    elif isinstance(value, str):
        yield path, value


def as_yaml(objects: tuple[dict[str, Any], ...]) -> str:
    return yaml.safe_dump_all(objects, sort_keys=True, default_flow_style=False, width=140)


def everything_allowed() -> dict[str, Any]:
    """A pod template that reaches as far as `policy.violations` lets one reach."""
    here = {"path": "/", "port": 8080, "scheme": "HTTP"}
    probe = {"httpGet": here, "periodSeconds": 5}
    confined = {
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "own"},
        "seLinuxOptions": {"type": "container_kvm_t", "level": "s0:c1,c2"},
        "seccompProfile": {"type": "Localhost", "localhostProfile": "own.json"},
        "runAsUser": 0,
        "runAsGroup": 0,
    }
    container = {
        "image": "registry.example.com/own:1",
        "lifecycle": {"postStart": {"httpGet": here}, "preStop": {"sleep": {"seconds": 1}}},
        "securityContext": {**confined, "capabilities": {"add": ["NET_BIND_SERVICE"]}, "procMount": "Default"},
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "envFrom": [{"secretRef": {"name": "s"}}, {"configMapRef": {"name": "c"}}],
    }
    sysctls = ("kernel.shm_rmid_forced", "net.ipv4.tcp_syncookies", "net.ipv4.ip_unprivileged_port_start")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "metadata": {"labels": {"team": "a"}, "annotations": {"prometheus.io/scrape": "true"}},
        "spec": {
            "containers": [
                {**container, "name": "own", "livenessProbe": probe, "startupProbe": {"tcpSocket": {"port": 1}}}
            ],
            "initContainers": [{**container, "name": "helper", "restartPolicy": "Always", "readinessProbe": probe}],
            "securityContext": {
                **confined,
                "fsGroup": 0,
                "sysctls": [{"name": name, "value": "1"} for name in sysctls],
            },
            "shareProcessNamespace": True,
            "dnsPolicy": "Default",
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
            "priorityClassName": "high",
            "tolerations": [{"operator": "Exists"}],
            "volumes": [
                {"name": "a", "configMap": {"name": "c"}},
                {"name": "b", "downwardAPI": {"items": []}},
                {"name": "c", "emptyDir": {"medium": "Memory"}},
                {"name": "d", "ephemeral": {"volumeClaimTemplate": {"spec": claim}}},
                {"name": "e", "image": {"reference": "registry.example.com/data:1"}},
                {"name": "f", "persistentVolumeClaim": {"claimName": "p"}},
                {"name": "g", "projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "c"}}]}},
                {"name": "h", "secret": {"secretName": "s"}},
                {"name": "i", "csi": {"driver": "inline.csi.example.com", "volumeAttributes": {"a": "b"}}},
            ],
        },
    }


ALL_LISTED = TemplatePolicy(("example.com/",), ("high",), ("kata",), ("inline.csi.example.com",))


def job(data: dict[str, Any] | None = None, preset: str = "phi-3-mini-128k-instruct", **fields: Any) -> dict[str, Any]:
    return build_tuning_job(context(workspace("tune", tuning=tuning(data, preset)), **fields))


def container(built: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [item for item in all_containers(pod_spec(built)) if item["name"] == name]
    return found


def mount_paths(item: dict[str, Any]) -> dict[str, str]:
    return {mount["name"]: mount["mountPath"] for mount in item["volumeMounts"]}
