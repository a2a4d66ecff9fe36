"""What is known of Machines while their type comes and goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from controller_runtime.cache.informer import Informer
from controller_runtime.client.api import KubeClient
from controller_runtime.resources import Object
from kaito_controller.workspace.observe.machine_source import MachineSource


@dataclass
class CacheOfMachines:
    """The part of an informer that is asked here."""

    type_is_missing: bool = False
    objects: list[Object] = field(default_factory=list)

    def list(self) -> list[Object]:
        return self.objects

    def fresh_for_s(self) -> float | None:
        return None if self.type_is_missing else 5.0


def source(**cache: Any) -> MachineSource:
    return MachineSource(cast(KubeClient, None), informer=cast(Informer, CacheOfMachines(**cache)))


def test_machines_can_be_ordered_while_their_type_is_known() -> None:
    known = source()

    assert known.available
    assert known.fresh_for_s() == 5.0


def test_a_type_that_is_gone_with_its_last_machine_leaves_nothing_in_doubt() -> None:
    gone = source(type_is_missing=True)

    assert not gone.available
    assert gone.fresh_for_s() == float("inf")


def test_a_server_that_denies_the_type_while_machines_are_cached_is_not_believed() -> None:
    doubtful = source(type_is_missing=True, objects=[{"kind": "Machine"}])

    assert doubtful.available
    assert doubtful.fresh_for_s() is None
