"""Turns the rendered objects into a Helm chart, so that the chart cannot drift from `kubectl apply -k`.

Each object of `config/default`, and each that an option adds, becomes one template. What a user may set is replaced by a Helm expression at
a known place; the table in `_TUNABLES` is the whole list. An expression is carried through YAML as a token and put in place afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from controller_runtime.version import VERSION
from hack.render import values_schema
from hack.render.kustomize import ROOT, Document, render, to_yaml

NAMESPACE = "kaito-system"
MACHINE_CRD = "machines.karpenter.sh"
COMPONENTS = {"kaito-controller": "kaitoController", "gpu-provisioner": "gpuProvisioner"}
AZURE_KEYS = {
    "ARM_SUBSCRIPTION_ID": "subscriptionId",
    "ARM_RESOURCE_GROUP": "resourceGroup",
    "AZURE_CLUSTER_NAME": "clusterName",
    "AZURE_TENANT_ID": "tenantId",
    "LOCATION": "location",
}
GUARDED = '(eq .Values.metrics.auth "kubernetes")'
"""Metrics are served over TLS and to those alone who may read them."""
OPTIONS = {
    "prometheus": ".Values.serviceMonitor.enabled",
    "device-plugin": ".Values.devicePlugin.enabled",
    "secured-metrics": GUARDED,
}
"""Kustomize base → what switches on the objects that it has and those before it have not."""
SECURED = ("secured-metrics", "secured-prometheus")
"""Kustomize bases in which some objects have more in them than where they come from."""


@dataclass
class Expressions:
    """Helm text on its way through YAML."""

    inline: dict[str, str] = field(default_factory=dict)
    blocks: dict[str, str] = field(default_factory=dict)

    def value(self, helm: str) -> str:
        """A scalar, such as `{{ .Values.image.tag | quote }}`."""
        token = f"HELM-VALUE-{len(self.inline):03d}-END"
        self.inline[token] = helm
        return token

    def block(self, helm: str) -> dict[str, str]:
        """A nested value: the token's line is replaced by `helm`, indented to its column."""
        token = f"HELM-BLOCK-{len(self.blocks):03d}-END"
        self.blocks[token] = helm
        return {token: ""}

    def put_in_place(self, text: str) -> str:
        """YAML with tokens → a template. In a block, INDENT stands for the column of the token, MARGIN for as many spaces."""
        for token, helm in self.inline.items():
            text = text.replace(token, helm)
        return "".join(self._line(line) + "\n" for line in text.splitlines())

    def _line(self, line: str) -> str:
        token = line.strip().removeprefix("- ").split(":")[0]
        indent = len(line) - len(line.lstrip())
        if token not in self.blocks:
            return line
        return self.blocks[token].replace("INDENT", str(indent)).replace("MARGIN", " " * indent)


def build() -> dict[str, str]:
    """File name inside the chart → content."""
    files = {
        "Chart.yaml": _chart_yaml(),
        "values.yaml": (Path(__file__).parent / "values.yaml").read_text(),
        "values.schema.json": values_schema.build(),
        "templates/NOTES.txt": (Path(__file__).parent / "notes.txt").read_text(),
    }
    for base, switch in {"default": None, **OPTIONS}.items():
        for document in render(base):
            # Helm's --create-namespace makes the namespace; the notes name the label it should carry.
            if document["kind"] != "Namespace" and _file_name(document) not in files:
                files[_file_name(document)] = template(document, switch=switch)
    return files


@cache
def _secured() -> dict[str, Document]:
    """File name → the object as it is when metrics are guarded."""
    return {_file_name(document): document for base in SECURED for document in render(base)}


def template(document: Document, *, switch: str | None = None) -> str:
    """One object as a Helm template."""
    expressions = Expressions()
    document = json.loads(json.dumps(document))
    _guard(document, _secured().get(_file_name(document), document), expressions)
    document = _in_release_namespace(document, expressions)
    component = COMPONENTS.get(document["metadata"].get("labels", {}).get("app.kubernetes.io/name", ""))
    tune = _TUNABLES.get(document["kind"])
    if tune and component:
        tune(document, component, expressions)
    if document["kind"] == "CustomResourceDefinition":
        # In templates/ and not in crds/, because Helm never upgrades crds/; kept on uninstall, because deleting one deletes every object.
        document["metadata"].setdefault("annotations", {})["helm.sh/resource-policy"] = "keep"
    text = expressions.put_in_place(_escape(to_yaml([document])))
    conditions = [condition for condition in (switch, _switch_of(document, component)) if condition]
    if not conditions:
        return text
    test = conditions[0] if len(conditions) == 1 else f"and {' '.join(conditions)}"
    return f"{{{{- if {test} }}}}\n{text}{{{{- end }}}}\n"


def _switch_of(document: Document, component: str | None) -> str | None:
    if document["kind"] == "NetworkPolicy":
        return f"(and .Values.networkPolicy.enabled .Values.{component}.enabled)"
    if document["kind"] == "PodDisruptionBudget":
        return f"(and .Values.{component}.podDisruptionBudget.enabled .Values.{component}.enabled)"
    if document["metadata"]["name"] in (MACHINE_CRD, "kaito-machine-viewer"):
        return ".Values.machineAPI.enabled"
    return f".Values.{component}.enabled" if component else None


