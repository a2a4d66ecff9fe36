"""Thousands of reconciles run here; their log lines would only cost time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from test.faults.gpu_provisioner.world import World


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    yield
    structlog.configure(**before)


def _drop(*_: object) -> None:
    raise structlog.DropEvent


@pytest.fixture(autouse=True)
def every_rule_held_at_every_write() -> Iterator[None]:
    World.made.clear()
    yield
    assert [violation for world in World.made for violation in world.violations] == []
