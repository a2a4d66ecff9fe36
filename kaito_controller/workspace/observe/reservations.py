"""What Workspaces hold and are about to hold: the account that caps are judged by, and places that are taken before they are seen.

Many workers decide at a time, each over caches that do not show what the others are ordering. So an order takes its places here first,
under one lock, by the same pure rule that the decision went by; whoever comes second sees them taken. A place is kept until the cache
shows its Machine, the API server has refused it, or a cache that has been current for long does not show it. What an earlier leader has
ordered is asked for once, at the API server itself, before the first order.

Who waits for room is known here too, so that a Machine that goes, or a cap that is raised, wakes exactly those.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from controller_runtime.client.api import KubeClient
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.controller.controller import Request
from controller_runtime.resources import Object, labels_of, name_of, namespace_of, uid_of
from kaito_controller.catalog.model import Catalog
from kaito_controller.nodeapi.vocabulary import WORKSPACE, WORKSPACE_NAMESPACE
from kaito_controller.workspace.observe.caches import BY_NAMESPACE, EVERYWHERE, Cache, MachineCache
from kaito_controller.workspace.state.caps import (
    Account,
    Allowance,
    Price,
    caps_of,
    excess,
    instance_type_of_machine,
    total,
    workspace_of_machine,
)

SETTLED_S = 300.0
"""So long after an attempt ended, a cache that is current shows the Machine, or there is none."""


@dataclass(slots=True)
class _Place:
    namespace: str
    workspace: str
    uid: str
    instance_type: str
    settled_at: float | None = None
    """Monotonic seconds when the attempt ended; None while it is under way."""


class Reservations:
    """Thread-safe: all workers share it."""

    def __init__(
        self,
        client: KubeClient,
        machines: MachineCache,
        namespaces: Cache,
        catalog: Callable[[], Catalog],
        allowance: Allowance,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._client = client
        self._machines = machines
        self._namespaces = namespaces
        self._catalog = catalog
        self._allowance = allowance
        self._clock = clock
        self._lock = threading.RLock()
        self._places: dict[str, _Place] = {}
        self._waiting: dict[Request, bool] = {}
        self._knows_earlier_ones = False
        self.wake: Callable[[Request], None] = lambda request: None
        """Called for each that waits when room was made that no Machine tells of."""

    def account(self, namespace: str, instance_type: str, *, without: Collection[str] = ()) -> Account:
        """How things stand. `without`: Machines whose places are not counted, because they are the ones that are asked about."""
        with self._lock:
            self._drop_old()
            everywhere = self._machines.by_index(BY_NAMESPACE, EVERYWHERE)
            shown = {name_of(machine) for machine in everywhere}
            places = [p for name, p in self._places.items() if name not in shown and name not in without]
        prices = _Prices(self._catalog(), self._allowance.region)
        ours = [m for m in everywhere if labels_of(m).get(WORKSPACE_NAMESPACE) == namespace]
        near = [place for place in places if place.namespace == namespace]
        caps, unread = caps_of(self._namespaces.get(namespace), self._allowance.namespace)
        return Account(
            namespace=namespace,
            price=prices.of(instance_type),
            namespace_caps=caps,
            cluster_caps=self._allowance.cluster,
            held=total(prices.all(ours, near)),
            held_in_cluster=total(prices.all(everywhere, places)),
            holders=Counter([*map(workspace_of_machine, ours), *(place.workspace for place in near)]),
            unread=unread,
            crd=self._machines.api.crd,
        )

    def in_cluster(self) -> tuple[int, int]:
        """(nodes that are held, nodes that may be held), by all Workspaces."""
        with self._lock:
            shown = {name_of(machine) for machine in self._machines.by_index(BY_NAMESPACE, EVERYWHERE)}
            return len(shown | self._places.keys()), self._allowance.cluster.nodes

    def take(self, workspace: Object, machines: Iterable[Object]) -> bool:
        """Take a place for each of these Machines, or none at all when the caps have no room for them."""
        wanted = {name_of(m): instance_type_of_machine(m) for m in machines}
        with self._lock:
            self._learn_of_earlier_ones()
            new = [name for name in wanted if name not in self._places and self._machines.get(name) is None]
            if new:
                account = self.account(namespace_of(workspace), wanted[new[0]], without=new)
                if excess(account, len(new)) is not None:
                    return False
            for name in (*new, *(name for name in wanted if name in self._places)):
                self._places[name] = _Place(
                    namespace_of(workspace), name_of(workspace), uid_of(workspace), wanted[name]
                )
            return True

    def settle(self, machines: Iterable[Object], refused: Collection[str] = ()) -> None:
        """The attempt to create these has ended; those of `refused` were not made."""
        with self._lock:
            for name in map(name_of, machines):
                if name in refused:
                    self._places.pop(name, None)
                elif name in self._places:
                    self._places[name].settled_at = self._clock.monotonic()
            waiting = [*self._waiting] if refused else []
        for request in waiting:
            self.wake(request)

    def seen(self, machine: Object) -> None:
        """The cache shows this Machine, or shows it no more: from now on it counts by itself."""
        with self._lock:
            self._places.pop(name_of(machine), None)

    def forget(self, uid: str) -> None:
        """The Workspace is gone, and the API server itself has said that no Machine of it is left."""
        with self._lock:
            self._places = {name: place for name, place in self._places.items() if place.uid != uid}

    def ask(self, request: Request) -> None:
        """From now on this one is woken when room is made. Said before looking, so that no room is missed."""
        with self._lock:
            self._waiting.setdefault(request, True)

    def wait(self, request: Request, *, for_cluster: bool) -> None:
        """It goes on waiting; `for_cluster`: any namespace could make room for it."""
        with self._lock:
            self._waiting[request] = for_cluster

    def content(self, request: Request) -> None:
        """It needs no room now."""
        with self._lock:
            self._waiting.pop(request, None)

    def waiting_for(self, machine: Object) -> list[Request]:
        """Who may go on when this Machine is gone."""
        return self._who(str(labels_of(machine).get(WORKSPACE_NAMESPACE)))

    def waiting_in(self, namespace: Object) -> list[Request]:
        """Who may go on when the caps of this Namespace change."""
        return self._who(name_of(namespace), anywhere=False)

    def _who(self, namespace: str, *, anywhere: bool = True) -> list[Request]:
        with self._lock:
            return [r for r, cluster in self._waiting.items() if r.namespace == namespace or (cluster and anywhere)]

    def _drop_old(self) -> None:
        if not self._places or (self._machines.fresh_for_s() or 0.0) < SETTLED_S / 2:
            return
        old = self._clock.monotonic() - SETTLED_S
        self._places = {
            name: place for name, place in self._places.items() if place.settled_at is None or place.settled_at > old
        }

    def _learn_of_earlier_ones(self) -> None:
        """A former leader may have ordered what the cache does not show yet."""
        if self._knows_earlier_ones or not self._machines.available:
            return
        resources = [api.resource for api in self._machines.installed]
        for machine in (m for r in resources for m in self._client.list(r, label_selector=WORKSPACE).items):
            namespace = labels_of(machine).get(WORKSPACE_NAMESPACE)
            if namespace and self._machines.get(name_of(machine)) is None:
                self._places[name_of(machine)] = _Place(
                    namespace,
                    workspace_of_machine(machine),
                    "",
                    instance_type_of_machine(machine),
                    self._clock.monotonic(),
                )
        self._knows_earlier_ones = True


class _Prices:
    """What nodes count for, by the catalogue of this moment; each instance type is looked up once."""

    def __init__(self, catalog: Catalog, region: str) -> None:
        self._catalog, self._region = catalog, region
        self._known: dict[str, Price] = {}

    def of(self, instance_type: str) -> Price:
        if instance_type not in self._known:
            found = self._catalog.instance_type(instance_type)
            self._known[instance_type] = (
                Price(instance_type)
                if found is None
                else Price(found.name, found.gpus, found.price(self._region) if found.prices else None)
            )
        return self._known[instance_type]

    def all(self, machines: Iterable[Object], places: Iterable[_Place]) -> list[Price]:
        types = [*map(instance_type_of_machine, machines), *(place.instance_type for place in places)]
        return [self.of(instance_type) for instance_type in types]
