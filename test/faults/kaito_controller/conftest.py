"""One small world for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpu_provisioner.api.dialect import MACHINE
from test.support.workspace_world import World


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """With Machines, or with the node API that the test is parametrized with."""
    with World(node_api=getattr(request, "param", MACHINE)) as running:
        yield running
