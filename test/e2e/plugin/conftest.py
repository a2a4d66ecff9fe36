"""The cluster that `make up` keeps, for the plugin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hack.demo.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("plugin"), time_scale=60.0) as running:
        running.start_cluster()
        running.product.install()
        running.product.start_operators()
        yield running