def _guard(plain: Any, secured: Any, expressions: Expressions) -> None:
    """Put what `secured` has more than `plain` into `plain`, so that Helm shows it only when metrics are guarded."""
    more: Any = None
    if isinstance(plain, dict):
        for key in plain:
            _guard(plain[key], secured[key], expressions)
        more = {key: secured[key] for key in secured if key not in plain}
    elif isinstance(plain, list):
        for mine, theirs in zip(plain, secured, strict=False):
            _guard(mine, theirs, expressions)
        more = secured[len(plain) :]
    if more:
        text = to_yaml([more]).replace(NAMESPACE, "{{ .Release.Namespace }}")
        lines = "".join(f"MARGIN{line}\n" for line in text.splitlines())
        block = expressions.block(f"{{{{- if {GUARDED} }}}}\n{lines}{{{{- end }}}}")
        plain.update(block) if isinstance(plain, dict) else plain.extend(block)


def _in_release_namespace(node: Any, expressions: Expressions) -> Any:
    """Every mention of the operators' namespace follows the release."""
    if isinstance(node, dict):
        return {key: _in_release_namespace(value, expressions) for key, value in node.items()}
    if isinstance(node, list):
        return [_in_release_namespace(value, expressions) for value in node]
    if isinstance(node, str) and NAMESPACE in node:
        return node.replace(NAMESPACE, expressions.value("{{ .Release.Namespace }}"))
    return node


def _escape(text: str) -> str:
    """Braces that belong to an object (a printer column never has them, a CEL message might) must not be read by Helm."""
    return text.replace("{{", '{{ "{{" }}')


def _tune_deployment(document: Document, component: str, expressions: Expressions) -> None:
    values = f".Values.{component}"
    spec = document["spec"]
    spec["replicas"] = expressions.value(f"{{{{ {values}.replicas }}}}")
    pod = spec["template"]["spec"]
    spec["template"]["metadata"]["annotations"].update(
        expressions.block(
            f"{{{{- with {values}.podAnnotations }}}}\n{{{{ toYaml . | indent INDENT }}}}\n{{{{- end }}}}"
        )
    )
    pod["priorityClassName"] = expressions.value(f"{{{{ {values}.priorityClassName | quote }}}}")
    for name in ("nodeSelector", "tolerations", "affinity"):
        pod[name] = expressions.block(f"{{{{ toYaml {values}.{name} | indent INDENT }}}}")
    pod.update(
        expressions.block(
            "{{- with .Values.imagePullSecrets }}\n      imagePullSecrets:\n{{ toYaml . | indent 8 }}\n{{- end }}"
        )
    )
    container = pod["containers"][0]
    container["image"] = expressions.value(
        '"{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}'
        '{{ with .Values.image.digest }}@{{ . }}{{ end }}"'
    )
    container["imagePullPolicy"] = expressions.value("{{ .Values.image.pullPolicy }}")
    container["resources"] = expressions.block(f"{{{{ toYaml {values}.resources | indent INDENT }}}}")
    container["args"].extend(
        expressions.block(
            f"{{{{- range $name, $value := {values}.settings }}}}\n"
            # As JSON unless it is text: a large number read from a values file would be written as 1e+06.
            '{{- $text := ternary $value (toJson $value) (kindIs "string" $value) }}\n'
            '{{ printf "- %s" (printf "--%s=%s" $name $text | quote) | indent INDENT }}\n{{- end }}'
        )
    )
    if component == "kaitoController":
        flag = '{{ printf "- %s" (printf "--model-runtime-image=%s" . | quote) | indent INDENT }}'
        image = f"{{{{- with .Values.modelRuntime.image }}}}\n{flag}\n{{{{- end }}}}"
        container["args"].extend(expressions.block(image))
    for variable in container["env"]:
        if variable["name"] == "PRESET_REGISTRY_NAME":
            variable["value"] = expressions.value("{{ .Values.kaitoController.presetRegistry | quote }}")


def _tune_service_account(document: Document, component: str, expressions: Expressions) -> None:
    if component == "gpuProvisioner":
        document["metadata"]["annotations"] = expressions.block(
            "    azure.workload.identity/client-id: {{ .Values.gpuProvisioner.workloadIdentity.clientId | quote }}"
        )


def _tune_config_map(document: Document, component: str, expressions: Expressions) -> None:
    for key, value in AZURE_KEYS.items():
        if key in document.get("data", {}):
            document["data"][key] = expressions.value(f"{{{{ .Values.gpuProvisioner.azure.{value} | quote }}}}")


_TUNABLES: dict[str, Callable[[Document, str, Expressions], None]] = {
    "Deployment": _tune_deployment,
    "ServiceAccount": _tune_service_account,
    "ConfigMap": _tune_config_map,
}


def _file_name(document: Document) -> str:
    name = document["metadata"]["name"].replace(":", "-")
    return f"templates/{document['kind'].lower()}-{name}.yaml"


def _chart_yaml() -> str:
    return to_yaml(
        [
            {
                "apiVersion": "v2",
                "name": "kaito-operator",
                "description": "Run open models on Kubernetes: the Workspace controller and the GPU provisioner.",
                "type": "application",
                "version": VERSION,
                "appVersion": VERSION,
                "kubeVersion": ">=1.30.0-0",
            }
        ]
    )


CHART = ROOT / "manifests" / "chart"
