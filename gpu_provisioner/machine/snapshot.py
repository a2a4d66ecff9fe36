"""Everything one decision about a Machine may look at, frozen. Pure data.

`observe` fills it from the caches, the cloud and our own memory; `plan` and `status` read it and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpu_provisioner.api import conditions, labels
from gpu_provisioner.api.machine import Machine
from gpu_provisioner.cloud.port import SUCCEEDED, Gone, Pool, Present, Problem, Sight, UnavailableTypes
from gpu_provisioner.machine.ownership import Ownership
from gpu_provisioner.machine.pool_specs import Candidates


@dataclass(frozen=True, slots=True)
class NodeView:
    """A Node of the Machine's pool. Lists and maps are the cache's own: never modified."""

    name: str
    uid: str = ""
    resource_version: str = ""
    provider_id: str = ""
    ready: bool = False
    deleting: bool = False
    unschedulable: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[Mapping[str, Any], ...] = ()
    taints: tuple[Mapping[str, Any], ...] = ()
    capacity: Mapping[str, Any] = field(default_factory=dict)
    allocatable: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_object(cls, node: Mapping[str, Any]) -> NodeView:
        """Read a stored Node."""
        meta, spec, status = (node.get(part) or {} for part in ("metadata", "spec", "status"))
        return cls(
            name=str(meta.get("name") or ""),
            uid=str(meta.get("uid") or ""),
            resource_version=str(meta.get("resourceVersion") or ""),
            provider_id=str(spec.get("providerID") or ""),
            ready=any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ()),
            deleting=bool(meta.get("deletionTimestamp")),
            unschedulable=bool(spec.get("unschedulable")),
            labels=meta.get("labels") or {},
            annotations=meta.get("annotations") or {},
            finalizers=tuple(meta.get("finalizers") or ()),
            owner_references=tuple(meta.get("ownerReferences") or ()),
            taints=tuple(spec.get("taints") or ()),
            capacity=status.get("capacity") or {},
            allocatable=status.get("allocatable") or {},
        )

    @property
    def is_registered(self) -> bool:
        """Whether the Machine's labels, taints, finalizer and owner reference were put on it once."""
        return self.labels.get(labels.REGISTERED) == "true"


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod that has to leave before the Node may go."""

    namespace: str
    name: str
    uid: str
    critical: bool = False
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last call of one kind for this Machine that did not go through, and how long to leave the cloud alone.

    `awaits_turn`: the last try was not sent, as others were before it; `problem` is still the cloud's last answer if there was one.
    """

    problem: Problem
    wait_s: float
    awaits_turn: bool = False


@dataclass(frozen=True, slots=True)
class Unasked:
    """Nothing is known of the pool at this moment. `problem` is why the cloud could not be asked; None: nothing depends on it."""

    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds, by our own observation, that each state has lasted; 0 for states that do not hold."""

    launch_s: float = 0.0
    creation_s: float = 0.0
    registration_s: float = 0.0
    initialization_s: float = 0.0
    unhealthy_s: float = 0.0
    termination_s: float = 0.0
    draining_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One Machine and its world at one moment.

    `attempt` is the last refused create, `deletion` the last refused delete. `pods` is None when nobody looked.
    """

    machine: Machine
    candidates: Candidates = field(default_factory=Candidates)
    sight: Sight | Unasked = field(default_factory=Unasked)
    ownership: Ownership = Ownership.NO_POOL
    nodes: tuple[NodeView, ...] = ()
    pods: tuple[PodView, ...] | None = None
    blocked_pods: tuple[str, ...] = ()
    attempt: Attempt | None = None
    deletion: Attempt | None = None
    unavailable: UnavailableTypes = field(default_factory=UnavailableTypes)
    ages: Ages = field(default_factory=Ages)

    @property
    def pool(self) -> Pool | None:
        """The pool of the Machine's name, whoever owns it, if it was seen."""
        return self.sight.pool if isinstance(self.sight, Present) else None

    @property
    def pool_is_known(self) -> bool:
        """Whether the cloud was asked; not seeing a pool then still does not mean that there is none (`pool_is_gone`)."""
        return not isinstance(self.sight, Unasked)

    @property
    def pool_is_gone(self) -> bool:
        """Proven: see `Gone`."""
        return isinstance(self.sight, Gone)

    @property
    def pool_problem(self) -> Problem | None:
        """Why the cloud could not be asked."""
        return self.sight.problem if isinstance(self.sight, Unasked) else None

    @property
    def our_pool(self) -> Pool | None:
        """The pool, if it was seen and is ours."""
        return self.pool if self.ownership is Ownership.OURS else None

    @property
    def pool_in_the_way(self) -> Pool | None:
        """A pool that we may not delete, and that a Machine which is being deleted must not leave behind in silence."""
        pointed_at = self.ownership is Ownership.UNMARKED or (self.ownership is Ownership.FOREIGN and bool(self.nodes))
        return self.pool if pointed_at else None

    @property
    def has_no_pool_of_ours(self) -> bool:
        """Proven: there is no pool of this name, or the one there is belongs to somebody else."""
        return self.pool_is_gone or (self.pool is not None and self.ownership in (Ownership.FOREIGN, Ownership.FORMER))

    @property
    def is_launched(self) -> bool:
        """The pool was ready once: recorded, or true just now. Sticky, as consumers expect."""
        if self.machine.is_true(conditions.LAUNCHED):
            return True
        return self.our_pool is not None and self.our_pool.provisioning_state == SUCCEEDED

    @property
    def is_recorded(self) -> bool:
        """Whether the Machine already says that it is being worked on; nothing is ordered before that."""
        return self.machine.condition(conditions.LAUNCHED) is not None

    @property
    def node(self) -> NodeView | None:
        """The Machine's Node: the recorded one, or the only one there is."""
        named = [n for n in self.nodes if n.name == self.machine.status.node_name]
        if named:
            return named[0]
        return self.nodes[0] if len(self.nodes) == 1 else None

    @property
    def is_usable(self) -> bool:
        """The Node is there, Ready and not on its way out."""
        return self.node is not None and self.node.ready and not self.node.deleting
