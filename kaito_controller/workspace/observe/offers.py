"""The published offer of the cloud as a cache: one ConfigMap in the controller's own namespace, decoded once for each version of it."""

from __future__ import annotations

from collections.abc import Callable

from controller_runtime.resources import Object, resource_version_of
from controller_runtime.untrusted import mapping
from kaito_controller.catalog.offer import CONFIG_MAP, KEY, InstanceOffer, read_offer


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
