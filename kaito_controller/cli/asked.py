"""What the user asks: the Workspace of a file, resolved against the catalogue, and what narrows the answer. Raises `click.UsageError`.

A fault in a field that the plan reads ends the command. Any other fault of the Workspace (the placeholder of an image, say) is kept as a
note, because the plan is the same with and without it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kaito_controller.api.capacity import LABEL, SPOT, capacity_types
from kaito_controller.api.types import Workspace
from kaito_controller.api.validation import validate_create
from kaito_controller.api.violation import CREATE_ONLY, Violation, quote
from kaito_controller.catalog.model import DEFAULT_REGION, Catalog, Cloud, InstanceType, Preset
from kaito_controller.catalog.plain_yaml import PlainYamlError, load_plain_yaml

MOST_BYTES = 1_048_576
"""No object that an API server takes is larger."""
_DOCUMENT = re.compile(r"^---(?:\s.*)?$", re.M)
_READ = ("apiVersion", "kind", "resource", "inference.preset", "inference.template", "tuning.preset", "tuning.method")


@dataclass(frozen=True, slots=True)
class Asked:
    """One Workspace, as far as planning needs it."""

    name: str
    preset: Preset
    method: str
    """`lora` or `qlora` of a tuning Workspace; "" for inference."""
    type_name: str
    """As written, or the default."""
    instance_type: InstanceType | None
    """None for a type that the catalogue does not know."""
    nodes: int
    faults: tuple[Violation, ...] = ()
    """What `kubectl apply` will refuse besides."""
    listed: tuple[InstanceType, ...] = ()
    """The entries of `resource.instanceTypes` that the catalogue knows, in order; empty without such a list."""
    tokens: int | None = None
    """What a tuning run reads, all epochs together; None when nobody says."""
    capacity_types: tuple[str, ...] = ()
    """Spot or on demand, in the order in which they are tried; () where the Workspace does not say."""

    @property
    def spot(self) -> bool:
        """Whether spot nodes are ordered first."""
        return self.capacity_types[:1] == (SPOT,)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The options of `plan`."""

    cloud: Cloud = "azure"
    region: str = DEFAULT_REGION
    gpu: str = ""
    """Part of the GPU's name, in whatever letter case."""
    most_usd: float | None = None
    """Per hour, all nodes together."""
    context: int | None = None
    """Tokens that one request must have room for."""


def read_text(path: str) -> str:
    """The file, or stdin for `-`."""
    try:
        text = sys.stdin.read(MOST_BYTES + 1) if path == "-" else _file_text(Path(path))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise click.UsageError(f"-f {quote(path)}: cannot be read ({why}); give the file of a Workspace") from error
    if len(text) > MOST_BYTES:
        raise click.UsageError(f"-f {quote(path)}: is larger than 1 MiB; give a file that holds one Workspace")
    return text


def _file_text(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(MOST_BYTES + 1)


def read_asked(text: str, where: str, catalog: Catalog) -> Asked:
    """The Workspace in `text`, which may hold other objects besides."""
    return asked_by(_workspace_object(text, where), catalog)


def asked_by(found: dict[str, Any], catalog: Catalog) -> Asked:
    """What a Workspace asks for."""
    workspace = Workspace.from_object(found)
    unplannable, faults = _sorted_faults(workspace, catalog)
    if unplannable:
        raise click.UsageError(str(unplannable[0]))
    preset = catalog.preset(workspace.preset.name) if workspace.preset else None
    if preset is None or workspace.resource is None:
        raise click.UsageError(
            "inference.template: a pod template says nothing of the memory that it needs, so it cannot be planned; "
            "give inference.preset, or choose the instance type yourself"
        )
    return Asked(
        name=workspace.metadata.name,
        preset=preset,
        method=workspace.tuning.method_name if workspace.tuning else "",
        type_name=workspace.resource.types_in_order[0],
        instance_type=catalog.instance_type(workspace.resource.types_in_order[0]),
        listed=tuple(filter(None, map(catalog.instance_type, workspace.resource.instance_types))),
        nodes=workspace.node_count(spans_nodes=preset.distributed),
        faults=faults,
        capacity_types=_capacity_types(workspace),
    )


def _capacity_types(workspace: Workspace) -> tuple[str, ...]:
    """By the annotation, else by the label of the nodes that are asked for."""
    labels = workspace.resource.node_labels if workspace.resource is not None else {}
    asked = capacity_types(workspace.metadata.annotations)
    return asked or ((labels[LABEL],) if LABEL in labels else ())


def _workspace_object(text: str, where: str) -> dict[str, Any]:
    try:
        documents = [load_plain_yaml(part) for part in _DOCUMENT.split(text)]
    except PlainYamlError as error:
        raise click.UsageError(f"-f {quote(where)}: {error}") from error
    found = [d for d in documents if isinstance(d, dict) and d.get("kind") == "Workspace"]
    if len(found) != 1:
        raise click.UsageError(f"-f {quote(where)}: holds {len(found)} objects of kind Workspace; give a file with one")
    return found[0]


def _sorted_faults(workspace: Workspace, catalog: Catalog) -> tuple[list[Violation], tuple[Violation, ...]]:
    """Those that the plan cannot do without, and the others. Whether the type fits is the question, not a fault."""
    asked = workspace.resource.types_in_order if workspace.resource is not None else ()
    known = bool(asked) and all(catalog.instance_type(name) is not None for name in asked)
    found = [v for v in validate_create(workspace, catalog) if not (known and _is_of_type(v))]
    root = [v for v in found if "." not in v.field and v.field not in ("metadata", "status")]
    needed = [v for v in found if v.field.startswith(_READ) or v in root]
    return needed, tuple(v for v in found if v not in needed)


def _is_of_type(fault: Violation) -> bool:
    return fault.unit == CREATE_ONLY and fault.field.startswith("resource.instanceType")


def check_narrowed(narrowed: Narrowed, catalog: Catalog) -> None:
    """Refuses a region or a GPU that nothing in the catalogue has, which would otherwise look like an answer."""
    types = [t for t in catalog.instance_types.values() if t.cloud == narrowed.cloud]
    regions = sorted({region for t in types for region in t.prices})
    if narrowed.region not in regions and narrowed.region != DEFAULT_REGION:
        cure = f"use {', '.join(regions)}" if regions else "leave it out"
        raise click.UsageError(
            f"--region {quote(narrowed.region)}: the catalogue has no {narrowed.cloud} prices of it; {cure}"
        )
    if not any(narrowed.gpu.lower() in t.gpu_model.lower() for t in types):
        raise click.UsageError(
            f"--gpu {quote(narrowed.gpu)}: no instance type of {narrowed.cloud} has it; use part of {', '.join(_gpus(types))}"
        )


def _gpus(types: list[InstanceType]) -> Iterator[str]:
    yield from sorted({t.gpu_model for t in types if t.accelerator == "nvidia" and t.current})
