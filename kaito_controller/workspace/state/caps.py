"""How much Workspaces may order, what they have ordered, and whether some nodes more are still within it. Pure.

Counted are Machines, from the order until they are gone: one that fails or is being deleted may still be billed. A cap that is lowered
takes nothing away; it only keeps the next order from being made. Both caps hold at a time, that of the namespace and that of the cluster.

A node of which the GPUs or the price are not known cannot be counted, so that it is not ordered where these are capped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller_runtime.resources import Object, annotations_of, labels_of, name_of
from controller_runtime.untrusted import text
from kaito_controller.catalog.model import DEFAULT_REGION
from kaito_controller.nodeapi.vocabulary import INSTANCE_TYPE, WORKSPACE, WORKSPACE_NAMESPACE, requirement_of

MAX_NODES = "kaito.sh/max-nodes"
MAX_GPUS = "kaito.sh/max-gpus"
MAX_USD_PER_HOUR = "kaito.sh/max-usd-per-hour"
"""Annotations on a Namespace: what its Workspaces may hold in place of the defaults. Whoever may update the Namespace may write them."""

MOST = 1_000_000
"""Nothing larger is read from an annotation."""
LISTED = 3
"""Holders that a message names before it only counts the rest."""


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that may be held at a time; None: not limited."""

    nodes: int
    gpus: int | None = None
    usd_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a fresh installation allows, or what its operator set."""

    namespace: Caps = Caps(nodes=8)
    """For namespaces without annotations."""
    cluster: Caps = Caps(nodes=100)
    """For all namespaces together. AKS allows 100 node pools, and each Machine is one."""
    region: str = DEFAULT_REGION
    """Whose list prices count."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one node of an instance type counts for; None where nobody knows it."""

    instance_type: str
    gpus: int | None = None
    usd_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What is held by somebody. What is not known of a node that exists counts as nothing."""

    nodes: int = 0
    gpus: int = 0
    usd_per_hour: float = 0.0

    def plus(self, price: Price, nodes: int = 1) -> Held:
        """This and some nodes more."""
        return Held(
            self.nodes + nodes,
            self.gpus + nodes * (price.gpus or 0),
            self.usd_per_hour + nodes * (price.usd_per_hour or 0.0),
        )


@dataclass(frozen=True, slots=True)
class Account:
    """What the namespace and the cluster hold and may hold, at the time of a Snapshot."""

    namespace: str
    price: Price
    """Of the nodes that the Workspace asks for."""
    namespace_caps: Caps
    cluster_caps: Caps
    held: Held = field(default_factory=Held)
    """By the namespace."""
    held_in_cluster: Held = field(default_factory=Held)
    holders: Mapping[str, int] = field(default_factory=dict)
    """Nodes by the name of the Workspace, in this namespace."""
    unread: tuple[str, ...] = ()
    """Annotations of the Namespace that say nothing usable; the default holds in their place."""
    crd: str = "machines.karpenter.sh"
    """Of the objects that order nodes."""


@dataclass(frozen=True, slots=True)
class Excess:
    """Why an order is not made: a sentence, and whether another namespace could make room."""

    message: str
    in_cluster: bool


def excess(account: Account, nodes: int) -> Excess | None:
    """None when `nodes` more may be ordered; the caps of the namespace are named before those of the cluster."""
    found = _beyond(account.namespace_caps, account.held, account.price, nodes)
    if found is not None:
        return Excess(_in_namespace(account, found, nodes), in_cluster=False)
    found = _beyond(account.cluster_caps, account.held_in_cluster, account.price, nodes)
    return None if found is None else Excess(_in_cluster(account, found, nodes), in_cluster=True)


@dataclass(frozen=True, slots=True)
class _Beyond:
    key: str
    unit: str
    cap: str
    held: str
    asked: str
    """"" when it is not known."""
    needed: str
    setting: str


def _beyond(caps: Caps, held: Held, price: Price, nodes: int) -> _Beyond | None:
    after = held.plus(price, nodes)
    if after.nodes > caps.nodes:
        told = (str(caps.nodes), str(held.nodes), str(nodes), str(after.nodes))
        return _Beyond(MAX_NODES, "nodes", *told, "max-nodes")
    if caps.gpus is not None and (price.gpus is None or after.gpus > caps.gpus):
        asked = "" if price.gpus is None else str(nodes * price.gpus)
        return _Beyond(MAX_GPUS, "GPUs", str(caps.gpus), str(held.gpus), asked, str(after.gpus), "max-gpus")
    if caps.usd_per_hour is None:
        return None
    if price.usd_per_hour is None or after.usd_per_hour > caps.usd_per_hour + 1e-6:
        asked = "" if price.usd_per_hour is None else f"{nodes * price.usd_per_hour:.2f}"
        told = (f"{caps.usd_per_hour:.2f}", f"{held.usd_per_hour:.2f}", asked, f"{after.usd_per_hour:.2f}")
        return _Beyond(MAX_USD_PER_HOUR, "USD per hour", *told, "max-usd-per-hour")
    return None


def _in_namespace(account: Account, found: _Beyond, nodes: int) -> str:
    raise_it = f"kubectl annotate namespace {account.namespace} --overwrite {found.key}={_raised(found)}"
    broken = f" The annotation {found.key} of the namespace cannot be read." if found.key in account.unread else ""
    return (
        f"{_not_ordered(account, found, nodes)} Workspaces of namespace {account.namespace} may hold {found.cap} {found.unit} and hold "
        f"{found.held} ({_holders(account)}).{broken} The order continues by itself once there is room: delete a Workspace, "
        f"or have a cluster administrator raise the limit: {raise_it}"
    )


def _in_cluster(account: Account, found: _Beyond, nodes: int) -> str:
    return (
        f"{_not_ordered(account, found, nodes)} All Workspaces of the cluster may hold {found.cap} {found.unit} and hold {found.held}; "
        f"this namespace holds {account.held.nodes} nodes ({_holders(account)}). The order continues by itself once there is room; a "
        f"cluster administrator can raise --{found.setting} of kaito-controller, and sees who holds what with: "
        f"kubectl get {account.crd} -L {WORKSPACE_NAMESPACE},{WORKSPACE}"
    )


def _not_ordered(account: Account, found: _Beyond, nodes: int) -> str:
    if found.asked:
        counted = "" if found.unit == "nodes" else f" ({found.asked} {found.unit})"
        return f"Nothing is ordered: {nodes} more {'node is' if nodes == 1 else 'nodes are'} needed{counted}."
    return (
        f"Nothing is ordered: {found.unit} are limited, and the catalogue does not know how many a node of "
        f"{account.price.instance_type} counts for; add it to the catalogue's ConfigMap."
    )


def _raised(found: _Beyond) -> str:
    return str(math.ceil(float(found.needed))) if found.asked else "<number>"


def _holders(account: Account) -> str:
    known = sorted(account.holders.items(), key=lambda entry: (-entry[1], entry[0]))
    if not known:
        return "no Workspace holds any"
    shown = ", ".join(f"{name} {count}" for name, count in known[:LISTED])
    rest = len(known) - LISTED
    return f"{shown} and {rest} more" if rest > 0 else shown


def caps_of(namespace: Object | None, default: Caps) -> tuple[Caps, tuple[str, ...]]:
    """(the caps of a Namespace, its annotations that cannot be read)."""
    marks = annotations_of(namespace) if namespace is not None else {}
    unread: list[str] = []

    def read(key: str, otherwise: float | None) -> float | None:
        if key not in marks:
            return otherwise
        found = _number(marks[key])
        if found is None:
            unread.append(key)
            return otherwise
        return found

    nodes, gpus = read(MAX_NODES, default.nodes), read(MAX_GPUS, default.gpus)
    usd = read(MAX_USD_PER_HOUR, default.usd_per_hour)
    return Caps(int(nodes or 0), None if gpus is None else int(gpus), usd), tuple(unread)


def _number(value: object) -> float | None:
    """Digits, with or without a fraction; None for anything else."""
    whole, _, fraction = text(value, 20).strip().partition(".")
    if not (whole.isascii() and whole.isdigit()) or (fraction and not (fraction.isascii() and fraction.isdigit())):
        return None
    return min(float(MOST), float(f"{whole}.{fraction or 0}"))


def instance_type_of_machine(machine: Object) -> str:
    """The instance type that a Machine was ordered with; "" when it names none."""
    return requirement_of(machine, INSTANCE_TYPE)


def total(prices: Iterable[Price]) -> Held:
    """What so many nodes count for together."""
    counted = Counter(prices)
    held = Held()
    for price, nodes in counted.items():
        held = held.plus(price, nodes)
    return held


def workspace_of_machine(machine: Object) -> str:
    """The name of the Workspace that a Machine is labelled for."""
    return text(labels_of(machine).get(WORKSPACE), 253) or name_of(machine)
