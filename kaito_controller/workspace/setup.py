"""Put the parts together: informers, reconciler and controller on a manager.

Kept apart from `main`, so that tests and benchmarks run exactly what the binary runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from controller_runtime.cache.consistency import Consistency
from controller_runtime.cache.informer import Informer
from controller_runtime.client.api import KubeClient
from controller_runtime.client.served import is_served
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.controller.controller import (
    Controller,
    EnqueueingHandler,
    Mapper,
    Predicate,
    Request,
    for_object,
    for_owner,
)
from controller_runtime.errors import FatalError, Forbidden, NotFound
from controller_runtime.logs import get_logger
from controller_runtime.manager.manager import Manager
from controller_runtime.resources import (
    CONFIG_MAPS,
    CONFIG_MAPS_METADATA,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    Object,
    Resource,
    name_of,
)
from controller_runtime.startup import patiently
from controller_runtime.version import register_build_info
from kaito_controller.api import labels
from kaito_controller.catalog.offer import CONFIG_MAP
from kaito_controller.nodeapi import APIS, DEFAULT
from kaito_controller.settings import ControllerSettings
from kaito_controller.workspace.metrics import WorkspaceMetrics
from kaito_controller.workspace.observe import slim
from kaito_controller.workspace.observe.caches import (
    MACHINE_INDICES,
    NODE_INDICES,
    OWNED_INDICES,
    POD_INDICES,
    WORKSPACE_INDICES,
    Caches,
)
from kaito_controller.workspace.observe.config_maps import ConfigMaps
from kaito_controller.workspace.observe.machine_source import MachineSource
from kaito_controller.workspace.observe.node_orders import NodeOrders, choose
from kaito_controller.workspace.observe.observer import Observer, Surroundings
from kaito_controller.workspace.observe.pod_rejections import PodRejections
from kaito_controller.workspace.observe.published import CatalogSource, OfferSource
from kaito_controller.workspace.observe.reservations import Reservations
from kaito_controller.workspace.observe.run_progress import RunProgress
from kaito_controller.workspace.observe.scalers import Scalers
from kaito_controller.workspace.observe.vanished import Vanished
from kaito_controller.workspace.reconciler import WorkspaceReconciler
from kaito_controller.workspace.watches import (
    Mappers,
    caps_changed,
    for_machine,
    for_pod,
    held_for_quota,
    is_gone,
    node_matters,
)

COMPONENT = "kaito-controller"
CONTROLLER = "workspace"
NEWER_WORKSPACES = Resource(labels.GROUP, "v1beta1", "workspaces", labels.KIND, namespaced=True)
ASKED_AT_A_TIME = 4
"""Trainers that are asked at the same time how far they are; each answers or fails within seconds."""
RUNNERS = (DEPLOYMENTS, STATEFUL_SETS, JOBS)

log = get_logger(__name__)


def assemble(manager: Manager, settings: ControllerSettings, *, clock: Clock = SYSTEM_CLOCK) -> Controller:
    """Register everything on `manager`; the caller starts it. Raises FatalError when a required CRD is missing."""
    register_build_info(manager.name, manager.registry)
    patiently(lambda: refuse_newer_api(manager.client, settings.release_namespace), "the API server", clock=clock)
    informers = _informers(manager, settings)
    workspaces = informers[labels.WORKSPACES]
    machines, machine_informers = _machines(manager, settings, clock)
    whole, metadata = informers[CONFIG_MAPS], informers[CONFIG_MAPS_METADATA]
    config_maps = ConfigMaps(manager.client, whole, metadata, slim.config_map(settings.catalogue_config_map))
    caches = _caches(informers, machines, config_maps)
    catalog = CatalogSource(caches.config_maps, settings, manager.recorder(COMPONENT)).current
    reservations = Reservations(manager.client, machines, informers[NAMESPACES], catalog, settings.allowance, clock)
    offers, offer_informer = _offers(manager, settings.release_namespace)
    surroundings = Surroundings(
        catalog=catalog,
        limits=settings.limits,
        release_namespace=settings.release_namespace,
        pods=settings.pods,
        brought_nodes=settings.brought_nodes,
        offer=offers.current,
        require_quota=settings.require_quota,
        node_terms=settings.node_terms,
    )
    vanished = Vanished()
    reconciler = WorkspaceReconciler(
        manager.client,
        caches,
        Observer(
            *(caches, surroundings, clock, PodRejections(manager.client, clock), reservations, Scalers(manager.client)),
            RunProgress(clock, ThreadPoolExecutor(ASKED_AT_A_TIME, "run-progress")),
            vanished=vanished,
        ),
        Consistency({**informers, **machines.resources}, clock),
        reservations,
        recorder=manager.recorder(COMPONENT),
        metrics=WorkspaceMetrics(
            manager.registry,
            workspaces.list,
            lambda: (machines.choice.name, machines.choice.why),
            reservations.in_cluster,
        ),
        clock=clock,
    )
    controller = Controller(CONTROLLER, reconciler, workers=settings.workers, clock=clock, on_poisoned=reconciler.park)
    _watch(controller, informers, Mappers(caches, settings.release_namespace), settings)
    if offer_informer is not None:
        controller.watch(offer_informer, lambda _offer: held_for_quota(workspaces.list()))
    controller.watch(informers[NAMESPACES], reservations.waiting_in, predicate=caps_changed)
    reservations.wake = controller.enqueue
    wakers = _machine_watches(reservations, vanished)
    for machine_informer in machine_informers:
        for mapper, predicate in wakers:
            controller.watch(machine_informer, mapper, predicate=predicate)
    _watch_later(manager, controller, machines, workspaces, wakers)
    manager.add_controller(controller)
    return controller


def _offers(manager: Manager, namespace: str) -> tuple[OfferSource, Informer | None]:
    """A watch of its own on the one ConfigMap. Without a namespace, which is so outside of a cluster, nothing is known."""
    if not namespace:
        return OfferSource(lambda _name: None), None
    informer = manager.informer(CONFIG_MAPS, namespace=namespace, field_selector=f"metadata.name={CONFIG_MAP}")
    return OfferSource(lambda name: informer.get(name, namespace)), informer


def refuse_newer_api(client: KubeClient, namespace: str) -> None:
    """Raises FatalError when the Workspace CRD is that of a newer KAITO, whose schema drops what this controller has to remember.

    Asked by the name of a Workspace that nobody has: a 404 for the version has no object name in its details; one for the object has.
    """
    try:
        client.get(NEWER_WORKSPACES, "is-a-newer-api-installed", namespace or "default")
    except NotFound as error:
        if not error.details.get("name"):
            return
    except Forbidden:
        return  # the API server does not tell; the informers will complain in clear words
    raise FatalError(
        f"the CRD workspaces.kaito.sh is that of a newer KAITO: it serves {NEWER_WORKSPACES.group}/{NEWER_WORKSPACES.version}, and this "
        "controller works with v1alpha1 only. Stop that KAITO and change the CRD over as docs/install.md says under "
        "'From a newer KAITO', then start again"
    )


def _machines(manager: Manager, settings: ControllerSettings, clock: Clock) -> tuple[NodeOrders, list[Informer]]:
    client = manager.client
    here = {
        name: patiently(
            partial(is_served, client, api.resource, when_forbidden=name in (DEFAULT, settings.node_api)),
            "the API server",
            clock=clock,
        )
        for name, api in APIS.items()
    }
    informers = {
        name: manager.informer(api.resource, indexers=MACHINE_INDICES) for name, api in APIS.items() if here[name]
    }
    chosen = patiently(lambda: choose(client, settings.node_api, here), "the API server", clock=clock)
    if not here.get(chosen.name):
        wanted = " or ".join(api.crd for name, api in APIS.items() if chosen.name in ("", name))
        if settings.machine_api == "required":
            raise FatalError(f"the CRD {wanted} is not installed; install it, or start with --machine-api=auto")
        log.warning("no node API is installed; only nodes that users bring are used until one is", crd=wanted)
    sources = {
        name: MachineSource(client, api, clock=clock, informer=informers.get(name)) for name, api in APIS.items()
    }
    return NodeOrders(sources, chosen), [*informers.values()]


def _informers(manager: Manager, settings: ControllerSettings) -> dict[Resource, Informer]:
    def owned(resource: Resource) -> Informer:
        return manager.informer(resource, label_selector=labels.WORKSPACE, indexers=OWNED_INDICES)

    return {
        labels.WORKSPACES: manager.informer(labels.WORKSPACES, indexers=WORKSPACE_INDICES, transform=slim.workspace),
        NAMESPACES: manager.informer(NAMESPACES, transform=slim.namespace),
        NODES: manager.informer(NODES, indexers=NODE_INDICES, transform=slim.node),
        PODS: manager.informer(PODS, label_selector=labels.WORKSPACE, indexers=POD_INDICES, transform=slim.pod),
        CONFIG_MAPS_METADATA: manager.informer(CONFIG_MAPS_METADATA, transform=slim.metadata),
        **{resource: owned(resource) for resource in (SERVICES, CONFIG_MAPS, *RUNNERS)},
    }


def _caches(informers: Mapping[Resource, Informer], machines: NodeOrders, config_maps: ConfigMaps) -> Caches:
    return Caches(
        workspaces=informers[labels.WORKSPACES],
        machines=machines,
        nodes=informers[NODES],
        pods=informers[PODS],
        services=informers[SERVICES],
        deployments=informers[DEPLOYMENTS],
        stateful_sets=informers[STATEFUL_SETS],
        jobs=informers[JOBS],
        config_maps=config_maps,
    )


def _watch(
    controller: Controller, informers: Mapping[Resource, Informer], mappers: Mappers, settings: ControllerSettings
) -> None:
    workspaces = informers[labels.WORKSPACES]

    def catalogue(config_map: Object) -> list[Request]:
        is_it = name_of(config_map) == settings.catalogue_config_map
        return [Request.for_object(workspace) for workspace in workspaces.list()] if is_it else []

    controller.watch(workspaces, for_object)
    for resource in (SERVICES, CONFIG_MAPS, *RUNNERS):
        controller.watch(informers[resource], for_owner(labels.KIND, labels.GROUP))
    controller.watch(informers[CONFIG_MAPS_METADATA], mappers.for_config_map)
    controller.watch(informers[CONFIG_MAPS_METADATA], catalogue)
    controller.watch(informers[NODES], mappers.for_node, predicate=node_matters)
    controller.watch(informers[PODS], for_pod)


def _machine_watches(reservations: Reservations, vanished: Vanished) -> tuple[tuple[Mapper, Predicate | None], ...]:
    """A Machine that the cache shows counts by itself before anybody is woken by it; one that is gone makes room for those that wait."""

    def owner(machine: Object) -> Iterable[Request]:
        reservations.seen(machine)
        return for_machine(machine)

    return (owner, vanished.notice), (reservations.waiting_for, is_gone)


def _watch_later(
    manager: Manager,
    controller: Controller,
    machines: NodeOrders,
    workspaces: Informer,
    wakers: Iterable[tuple[Mapper, Predicate | None]],
) -> None:
    def everybody() -> None:
        for workspace in workspaces.list():
            controller.enqueue(Request.for_object(workspace))

    def enqueue(request: Request, priority: int) -> None:
        controller.enqueue(request, priority=priority)

    handlers = tuple(EnqueueingHandler(mapper, predicate, enqueue) for mapper, predicate in wakers)
    for source in machines.sources.values():
        source.when_it_appears(handlers, everybody)
        manager.add_runnable(source, needs_leader=False)
