"""The Machine as typed data: the schema of the custom resource, and a reader that never fails; a NodeClaim is read as one, too.

`MachineSpec` and `MachineStatus` are the source of the CRD's schema (fields, bounds, descriptions). `Machine.from_object` turns
whatever the API server stores into them: the CRD in the cluster may be older or newer than this program, so a part that cannot be
read is replaced by its default and named in `problems`, and the caller decides what that means. Writing goes through raw objects,
because fields unknown here must survive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from gpu_provisioner.api.dialect import MACHINE, Dialect, dialect_of, neutral_status

QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
Quantity = int | Annotated[str, Field(pattern=QUANTITY_PATTERN)]
"""A Kubernetes quantity: an integer or a string such as `120Gi` (x-kubernetes-int-or-string)."""

Percent = Annotated[int, Field(ge=0, le=100)]
Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Count32 = Annotated[int, Field(ge=0, le=2**31 - 1)]


class ApiModel(BaseModel):
    """camelCase on the wire, snake_case here; unknown fields are ignored, as the API server prunes them."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class Requirement(ApiModel):
    """One node selector requirement."""

    key: str = Field(description="The label key that the requirement applies to.")
    operator: str = Field(
        description="How the key relates to the values: In, NotIn, Exists, DoesNotExist, Gt or Lt. "
        "Only In is honoured for keys that choose the machine."
    )
    values: list[str] = Field(
        default_factory=list, description="For In: the accepted values, most wanted first for instance types."
    )


class Taint(ApiModel):
    """A taint on the Node."""

    key: str = Field(description="The taint key.")
    value: str = Field(default="", description="The taint value.")
    effect: str = Field(description="NoSchedule, PreferNoSchedule or NoExecute.")
    time_added: str | None = Field(
        default=None, description="When the taint was added.", json_schema_extra={"format": "date-time"}
    )


class Resources(ApiModel):
    """What the Machine must offer."""

    requests: dict[str, Quantity] = Field(
        default_factory=dict,
        description="Minimum resources of the Machine. `storage` sizes the OS disk (a bare number is GB, a suffixed one is rounded "
        "up to GiB, none or 0 takes the cloud's default); every other non-zero entry must be allocatable before the Machine is Ready.",
    )


class MachineTemplateRef(ApiModel):
    """Reference to a provider-specific template; printed, otherwise not used."""

    api_version: str = Field(default="", description="API version of the referent.")
    kind: str = Field(default="", description="Kind of the referent.")
    name: str = Field(description="Name of the referent.")


class Kubelet(ApiModel):
    """Kubelet settings; part of the schema for compatibility, not used."""

    cluster_dns: list[str] | None = Field(
        default=None, alias="clusterDNS", description="IP addresses of the cluster DNS."
    )
    container_runtime: str | None = Field(default=None, description="Container runtime.")
    cpu_cfs_quota: bool | None = Field(
        default=None, alias="cpuCFSQuota", description="Enforce CPU limits by CFS quota."
    )
    eviction_hard: dict[str, str] | None = Field(default=None, description="Hard eviction thresholds by signal.")
    eviction_soft: dict[str, str] | None = Field(default=None, description="Soft eviction thresholds by signal.")
    eviction_soft_grace_period: dict[str, str] | None = Field(
        default=None, description="Grace period by soft eviction signal."
    )
    eviction_max_pod_grace_period: Int32 | None = Field(
        default=None,
        description="Longest pod grace period in seconds at a soft eviction.",
        json_schema_extra={"format": "int32"},
    )
    image_gc_high_threshold_percent: Percent | None = Field(
        default=None,
        alias="imageGCHighThresholdPercent",
        description="Disk usage in percent that starts image garbage collection.",
        json_schema_extra={"format": "int32"},
    )
    image_gc_low_threshold_percent: Percent | None = Field(
        default=None,
        alias="imageGCLowThresholdPercent",
        description="Disk usage in percent that image garbage collection aims at.",
        json_schema_extra={"format": "int32"},
    )
    kube_reserved: dict[str, Quantity] | None = Field(
        default=None, description="Resources reserved for Kubernetes daemons."
    )
    system_reserved: dict[str, Quantity] | None = Field(
        default=None, description="Resources reserved for the operating system."
    )
    max_pods: Count32 | None = Field(
        default=None, description="Most pods on the Node.", json_schema_extra={"format": "int32"}
    )
    pods_per_core: Count32 | None = Field(
        default=None, description="Most pods per CPU core.", json_schema_extra={"format": "int32"}
    )


