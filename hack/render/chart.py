"""Turns the rendered objects into a Helm chart, so that the chart cannot drift from `kubectl apply -k`.

Each object of `config/default` becomes one template. What a user may set is replaced by a Helm expression at a known place; the table in
`_TUNABLES` is the whole list. An expression is carried through YAML as a token and put in place afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from controller_runtime.settings import OperatorSettings, describe_settings
from gpu_provisioner import settings as provisioner
from hack.render.kustomize import ROOT, Document, render, to_yaml
from kaito_controller import settings as controller

NAMESPACE = "kaito-system"
VERSION = "0.1.0"
COMPONENTS = {"kaito-controller": "kaitoController", "gpu-provisioner": "gpuProvisioner"}
SETTINGS: dict[str, tuple[type[OperatorSettings], str]] = {
    "kaitoController": (controller.ControllerSettings, controller.ENV_PREFIX),
    "gpuProvisioner": (provisioner.ProvisionerSettings, provisioner.ENV_PREFIX),
}
AZURE_KEYS = {
    "ARM_SUBSCRIPTION_ID": "subscriptionId",
    "ARM_RESOURCE_GROUP": "resourceGroup",
    "AZURE_CLUSTER_NAME": "clusterName",
    "AZURE_TENANT_ID": "tenantId",
    "LOCATION": "location",
}


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
        """YAML with tokens → a template. In a block, INDENT stands for the column of the token."""
        for token, helm in self.inline.items():
            text = text.replace(token, helm)
        return "".join(self._line(line) + "\n" for line in text.splitlines())

    def _line(self, line: str) -> str:
        token = line.strip().removeprefix("- ").split(":")[0]
        indent = len(line) - len(line.lstrip())
        return self.blocks[token].replace("INDENT", str(indent)) if token in self.blocks else line


def build() -> dict[str, str]:
    """File name inside the chart → content."""
    files = {
        "Chart.yaml": _chart_yaml(),
        "values.yaml": (Path(__file__).parent / "values.yaml").read_text(),
        "values.schema.json": _schema(),
        "templates/NOTES.txt": (Path(__file__).parent / "notes.txt").read_text(),
    }
    for document in render("default"):
        if (
            document["kind"] != "Namespace"
        ):  # Helm's --create-namespace makes it; the notes name the label it should carry.
            files[_file_name(document)] = template(document)
    for switch, base in (("serviceMonitor", "prometheus"), ("devicePlugin", "device-plugin")):
        for document in render(base):
            files[_file_name(document)] = template(document, switch=f".Values.{switch}.enabled")
    return files


def template(document: Document, *, switch: str | None = None) -> str:
    """One object as a Helm template."""
    expressions = Expressions()
    document = _in_release_namespace(json.loads(json.dumps(document)), expressions)
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
    return f".Values.{component}.enabled" if component else None


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


def _schema() -> str:
    """A JSON schema as strict as the values file: unknown keys are typing errors, and Helm says so."""
    values = yaml.safe_load((Path(__file__).parent / "values.yaml").read_text())
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", **_schema_of(values, ())}
    return json.dumps(schema, indent=2) + "\n"


_OPEN = {"podAnnotations", "nodeSelector", "affinity", "resources"}
_FIXED_SETTINGS = {"kubeconfig", "context", "metrics-bind-address", "health-probe-bind-address"}
"""Settings that other parts of the Deployment depend on: its ports, its probes, its service account."""


def _schema_of(value: Any, path: tuple[str, ...]) -> Document:
    if isinstance(value, dict):
        if path and path[-1] in _OPEN:
            return {"type": "object"}
        if path and path[-1] == "settings":
            return _schema_of_settings(path[0])
        properties = {key: _schema_of(nested, (*path, key)) for key, nested in value.items()}
        return {"type": "object", "additionalProperties": False, "properties": properties}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return {"type": "integer", "minimum": 0}
    return {"type": "array"} if isinstance(value, list) else {"type": "string"}


def _schema_of_settings(component: str) -> Document:
    """The flags that the binary has today, so that a misspelt one fails at `helm install` and not in a crash loop."""
    model, prefix = SETTINGS[component]
    flags = [row.flag.removeprefix("--") for row in describe_settings(model, prefix)]
    scalar = {"type": ["string", "number", "boolean"]}
    properties = {flag: scalar for flag in flags if flag not in _FIXED_SETTINGS}
    return {"type": "object", "additionalProperties": False, "properties": properties}


CHART = ROOT / "manifests" / "chart"
