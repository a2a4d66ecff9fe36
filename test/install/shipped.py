"""What is shipped, as objects: the base that `kubectl apply -k` installs, install.yaml, and the options beside it."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from hack.render.kustomize import ROOT, render

Document = dict[str, Any]

MANIFESTS = ROOT / "manifests"
OPTIONS = ("prometheus", "device-plugin")
"""Bases that add objects to `config/default`."""
VARIANTS = ("other-provisioner", "brought-nodes", "secured-metrics", "secured-prometheus")
"""Bases that take the place of `config/default` or of an option."""
FOREIGN_GROUP = "monitoring.coreos.com/"
"""Objects of the Prometheus operator, whose schemas are not Kubernetes'."""


@cache
def _rendered(base: str) -> tuple[Document, ...]:
    return tuple(render(base))


def base(name: str = "default") -> list[Document]:
    """The objects of `config/<name>`."""
    return list(_rendered(name))


def install_yaml() -> list[Document]:
    """The objects of the rendered file."""
    return [document for document in yaml.safe_load_all((MANIFESTS / "install.yaml").read_text()) if document]


def key(document: Document) -> str:
    """`Kind/namespace/name`: what tells objects apart."""
    metadata = document["metadata"]
    return f"{document['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    """Those of one kind."""
    return [document for document in documents if document["kind"] == kind]


def deployments(documents: list[Document] | None = None) -> dict[str, Document]:
    """Name → Deployment."""
    found = of_kind(base() if documents is None else documents, "Deployment")
    return {document["metadata"]["name"]: document for document in found}


def container(deployment: Document) -> Document:
    """Its only container."""
    containers: list[Document] = deployment["spec"]["template"]["spec"]["containers"]
    assert len(containers) == 1, "one container for each Deployment; sidecars would need rules of their own"
    return containers[0]
