"""The port to the cloud: node pools of one cluster, and what can go wrong with them.

The rest of the provisioner sees only this: four calls that return at once (no call waits for a pool to become ready), plain
frozen values, and one error class per decision:

    CloudError                 something the cloud said, or did not say
    ├── Quota                  the subscription lacks cores: a person must act; retried slowly
    ├── SkuNotOffered          this VM size is not sold to this subscription here: try the next one
    ├── Capacity               no free machines of this size now: try the next one, later again
    ├── Busy                   another operation runs on the cluster or pool: wait, it is no failure
    ├── AlreadyThere           a create-only request met an existing pool: read it, it may be ours
    ├── ConflictingWriter      the pool changed since it was read, or somebody else is changing it: read again
    ├── InvalidInput           a value was refused: the Machine must change
    ├── Auth                   our identity or configuration was refused: an operator must act
    ├── Throttled              too many requests: not before retry_after_s
    │   └── BudgetSpent        ... by our own counting: nothing was sent
    │       └── TurnAwaited    ... an order that has its place in the queue for the budget
    ├── PoolNotFound           no such pool (get and delete only)
    └── Unknown                anything else, including no reply at all: retried with backoff

Every error carries the cloud's code, a condition reason and a sentence that says what to do. Which reply means which class is
decided by status and code tables of the adapter (`errors.py` in its folder); nothing outside it looks at texts.

An error lives as long as it is handled. What is remembered of it is a `Problem`, a value: an exception holds its traceback, whose frames
hold everything that they saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from controller_runtime.errors import ControllerRuntimeError
from gpu_provisioner.api import reasons
from gpu_provisioner.cloud.chosen import CLOUD


class CloudError(ControllerRuntimeError):
    """A refusal or failure of the cloud.

    Attributes: `message` the cloud's own words; `code` its code such as `SkuNotAvailable` ("" when there was none);
    `status` HTTP status, None without a reply; `retry_after_s` seconds the cloud asked to wait, None if it did not say.
    """

    reason = reasons.LAUNCH_FAILED
    is_news = True
    """Whether people should see it; our own request budget running short for a second is not worth a status write."""
    cure = f"Retried with backoff; if it stays, search the {CLOUD.name} code, and ask {CLOUD.name} support."

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        status: int | None = None,
        retry_after_s: float | None = None,
        cure: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.retry_after_s = retry_after_s
        if cure is not None:
            self.cure = cure

    @property
    def problem(self) -> Problem:
        """What may be kept of it."""
        return Problem(type(self), self.message, self.code, self.retry_after_s, self.cure)

    def __str__(self) -> str:
        return str(self.problem)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is remembered of a CloudError of this `kind`, with nothing of the call that raised it. Fields: see CloudError."""

    kind: type[CloudError]
    message: str
    code: str = ""
    retry_after_s: float | None = None
    cure: str = ""

    @property
    def reason(self) -> str:
        """The condition reason."""
        return self.kind.reason

    @property
    def is_news(self) -> bool:
        """See CloudError."""
        return self.kind.is_news

    def is_a(self, *kinds: type[CloudError]) -> bool:
        """Whether the error was one of these."""
        return issubclass(self.kind, kinds)

    def __str__(self) -> str:
        """`<code>: <the cloud's words> <what to do>`: the text shown in conditions and events."""
        head = f"{self.code}: " if self.code else ""
        return f"{head}{self.message.rstrip('. ')}. {self.cure}"


class Quota(CloudError):
    reason = reasons.QUOTA_EXCEEDED
    cure = f"Ask {CLOUD.name} for more cores of this VM family in this region, or free some; retried every few minutes."


class SkuNotOffered(CloudError):
    reason = reasons.INSTANCE_TYPE_NOT_OFFERED
    cure = "Ask for an instance type that is offered to this subscription in this region and zone."


class Capacity(CloudError):
    reason = reasons.INSUFFICIENT_CAPACITY
    cure = f"{CLOUD.name} is out of these machines for now; retried by itself. More instance types, zones or another region help."


class Busy(CloudError):
    reason = reasons.CLOUD_BUSY
    cure = "Waiting for the other operation to end; retried by itself."


class AlreadyThere(CloudError):
    reason = reasons.POOL_CONFLICT
    cure = "The existing pool is read to see whose it is."


class ConflictingWriter(CloudError):
    reason = reasons.POOL_CONFLICT
    cure = "The pool is read again; if it stays, find out who else edits it."


class InvalidInput(CloudError):
    reason = reasons.INVALID_MACHINE
    cure = "Correct the named value in what ordered this node, such as the labels it asks for; the order is then made anew."


