"""All parts of the provisioner, put together around a manager and a NodePools port.

The process (`main`) and the tests build it through this one function, so that what is tested is what runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from controller_runtime.backoff import ItemExponentialLimiter
from controller_runtime.cache.consistency import Consistency
from controller_runtime.client.served import is_served
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.controller.controller import Controller, Reconciler, Request
from controller_runtime.controller.outcomes import OnPoisoned
from controller_runtime.logs import get_logger
from controller_runtime.manager.manager import Manager
from controller_runtime.resources import NODES, Object, name_of
from controller_runtime.startup import is_transient, patiently
from controller_runtime.version import register_build_info
from gpu_provisioner.api.dialect import DIALECTS, KINDS, MACHINE, Dialect
from gpu_provisioner.cloud.cache import PoolView
from gpu_provisioner.cloud.offers import InstanceOffers
from gpu_provisioner.cloud.port import NodePools
from gpu_provisioner.cloud.rate_limit import Gate, GatedPools
from gpu_provisioner.cloud.unavailable_offerings import UnavailableOfferings
from gpu_provisioner.garbage.apply import GarbageApplier
from gpu_provisioner.garbage.observe import GarbageObserver
from gpu_provisioner.garbage.reconciler import GARBAGE, GarbageReconciler
from gpu_provisioner.machine.apply import Applier
from gpu_provisioner.machine.memory import Memory
from gpu_provisioner.machine.observe import NODES_BY_POOL, Observer, pool_of_node
from gpu_provisioner.machine.reconciler import MachineReconciler
from gpu_provisioner.metrics import ProvisionerMetrics
from gpu_provisioner.offer.reconciler import OFFER, OfferReconciler
from gpu_provisioner.settings import PROG, ProvisionerSettings

log = get_logger(__name__)

RETRY_BASE_S = 0.1
RETRY_CAP_S = 60.0


@dataclass(frozen=True, slots=True)
class Provisioner:
    """The controllers, already added to the manager. `machines`: that of the first node API; each has one of its own."""

    machines: Controller
    garbage: Controller


def build_provisioner(
    manager: Manager,
    pools: NodePools,
    settings: ProvisionerSettings,
    *,
    offers: InstanceOffers | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Provisioner:
    """Wire everything and register it with the manager; nothing runs before the manager starts. Without `offers` none are published."""
    metrics = ProvisionerMetrics(manager.registry)
    register_build_info(manager.name, manager.registry)
    limits = settings.limits()
    view = _pool_view(manager, pools, settings, metrics, clock)
    dialects = _dialects(manager, settings, clock)
    caches = {dialect.resource: manager.informer(dialect.resource) for dialect in dialects}
    classes = tuple((group, kind) for group, _, kind in (entry.partition("/") for entry in settings.node_classes))
    node_cache = manager.informer(NODES, indexers={NODES_BY_POOL: pool_of_node})
    memory, unavailable = Memory(clock), UnavailableOfferings(clock)
    consistency = Consistency({**caches, NODES: node_cache}, clock)
    metrics.count_pools_not_owned(memory.pools_in_the_way)
    observer = Observer(
        nodes=node_cache,
        client=manager.client,
        view=view,
        unavailable=unavailable,
        memory=memory,
        defaults=settings.pool_defaults(),
        limits=limits,
        adopt_unmarked=settings.adopt_unmarked_pools,
    )
    recorder = manager.recorder(PROG)
    applier = Applier(manager.client, view, unavailable, memory, consistency, observer, limits, clock)
    reconciler_of = partial(
        MachineReconciler,
        consistency=consistency,
        client=manager.client,
        observer=observer,
        applier=applier,
        recorder=recorder,
        metrics=metrics,
        limits=limits,
        node_classes=classes,
        clock=clock,
    )
    collector = GarbageReconciler(
        GarbageObserver([*caches.values()], node_cache, view, Memory(clock), classes),
        GarbageApplier(manager.client, view, recorder, metrics, tuple(caches)),
        (memory, consistency),
        period_s=settings.gc_period_s / settings.time_scale,
        safe_age_s=settings.gc_safe_age_s / settings.time_scale,
    )
    machines = []
    for resource, cache in caches.items():
        reconciler = reconciler_of(machines=cache)
        controller = _controller(resource.kind.lower(), reconciler, settings.workers, clock, reconciler.park)
        controller.watch(cache, _machine_itself)
        controller.watch(node_cache, machine_of_node)
        machines.append(controller)
    garbage = _controller("garbage", collector, 1, clock)
    # The collector is driven by its period; it watches only to begin after both caches are complete.
    for cache in (*caches.values(), node_cache):
        garbage.watch(cache, _nobody)
    garbage.enqueue(GARBAGE)
    for controller in (*machines, garbage):
        manager.add_controller(controller)
    namespace = settings.leader_election_namespace
    if offers is not None and namespace and settings.offer_period_s:
        manager.add_controller(_offer_controller(manager, offers, namespace, settings, metrics, clock))
    return Provisioner(machines[0], garbage)


class _NothingServedError(Exception):
    """CRDs may be installed together with this program, and be served a moment later."""


def _dialects(manager: Manager, settings: ProvisionerSettings, clock: Clock) -> tuple[Dialect, ...]:
    """The node APIs that are answered. With `auto` and none installed it is the Machine that is waited for."""
    if settings.node_apis == "both":
        return DIALECTS
    if settings.node_apis != "auto":
        return tuple(dialect for dialect in DIALECTS if dialect.name == settings.node_apis)

    def is_here(dialect: Dialect) -> bool:
        return is_served(manager.client, dialect.resource, when_forbidden=dialect is MACHINE)

    def look() -> tuple[Dialect, ...]:
        found = tuple(dialect for dialect in DIALECTS if is_here(dialect))
        if not found:
            raise _NothingServedError("the CRD of no node API is installed")
        return found

    worth = lambda error: is_transient(error) or isinstance(error, _NothingServedError)  # noqa: E731
    try:
        found = patiently(look, "a node API", worth_another_try=worth, clock=clock)
    except _NothingServedError:
        found = ()
    log.info("these node APIs are answered", node_apis=[dialect.name for dialect in found or (MACHINE,)])
    return found or (MACHINE,)


def machine_of_node(node: Object) -> Iterable[Request]:
    """A Node concerns the Machine that its pool is named after, and any Machine that owns it."""
    names = set(pool_of_node(node))
    for reference in (node.get("metadata") or {}).get("ownerReferences") or ():
        if reference.get("kind") in KINDS:
            names.add(str(reference.get("name")))
    return [Request("", name) for name in sorted(names)]


def _machine_itself(machine: Object) -> Iterable[Request]:
    return (Request("", name_of(machine)),)


def _nobody(_: Object) -> Iterable[Request]:
    return ()


def _controller(
    name: str, reconciler: Reconciler, workers: int, clock: Clock, on_poisoned: OnPoisoned | None = None
) -> Controller:
    limiter = ItemExponentialLimiter(RETRY_BASE_S, RETRY_CAP_S, jitter=0.1)
    return Controller(name, reconciler, workers=workers, clock=clock, limiter=limiter, on_poisoned=on_poisoned)


def _offer_controller(
    manager: Manager,
    offers: InstanceOffers,
    namespace: str,
    settings: ProvisionerSettings,
    metrics: ProvisionerMetrics,
    clock: Clock,
) -> Controller:
    publisher = OfferReconciler(
        offers,
        manager.client,
        namespace,
        period_s=settings.offer_period_s,
        was_read=metrics.offer_read,
        clock=clock,
    )
    controller = _controller("offer", publisher, 1, clock)
    controller.enqueue(OFFER)
    return controller


def _pool_view(
    manager: Manager, pools: NodePools, settings: ProvisionerSettings, metrics: ProvisionerMetrics, clock: Clock
) -> PoolView:
    budget = settings.request_budget()
    gate = Gate(
        requests_per_s=budget.requests_per_s * settings.time_scale,
        burst=budget.burst,
        throttled_pause_s=30.0 / settings.time_scale,
        outage_pause_s=1.0 / settings.time_scale,
        outage_pause_max_s=60.0 / settings.time_scale,
        clock=clock,
    )
    gated = GatedPools(pools, gate, may_write=manager.may_write, clock=clock, observer=metrics.cloud_call)
    limits = settings.limits()
    return PoolView(gated, clock=clock, poll_s=limits.poll_s, settle_s=60.0 / settings.time_scale, withdraw=gate.leave)
