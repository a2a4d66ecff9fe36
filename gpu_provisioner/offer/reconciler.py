"""Publishes what the cloud sells in one ConfigMap, so that a shortage is known before a Machine meets it.

There is one key, which comes back every period. The ConfigMap is for whoever wants to know (`kubectl kaito plan`, the Workspace controller,
people); nothing of ours depends on it, and what it does not hold is unknown. It is written when something in it changed, and otherwise
only so often that its age tells a reader whether anybody still looks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from controller_runtime.client.api import KubeClient
from controller_runtime.clock import SYSTEM_CLOCK, Clock, rfc3339
from controller_runtime.controller.controller import Request, Result
from controller_runtime.errors import NotFound
from controller_runtime.logs import get_logger
from controller_runtime.resources import CONFIG_MAPS, Object
from gpu_provisioner.cloud.offers import SPOT, TOTAL, InstanceOffers, Offer
from gpu_provisioner.cloud.port import CloudError

OFFER = Request(namespace="", name="offer")

NAME = "kaito-instance-offer"
KEY = "offer.json"
"""Name and key of the ConfigMap; they are read by `kaito_controller/catalog/offer.py`."""

REWRITTEN_AFTER_S = 6 * 3600.0

log = get_logger(__name__)


class OfferReconciler:
    """Reads and publishes once per `period_s`."""

    def __init__(
        self,
        offers: InstanceOffers,
        client: KubeClient,
        namespace: str,
        *,
        period_s: float,
        was_read: Callable[[float], None] = lambda _at: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`was_read` is told the Unix time of each reading."""
        self._offers = offers
        self._client = client
        self._namespace = namespace
        self._period_s = period_s
        self._was_read = was_read
        self._clock = clock
        self._published: dict[str, Any] | None = None
        self._published_at = float("-inf")

    def reconcile(self, request: Request) -> Result:  # there is only the one key
        try:
            offer = self._offers.read_offer()
        except CloudError as error:
            log.warning("quotas and instance types cannot be read, trying again later", error=str(error))
            return Result(max(error.retry_after_s or 0.0, self._period_s))
        self._was_read(self._clock.now().timestamp())
        self._publish(describe(offer))
        return Result(self._period_s)

    def _publish(self, described: dict[str, Any]) -> None:
        now = self._clock.monotonic()
        if described == self._published and now - self._published_at < REWRITTEN_AFTER_S:
            return
        text = json.dumps({"checkedAt": rfc3339(self._clock.now()), **described}, sort_keys=True)
        self._write(text)
        if described != self._published:
            log.info("instance offer published", config_map=f"{self._namespace}/{NAME}", region=described["region"])
        self._published, self._published_at = described, now

    def _write(self, text: str) -> None:
        """A merge patch, which leaves alone what others put beside our key."""
        try:
            self._client.patch(CONFIG_MAPS, NAME, {"data": {KEY: text}}, self._namespace)
        except NotFound:
            self._client.create(CONFIG_MAPS, self._config_map(text))

    def _config_map(self, text: str) -> Object:
        labels = {"app.kubernetes.io/part-of": "kaito", "app.kubernetes.io/managed-by": "gpu-provisioner"}
        metadata = {"name": NAME, "namespace": self._namespace, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: text}}


def describe(offer: Offer) -> dict[str, Any]:
    """The published form, but for the time. A half that is unknown is left out."""
    described: dict[str, Any] = {"region": offer.region}
    if offer.families is not None:
        kinds = (
            None if offer.instance_types is None else {kind.family.lower() for kind in offer.instance_types.values()}
        )
        described["families"] = {
            family: asdict(quota)
            for family, quota in offer.families.items()
            if kinds is None or family.lower() in kinds | {TOTAL, SPOT}
        }
    if offer.instance_types is not None:
        described["skus"] = {
            name: {
                "family": kind.family,
                "cores": kind.cores,
                "restricted": bool(kind.restriction),
                "reason": kind.restriction,
            }
            for name, kind in offer.instance_types.items()
        }
    return described
