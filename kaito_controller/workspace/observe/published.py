"""What others publish for the controller in ConfigMaps of its own namespace, decoded once for each version of them.

An administrator adds to the catalogue; a provisioner tells what the cloud would still sell.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from controller_runtime.events.recorder import EventRecorder
from controller_runtime.logs import get_logger
from controller_runtime.resources import Object, resource_version_of
from controller_runtime.untrusted import mapping
from kaito_controller.catalog.extension import extend
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.model import Catalog
from kaito_controller.catalog.offer import CONFIG_MAP, KEY, InstanceOffer, read_offer
from kaito_controller.catalog.runtime_image import with_runtime_image
from kaito_controller.settings import ControllerSettings
from kaito_controller.workspace.observe.caches import Cache

log = get_logger(__name__)
ENTRY_LEFT_OUT = "CatalogueEntryLeftOut"
"""Reason of the Event on the ConfigMap of the catalogue."""


class CatalogSource:
    """The built-in catalogue, extended by the ConfigMap of the release; computed once for each version of it.

    An entry that cannot be used is left out, and said in an Event of the ConfigMap, where its author looks.
    """

    def __init__(self, config_maps: Cache, settings: ControllerSettings, recorder: EventRecorder) -> None:
        self._config_maps, self._recorder = config_maps, recorder
        self._name, self._namespace = settings.catalogue_config_map, settings.release_namespace
        self._built_in = with_runtime_image(load_catalog(), settings.model_runtime_image)
        self._runtime_image = settings.model_runtime_image
        self._extended: Callable[[str], Catalog] = lru_cache(maxsize=1)(self._extend)

    def current(self) -> Catalog:
        """The catalogue as it is now."""
        found = self._config_maps.get(self._name, self._namespace) if self._namespace else None
        if found is None:
            return self._built_in
        return self._extended(str(found["metadata"].get("resourceVersion")))

    def _extend(self, resource_version: str) -> Catalog:
        found = self._config_maps.get(self._name, self._namespace) or {}
        catalog, problems = extend(load_catalog(), found.get("data") or {})
        for problem in problems:
            log.warning("entry of the catalogue left out", config_map=self._name, problem=problem, at=resource_version)
            self._tell(found, problem)
        return with_runtime_image(catalog, self._runtime_image)

    def _tell(self, config_map: Object, problem: str) -> None:
        self._recorder.event(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": config_map["metadata"]},
            type="Warning",
            reason=ENTRY_LEFT_OUT,
            action="ReadCatalogue",
            note=f"{problem}. The other entries count.",
        )


class OfferSource:
    """What the cloud would still sell, as far as a provisioner has published it."""

    def __init__(self, find: Callable[[str], Object | None]) -> None:
        """`find` a ConfigMap of the controller's namespace by its name, in a cache."""
        self._find = find
        self._read: tuple[str, InstanceOffer | None] = ("", None)

    def current(self) -> InstanceOffer | None:
        """None when nothing is published. Safe to call from many threads: a pair is replaced as a whole."""
        found = self._find(CONFIG_MAP)
        if found is None:
            return None
        version, offer = self._read
        if version != resource_version_of(found):
            offer = read_offer(mapping(found.get("data")).get(KEY))
            self._read = (resource_version_of(found), offer)
        return offer
