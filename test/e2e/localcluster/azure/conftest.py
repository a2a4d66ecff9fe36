"""A cloud of localcluster with the real Azure client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hack.localcluster.cloud import AksCloud
from hack.localcluster.faults import FaultPlan
from hack.localcluster.timeline import Timeline
from test.support.azure import Pools, azure_client


@pytest.fixture
def plan() -> FaultPlan:
    return FaultPlan()


@pytest.fixture
def cloud(plan: FaultPlan) -> Iterator[AksCloud]:
    timeline = Timeline(time_scale=6000)
    timeline.start()
    with AksCloud(plan, timeline=timeline) as running:
        running.add_canaries()
        yield running
    timeline.stop()


@pytest.fixture
def pools(cloud: AksCloud) -> Iterator[Pools]:
    with azure_client(cloud) as client:
        yield Pools(client, cloud)