class Auth(CloudError):
    reason = reasons.CLOUD_ACCESS_DENIED
    cure = CLOUD.access_cure


class Throttled(CloudError):
    reason = reasons.CLOUD_THROTTLED
    cure = f"Waiting as long as {CLOUD.name} asks; retried by itself."


class BudgetSpent(Throttled):
    """Our own request budget is used up, or the cloud has just failed for everybody; no request was sent."""

    is_news = False
    cure = "Waiting for our own request budget; retried by itself."


class TurnAwaited(BudgetSpent):
    """An order waits for its turn at our request budget; `retry_after_s` is the time of its place in the queue."""

    reason = reasons.WAITING_FOR_TURN
    is_news = True
    cure = f"It goes by itself when its turn comes; {' and '.join(CLOUD.budget_flags)} set the budget."


class PoolNotFound(CloudError):
    reason = reasons.POOL_GONE
    cure = "The pool does not exist."


class Unknown(CloudError):
    pass


SPOT = "spot"
ON_DEMAND = "on-demand"


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """The pool to create: one node, never changed afterwards. Empty or None leaves a choice to the cloud.

    `owner`: the namespace that it is ordered for; orders of different owners take turns when the request budget is short.
    """

    name: str
    instance_type: str
    node_labels: Mapping[str, str] = field(default_factory=dict)
    node_taints: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    os_disk_size_gib: int | None = None
    capacity_type: str = ON_DEMAND
    zones: tuple[str, ...] = ()
    image_family: str | None = None
    subnet_id: str | None = None
    gpu_driver: str | None = None
    gpu_instance_profile: str | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class PoolDefaults:
    """Choices of the operator for every pool; a Machine's requirements and annotations go first."""

    capacity_type: str = ON_DEMAND
    zones: tuple[str, ...] = ()
    image_family: str | None = None
    subnet_id: str | None = None
    gpu_driver: str | None = None
    gpu_instance_profile: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestBudget:
    """How often the cloud may be asked: so many requests per second in the long run, and so many at once."""

    requests_per_s: float
    burst: int


# Provisioning states that decide something here; every other one counts as "in progress".
SUCCEEDED = "Succeeded"
FAILED = "Failed"
CANCELED = "Canceled"
DELETING = "Deleting"


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool as the cloud describes it. `error` is set when it ended Failed or Canceled."""

    name: str
    provisioning_state: str
    power_state: str = "Running"
    mode: str = "User"
    instance_type: str = ""
    node_labels: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    etag: str = ""
    error: Problem | None = None

    @property
    def is_running(self) -> bool:
        """Succeeded and powered on: its nodes are expected to be up."""
        return self.provisioning_state == SUCCEEDED and self.power_state != "Stopped"

    @property
    def is_in_maintenance(self) -> bool:
        """It was ready once (the caller knows), and is being changed by somebody, or is stopped."""
        return not (self.is_running or self.has_failed or self.is_deleting)

    @property
    def has_failed(self) -> bool:
        return self.provisioning_state in (FAILED, CANCELED)

    @property
    def is_deleting(self) -> bool:
        return self.provisioning_state == DELETING


@dataclass(frozen=True, slots=True)
class Present:
    """The pool was seen."""

    pool: Pool


@dataclass(frozen=True, slots=True)
class Missed:
    """No such pool was seen, which proves nothing: it may be on its way, or a list may have passed over it."""


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such pool: the cloud was asked for it by name after everything that was done to it."""


Sight = Present | Missed | Gone
"""What is known of one pool. Only `Gone` may end something that guards a pool."""


@dataclass(frozen=True, slots=True)
class UnavailableTypes:
    """Instance types that the cloud refused lately, to any Machine, and when the first of them may be tried again."""

    errors: Mapping[str, Problem] = field(default_factory=dict)
    wait_s: float = 0.0


class NodePools(Protocol):
    """Pools of the one cluster that this provisioner serves. Every call is one bounded request; none waits for the cloud."""

    def get(self, name: str) -> Pool:
        """The pool now. Raises PoolNotFound when there is none."""

    def list(self) -> list[Pool]:
        """All pools of the cluster, all pages; an empty list is an answer, not an error."""

    def create(self, spec: PoolSpec) -> Pool:
        """Start creating a pool that does not exist; the reply is its first state, usually Creating.

        Never changes an existing pool: raises AlreadyThere then. After an error without a reply the pool may exist.
        """

    def delete(self, name: str, *, etag: str = "") -> None:
        """Start deleting a pool; with `etag` only if it has not changed since it was read (else ConflictingWriter).

        Raises PoolNotFound when there is none. Deleting continues after the return; poll `get`.
        """
