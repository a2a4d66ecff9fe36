"""What comes of actions: here, when the API server says that Machines were made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from controller_runtime.resources import Object, Resource
from kaito_controller.api import labels
from kaito_controller.workspace.act.actions import Create
from kaito_controller.workspace.act.apply import Applier
from kaito_controller.workspace.state.machines import Order, build_machine
from kaito_controller.workspace.state.snapshot import Wanted
from test.support.memory_client import MemoryClient
from test.support.snapshots import TYPE, raw_workspace


class Server(MemoryClient):
    """Dates what it makes, a second later each time."""

    def __init__(self) -> None:
        super().__init__()
        self._second = 6

    def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, *, dry_run: bool = False
    ) -> Object:
        self._second += 1
        stamp = {"creationTimestamp": f"2026-01-02T03:04:{self._second:02d}Z"}
        super().create(resource, {**obj, "metadata": {**obj["metadata"], **stamp}}, namespace, dry_run=dry_run)
        return {**obj, "metadata": {**obj["metadata"], **stamp, "resourceVersion": "1"}}


def test_an_order_is_dated_by_the_server_and_by_the_first_machine() -> None:
    server, raw = Server(), raw_workspace(count=2)
    server.create(labels.WORKSPACES, raw)
    alive = server.get(labels.WORKSPACES, raw["metadata"]["name"], raw["metadata"]["namespace"])
    orders = [Create(build_machine(alive, Order(ordinal, 0), Wanted(2, TYPE))) for ordinal in range(2)]

    outcome = Applier(server).apply(alive, orders)

    assert outcome.ordered_at == datetime(2026, 1, 2, 3, 4, 8, tzinfo=UTC)
    assert Applier(server).apply(alive, []).ordered_at is None