class MachineSpec(ApiModel):
    """What the creator of a Machine asks for; not changed afterwards."""

    requirements: list[Requirement] = Field(
        default_factory=list,
        description="Constraints on the Machine. `node.kubernetes.io/instance-type` In [...] is required and is tried in the order given; "
        "`karpenter.sh/capacity-type` and `topology.kubernetes.io/zone` are honoured.",
    )
    resources: Resources = Field(default_factory=Resources, description="Resources that the Machine must offer.")
    taints: list[Taint] = Field(default_factory=list, description="Taints of the Node for its whole life.")
    startup_taints: list[Taint] = Field(
        default_factory=list,
        description="Taints that are put on the Node once, and that must be gone before the Machine is Ready.",
    )
    kubelet: Kubelet | None = Field(default=None, description="Kubelet settings; accepted, not used.")
    machine_template_ref: MachineTemplateRef | None = Field(
        default=None, description="Reference to a provider-specific template; printed, not used."
    )


class MachineCondition(ApiModel):
    """One condition, in the shape of knative's condition set."""

    type: str = Field(description="MachineLaunched, MachineRegistered, MachineInitialized or Ready.")
    status: str = Field(description="True, False or Unknown.")
    severity: str | None = Field(default=None, description="Empty means Error.")
    reason: str | None = Field(default=None, description="One stable word for programs.")
    message: str | None = Field(default=None, description="What happened and what to do, for people.")
    last_transition_time: str | None = Field(default=None, description="When the status last flipped (RFC 3339).")


class MachineStatus(ApiModel):
    """What is true now; written by the provisioner only."""

    node_name: str | None = Field(default=None, description="Name of the Node that the Machine became.")
    provider_id: str | None = Field(default=None, alias="providerID", description="The Node's spec.providerID.")
    capacity: dict[str, Quantity] | None = Field(default=None, description="Capacity of the Node.")
    allocatable: dict[str, Quantity] | None = Field(default=None, description="What pods can use of the capacity.")
    conditions: list[MachineCondition] = Field(default_factory=list, description="The Machine's way to Ready.")


_UNITS = {"s": 1, "m": 60, "h": 3600}

_Model = TypeVar("_Model", bound=ApiModel)


@dataclass(frozen=True, slots=True)
class Machine:
    """A Machine as read: identity, spec, status, and what could not be read."""

    name: str
    uid: str
    resource_version: str
    generation: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    finalizers: tuple[str, ...]
    deleting: bool
    creation_timestamp: str
    spec: MachineSpec
    status: MachineStatus
    problems: tuple[str, ...] = ()
    dialect: Dialect = MACHINE
    """The API of the object: a NodeClaim is read as a Machine too."""
    node_class: tuple[str, str] = ("", "")
    """Group and kind of the node class; empty on a Machine."""
    drain_limit_s: float | None = None
    """Longest time for pods to leave, where the object says one."""

    @classmethod
    def from_object(cls, obj: Mapping[str, Any]) -> Machine:
        """Read a stored Machine or NodeClaim, whatever is in it; never raises."""
        dialect, reference = dialect_of(obj), _mapping(_mapping(obj.get("spec")).get("nodeClassRef"))
        problems: list[str] = []
        meta = _mapping(obj.get("metadata"))
        generation = meta.get("generation")
        return cls(
            name=str(meta.get("name") or ""),
            uid=str(meta.get("uid") or ""),
            resource_version=str(meta.get("resourceVersion") or ""),
            generation=generation if isinstance(generation, int) else 0,
            labels=_strings(meta.get("labels")),
            annotations=_strings(meta.get("annotations")),
            finalizers=tuple(str(f) for f in meta.get("finalizers") or ()),
            deleting=bool(meta.get("deletionTimestamp")),
            creation_timestamp=str(meta.get("creationTimestamp") or ""),
            spec=_read(MachineSpec, obj.get("spec"), "spec", problems),
            status=_read(
                MachineStatus, neutral_status(obj) if dialect is not MACHINE else obj.get("status"), "status", []
            ),
            problems=tuple(problems),
            dialect=dialect,
            node_class=(str(reference.get("group") or ""), str(reference.get("kind") or "")),
            drain_limit_s=_seconds(_mapping(obj.get("spec")).get("terminationGracePeriod")),
        )

    def condition(self, condition_type: str) -> MachineCondition | None:
        """The stored condition of that type, or None."""
        return next((c for c in self.status.conditions if c.type == condition_type), None)

    def is_true(self, condition_type: str) -> bool:
        """Whether the stored condition of that type is True; an absent one is not."""
        condition = self.condition(condition_type)
        return condition is not None and condition.status == "True"


def _seconds(value: object) -> float | None:
    """Of a duration such as 1h30m; None for what is none."""
    if not isinstance(value, str) or not re.fullmatch(r"([0-9]{1,9}[smh])+", value):
        return None
    return float(sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"([0-9]+)([smh])", value)))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _strings(value: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in _mapping(value).items()}


def _read(model: type[_Model], value: object, field: str, problems: list[str]) -> _Model:
    """Validate as a whole; failing that, keep every field that is valid by itself and name the others."""
    data = {k: v for k, v in _mapping(value).items() if v is not None}
    if value is not None and not isinstance(value, Mapping):
        problems.append(f"{field} is not an object")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        bad = {str(e["loc"][0]) for e in error.errors()}
        problems.extend(f"{field}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
    return model.model_validate({k: v for k, v in data.items() if k not in bad})
