"""All that was ordered, whatever the API, as one cache; and the API by which new nodes are ordered.

What exists is kept and read by the API it was made by, so that a changed setting, or a CRD that is installed later, neither loses a node
nor orders one twice: old orders live on, and their successors are made by the API that is chosen now.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from controller_runtime.client.api import KubeClient
from controller_runtime.errors import Forbidden, NotFound
from controller_runtime.logs import get_logger
from controller_runtime.resources import Object, Resource, finalizers_of
from kaito_controller.nodeapi import APIS, DEFAULT
from kaito_controller.nodeapi.port import NodeApi
from kaito_controller.nodeapi.vocabulary import WORKSPACE
from kaito_controller.workspace.observe.machine_source import MachineSource

AUTO = "auto"
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChosenApi:
    """By which API nodes are ordered, and one word why; both "" while nothing is chosen."""

    name: str = ""
    why: str = ""


SETTING = "setting"
ONLY_ONE = "only-one-installed"
IN_USE = "in-use-by-workspaces"
ANSWERED = "answered-by-a-provisioner"
BY_DEFAULT = "default"
REASONS = (SETTING, ONLY_ONE, IN_USE, ANSWERED, BY_DEFAULT)
"""Why an API is chosen."""


class NodeOrders:
    """A `MachineCache` over the sources of all APIs."""

    def __init__(self, sources: Mapping[str, MachineSource], choice: ChosenApi = ChosenApi()) -> None:
        """`sources`: by name of the API. `choice`: the API of new orders; without one, the first that can be had."""
        self.sources = dict(sources)
        self._lock = threading.Lock()
        self._choice = ChosenApi()
        self._choose(choice)

    @property
    def choice(self) -> ChosenApi:
        """The API of new orders; empty while none can be had and none was named."""
        with self._lock:
            if not self._choice.name:
                self._choose(ChosenApi(next((name for name, s in self.sources.items() if s.available), ""), ONLY_ONE))
            return self._choice

    def _choose(self, choice: ChosenApi) -> None:
        if choice.name:
            self._choice = choice
            crd = APIS[choice.name].crd
            log.info("nodes are ordered by this API", node_api=choice.name, why=choice.why, crd=crd)

    @property
    def chosen(self) -> str:
        """Name of the API of new orders, or ""."""
        return self.choice.name

    @property
    def api(self) -> NodeApi:
        """By which new nodes are ordered, or would be."""
        return APIS[self.chosen or DEFAULT]

    @property
    def available(self) -> bool:
        """New nodes can be ordered."""
        return bool(self.chosen) and self.sources[self.chosen].available

    @property
    def resources(self) -> dict[Resource, MachineSource]:
        """The sources by where their objects live."""
        return {source.api.resource: source for source in self.sources.values()}

    @property
    def installed(self) -> tuple[NodeApi, ...]:
        """Those whose objects can be read."""
        return tuple(source.api for source in self.sources.values() if source.available)

    def get(self, name: str) -> Object | None:
        """The order of this name, whatever its API."""
        return next((obj for source in self.sources.values() if (obj := source.get(name)) is not None), None)

    def by_index(self, index: str, value: str) -> list[Object]:
        """See `Cache`."""
        return [obj for source in self.sources.values() for obj in source.by_index(index, value)]

    def fresh_for_s(self) -> float | None:
        """That of the API which is known for the shortest time; None while one is not known to be current."""
        found = [source.fresh_for_s() for source in self.sources.values()]
        known = [seconds for seconds in found if seconds is not None]
        return min(known) if len(known) == len(found) else None


def choose(client: KubeClient, setting: str, installed: Mapping[str, bool]) -> ChosenApi:
    """The API that the setting names; for `auto` the only one that is installed, else the one that is in use here, else the default.

    None when none is installed. In use is an API by which nodes were ordered for Workspaces, or whose objects a provisioner has taken up.
    """
    if setting != AUTO:
        return ChosenApi(setting, SETTING)
    present = [name for name in APIS if installed[name]]
    if len(present) < 2:
        return ChosenApi(present[0], ONLY_ONE) if present else ChosenApi()
    in_use = [name for name in present if _is_ordered(client, APIS[name])]
    if len(in_use) == 1:
        return ChosenApi(in_use[0], IN_USE)
    answered = [name for name in present if _is_answered(client, APIS[name])]
    return ChosenApi(answered[0], ANSWERED) if len(answered) == 1 else ChosenApi(present[0], BY_DEFAULT)


def _is_ordered(client: KubeClient, api: NodeApi) -> bool:
    return bool(_some(client, api, WORKSPACE))


def _is_answered(client: KubeClient, api: NodeApi) -> bool:
    return any(api.read(obj).told or finalizers_of(obj) for obj in _some(client, api, None))


def _some(client: KubeClient, api: NodeApi, label_selector: str | None) -> list[Object]:
    try:
        return list(client.list(api.resource, label_selector=label_selector).items)
    except (NotFound, Forbidden):
        return []
