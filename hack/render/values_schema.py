"""The JSON schema of the chart's values: their own structure, and for settings the flags that the binaries have today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import yaml

from controller_runtime.settings import OperatorSettings, describe_settings
from gpu_provisioner import settings as provisioner
from hack.render.kustomize import Document
from kaito_controller import settings as controller

SETTINGS: dict[str, tuple[type[OperatorSettings], str]] = {
    "kaitoController": (controller.ControllerSettings, controller.ENV_PREFIX),
    "gpuProvisioner": (provisioner.SETTINGS, provisioner.ENV_PREFIX),
}


def build() -> str:
    """The schema as strict as the values file: unknown keys are typing errors, and Helm says so."""
    values = yaml.safe_load((Path(__file__).parent / "values.yaml").read_text())
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", **_schema_of(values, ())}
    return json.dumps(schema, indent=2) + "\n"


_OPEN = {"podAnnotations", "nodeSelector", "affinity", "resources"}
_FIXED_SETTINGS = {
    "kubeconfig", "context", "metrics-bind-address", "metrics-auth", "metrics-cert-dir", "health-probe-bind-address",
    "model-runtime-image",
}  # fmt: skip
"""Settings that other parts of the installation depend on: ports, probes, service account, permissions, mounted Secrets, or that have a
value of their own."""


def _schema_of(value: Any, path: tuple[str, ...]) -> Document:
    if isinstance(value, dict):
        if path and path[-1] in _OPEN:
            return {"type": "object"}
        if path and path[-1] == "settings":
            return _schema_of_settings(path[0])
        if path == ("metrics",):
            return _schema_of_metrics()
        properties = {key: _schema_of(nested, (*path, key)) for key, nested in value.items()}
        return {"type": "object", "additionalProperties": False, "properties": properties}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return {"type": "integer", "minimum": 0}
    return {"type": "array"} if isinstance(value, list) else {"type": "string"}


def _schema_of_metrics() -> Document:
    """What `--metrics-auth` takes."""
    choices = get_args(OperatorSettings.model_fields["metrics_auth"].annotation)
    return {"type": "object", "additionalProperties": False, "properties": {"auth": {"enum": list(choices)}}}


def _schema_of_settings(component: str) -> Document:
    """The flags that the binary has today, so that a misspelt one fails at `helm install` and not in a crash loop."""
    model, prefix = SETTINGS[component]
    flags = [row.flag.removeprefix("--") for row in describe_settings(model, prefix)]
    scalar = {"type": ["string", "number", "boolean"]}
    properties = {flag: scalar for flag in flags if flag not in _FIXED_SETTINGS}
    return {"type": "object", "additionalProperties": False, "properties": properties}
